// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Metadata filters on stored events.

use tracer_collectors as _;
use tracer_core::event::line::EventLine;
use tracer_filters::metadata::EventMatcher;

const EVENT: &str = r#"{"common":{"timestamp":5,"smp_id":0,"task":{"pid":4321,"tgid":4322,"comm":"ping \"x\""}},
    "kernel":{"symbol":"ip_rcv","probe_type":"kprobe","stack_trace":["ip_rcv+0x5","netif_rx+0x1"]},
    "skb-tracking":{"orig_head":18446744073709551615,"timestamp":4,"skb":18446612682070000000},
    "packet":{"len":98,"capture_len":98,"data":"AAAA"},
    "skb":{"vlan_accel":{"proto":33024,"pcp":5,"dei":false,"vid":100},
        "meta":{"len":84,"data_len":0,"hash":3735928559,"ip_summed":3,"csum":1,"csum_level":0,"priority":0,"mark":2147483649},
        "data_ref":{"nohdr":false,"cloned":true,"fclone":2,"users":1,"dataref":1}},
    "netns":{"inum":4026531840,"name":"blue"},
    "dev":{"name":"eth0","ifindex":3,"new":{"key":[1,-2]}},
    "ovs-detrace":{"state":"new","zone_id":7,"orig":{"ip":{"src":"10.0.0.1","dst":"10.0.0.2","version":"v4"},
        "proto":{"tcp":{"sport":51000,"dport":443}}},"reply":{"ip":{"src":"2001:db8::1","dst":"::","version":"v6"}},"mac":"02:00:AB:cd:ef:1"},
    "skb-drop":{"drop_reason":"NO_SOCKET"}}"#;

fn matches(text: &str, event: &str) -> bool {
    let matcher = EventMatcher::new(text).unwrap_or_else(|error| panic!("{error}"));
    matcher.matches(&EventLine::parse(event).expect("it is an event"))
}

#[test]
fn conditions_hold_and_their_opposites_do_not() {
    for text in [
        // Short names.
        "netns == 4026531840",
        "ifname == 'eth0'",
        "ifname == 'eth*'",
        "ifindex == 3",
        "mark == 0x80000001",
        "mark & 0xff == 1",
        "mark:0xff == 1",
        "pid == 4321",
        r#"comm == "ping \"x\"""#,
        "comm == 'ping*'",
        // What an `sk_buff` had.
        "sk_buff.len == 84",
        "sk_buff.len <= 84",
        "!sk_buff.data_len",
        "sk_buff.hash > 0x7fffffff",
        "sk_buff.mark >> 31 == 1",
        "sk_buff.cloned",
        "sk_buff.cloned == 1",
        "sk_buff.cloned == true",
        "!sk_buff.nohdr",
        "sk_buff.fclone == 2",
        "sk_buff.users.refs.counter == 1",
        "sk_buff.vlan_proto == 0x8100",
        "sk_buff.dev.name != 'eth1'",
        "sk_buff.dev.ifindex < 4",
        "sk_buff.dev.nd_net.net.ns.inum == 4026531840",
        // Sections.
        "kernel.symbol == 'ip_rcv'",
        "kernel.symbol != 'ip_*r'",
        "kernel.symbol == ip_rcv",
        "kernel.stack_trace[1] == 'netif_rx*'",
        "kernel.stack_trace",
        "skb-drop.drop_reason == 'NO_SOCKET'",
        "skb-drop.drop_reason == NO_SOCKET",
        "skb-drop",
        "skb-tracking.orig_head == 18446744073709551615",
        "skb.vlan_accel.vid == 100",
        "skb.vlan_accel",
        "skb.vlan_accel.dei == false",
        "netns.name == 'blue'",
        "common.task.tgid == 4322",
        "common.task",
        "dev.ifindex >= 3",
        "ovs-detrace.state == 'new'",
        "ovs-detrace.zone_id == 7",
        "ovs-detrace.orig.proto.tcp.dport == 443",
        // Addresses.
        "ovs-detrace.orig.ip.src == 10.0.0.1",
        "ovs-detrace.orig.ip.src == 10.0.0.0/30",
        "ovs-detrace.orig.ip.src == '10.0.0.1'",
        "ovs-detrace.orig.ip.src < 10.0.0.2",
        "ovs-detrace.orig.ip.src != ::1",
        "ovs-detrace.reply.ip.src == 2001:db8:0::1",
        "ovs-detrace.reply.ip.src == 2001:db8::/32",
        "ovs-detrace.reply.ip.src == ::/0",
        "ovs-detrace.reply.ip.src != 10.0.0.1",
        "ovs-detrace.mac == 02:00:ab:cd:ef:01",
        // Together.
        "ifindex == 3 && (pid == 1 || kernel.symbol == 'ip_rcv') and not netns == 1",
    ] {
        assert!(matches(text, EVENT), "{text}");
        assert!(!matches(&format!("!({text})"), EVENT), "!({text})");
    }
}

#[test]
fn what_an_event_does_not_say_is_neither_true_nor_false() {
    let bare = r#"{"common":{"timestamp":5},"dev":{"name":"eth0","ifindex":3,"rx_ifindex":null},
        "skb":{"meta":{"len":1}},"ovs-detrace":{"orig":[]},"netns":5}"#;
    for text in [
        "netns == 5",
        "pid == 0",
        "mark",
        "sk_buff.skb_iif",
        "kernel.symbol == 'ip_rcv'",
        "skb.vlan_accel",
        "ovs-detrace.orig.ip.src == 10.0.0.1",
        "ovs-detrace.orig.ip.src == '*'",
        "ovs-detrace.orig[0]",
        "common.task.comm == ''",
    ] {
        assert!(!matches(text, bare), "{text}");
        assert!(!matches(&format!("!({text})"), bare), "!({text})");
        assert!(matches(&format!("{text} || !({text}) || ifindex == 3"), bare));
    }
}

#[test]
fn a_value_of_another_kind_is_unequal_in_no_way() {
    for text in [
        "ovs-detrace.state == 5",
        "ovs-detrace.zone_id == 'x'",
        "ovs-detrace.orig == 1",
        "ovs-detrace.state == 10.0.0.1",
        "ovs-detrace.state == 1:2:3:4:5:6",
    ] {
        assert!(!matches(text, EVENT), "{text}");
        assert!(!matches(&format!("!({text})"), EVENT), "!({text})");
    }
}

#[test]
fn matchers_go_to_other_threads() {
    fn goes<T: Send + Sync + 'static>(_: T) {}
    goes(EventMatcher::new("ifindex == 3").unwrap());
}
