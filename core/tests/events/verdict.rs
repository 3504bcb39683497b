// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `sort` says about the ends of packets.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{PLENTY, sorted, sorted_file};

/// An event of packet (1, 7): the time, the clone, the place, and further sections.
fn event(time: u64, skb: u64, symbol: &str, more: &str) -> String {
    format!(
        r#"{{"common":{{"timestamp":{time}}},"kernel":{{"symbol":"{symbol}","probe_type":"kprobe"}},"skb-tracking":{{"orig_head":7,"timestamp":1,"skb":{skb}}}{more}}}"#
    ) + "\n"
}

/// A packet with one clone, hit at these places.
fn packet(symbols: &[&str]) -> String {
    (1..).zip(symbols).map(|(time, symbol)| event(time, 8, symbol, "")).collect()
}

/// The verdict on packet (1, 7).
fn verdict(file: &str) -> Value {
    let mut sorted = sorted(file.as_bytes(), PLENTY);
    let mut found = None;
    while let Some(event) = sorted.next_event().unwrap() {
        if event.packet.is_some_and(|packet| (packet.timestamp, packet.orig_head) == (1, 7)) {
            assert_eq!(found, None, "a verdict before the end");
            found = event.verdict.map(|verdict| serde_json::to_value(verdict).unwrap());
        }
    }
    found.unwrap()
}

/// The verdict's kind and text.
fn told(file: &str) -> String {
    let verdict = verdict(file);
    format!("{}: {}", verdict["kind"].as_str().unwrap(), verdict["text"].as_str().unwrap())
}

/// The section `dev`.
fn on(device: &str) -> String {
    format!(r#","dev":{{"name":"{device}","ifindex":2}}"#)
}

const DROP: &str = r#","skb-drop":{"drop_reason":"NO_SOCKET","location":"udp_rcv+0x1"}"#;

#[test]
fn each_end_has_a_verdict() {
    let mut text = String::new();
    let all: [&[&str]; 9] = [
        &["net:netif_receive_skb", "ip_rcv", "icmp_rcv", "skb:consume_skb"],
        &["ip_rcv", "udp_queue_rcv_skb", "skb:skb_copy_datagram_iovec", "skb_consume_udp", "skb_release_data"],
        &["ip_output", "net:net_dev_start_xmit", "start_xmit", "net:net_dev_xmit", "skb:consume_skb"],
        &["ip_output", "net:net_dev_xmit"],
        &["ip_rcv", "skb:kfree_skb", "skb_release_data"],
        &["br_handle_frame", "skb:consume_skb"],
        &["ip_rcv", "anywhere"],
        &["skb_release_data"],
        &["tcp_v4_rcv", "tcp_rcv_established", "skb:kfree_skb"],
    ];
    for symbols in all {
        let _ = writeln!(text, "{}\n  {}", symbols.join(", "), told(&packet(symbols)));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn what_goes_on_has_not_ended() {
    // Through a veth pair, whose ends have the same name and number.
    let sent = [event(1, 8, "net:net_dev_start_xmit", &on("eth0")), event(2, 8, "net:netif_rx", &on("eth0"))].concat();
    assert_eq!(told(&sent), "unknown: last seen at net:netif_rx on eth0");
    let elsewhere = event(1, 8, "net:net_dev_start_xmit", &on("va")) + &event(2, 8, "some_function", &on("vb"));
    assert_eq!(told(&elsewhere), "unknown: last seen at some_function on vb");
    // Into a tunnel's socket, and out of the tunnel's device.
    let tunnel = event(1, 8, "udp_queue_rcv_skb", &on("eth0")) + &event(2, 8, "some_function", &on("vxlan0"));
    assert_eq!(told(&tunnel), "unknown: last seen at some_function on vxlan0");
    // What the driver does on the way out.
    let driver = event(1, 8, "net:net_dev_start_xmit", &on("eth0")) + &event(2, 8, "skb_to_sgvec", &on("eth0"));
    assert_eq!(told(&driver), "transmitted: transmitted on eth0");
    // The end of a transmission is told when the packet is received already.
    let late = packet(&["net:net_dev_start_xmit", "net:netif_rx", "icmp_rcv", "net:net_dev_xmit"]);
    assert_eq!(told(&late), "delivered: delivered to ICMP");
    // A return tells of a packet as it was.
    let kretprobe = event(9, 8, "ip_rcv", "").replace("kprobe", "kretprobe");
    assert_eq!(told(&(packet(&["net:net_dev_start_xmit"]) + &kretprobe)), "transmitted: transmitted");
}

#[test]
fn a_drop_has_its_reason_place_and_author() {
    let drop = event(2, 8, "skb:kfree_skb", &format!("{DROP}{}", on("eth0")));
    let verdict = verdict(&(packet(&["udp_rcv"]) + &drop));
    let expected = json!({
        "kind": "dropped",
        "text": "dropped (NO_SOCKET) at udp_rcv+0x1 on eth0",
        "facts": {
            "idx": 1, "symbol": "skb:kfree_skb", "device": "eth0", "reason": "NO_SOCKET", "location": "udp_rcv+0x1",
        },
    });
    assert_eq!(verdict, expected);
    // The rule is known at one event, the reason at the next, and a general reason after it adds nothing.
    let rule = event(1, 8, "nft_do_chain", r#","rule":{"drop":"rule 12 \"tcp dport 22 drop\""}"#);
    let reason = event(2, 8, "skb:kfree_skb", r#","skb-drop":{"drop_reason":"NETFILTER_DROP"}"#);
    let general = event(3, 8, "skb:kfree_skb", r#","skb-drop":{"drop_reason":"NOT_SPECIFIED","location":"f+0x2"}"#);
    let all = [rule, reason, general].concat();
    assert_eq!(told(&all), "dropped: dropped by rule 12 \"tcp dport 22 drop\" (NETFILTER_DROP) at f+0x2");
    let qdisc = event(1, 8, "qdisc:qdisc_drop", r#","skb-drop":{"drop_reason":"OVERLIMIT","subsys":"qdisc"}"#);
    let general = event(2, 8, "skb:kfree_skb", r#","skb-drop":{"drop_reason":"QDISC_DROP"}"#);
    assert_eq!(told(&(qdisc + &general)), "dropped: dropped (qdisc: OVERLIMIT)");
}

#[test]
fn what_is_dropped_may_have_been_delivered() {
    let unread = packet(&["udp_queue_rcv_skb", "skb:kfree_skb", "skb:kfree_skb"]);
    assert_eq!(told(&unread), "dropped: dropped after delivery to a UDP socket");
    assert_eq!(verdict(&unread)["facts"]["to"], "a UDP socket");
}

#[test]
fn where_it_was_is_known_from_before() {
    let netns = |inum| format!(r#","netns":{{"inum":{inum}}}"#);
    let came = event(1, 8, "tcp_v4_rcv", &format!("{}{}", on("eth0"), netns(5)));
    let taken = came.clone() + &event(2, 8, "tcp_rcv_established", "");
    assert_eq!(told(&taken), "delivered: delivered to a TCP socket on eth0");
    assert_eq!(verdict(&taken)["facts"]["netns"], 5);
    // Not from another clone, and not from another namespace.
    assert_eq!(told(&(came.clone() + &event(2, 9, "raw_rcv", ""))), "delivered: delivered to a raw socket");
    let moved = came + &event(2, 8, "tcp_rcv_established", &netns(6));
    assert_eq!(told(&moved), "delivered: delivered to a TCP socket");
    assert_eq!(verdict(&moved)["facts"]["netns"], 6);
}

#[test]
fn clones_may_end_in_different_ways() {
    let (delivered, dropped) = (|time| event(time, 8, "icmp_rcv", ""), |time| event(time, 9, "skb:kfree_skb", DROP));
    let text = "dropped (NO_SOCKET) at udp_rcv+0x1";
    assert_eq!(told(&(delivered(1) + &dropped(2))), format!("dropped: {text}; another clone delivered to ICMP"));
    let file = dropped(1) + &delivered(2);
    assert_eq!(told(&file), format!("delivered: delivered to ICMP; another clone {text}"));
    assert_eq!(verdict(&file)["facts"]["also"], json!([{ "kind": "dropped", "text": text, "idx": 0 }]));
    let sockets = event(1, 9, "raw_rcv", "") + &delivered(2);
    assert_eq!(told(&sockets), "delivered: delivered to ICMP; another clone delivered to a raw socket");
    let all_alike: String = (0..100).map(|time| event(time, time, "raw_rcv", "")).collect();
    assert_eq!(told(&all_alike), "delivered: delivered to a raw socket");
    let reason = |time: u64| format!(r#","skb-drop":{{"drop_reason":"R{time}"}}"#);
    let all_different: String = (0..100).map(|time| event(time, time, "skb:kfree_skb", &reason(time))).collect();
    assert_eq!(told(&all_different).matches("another clone dropped").count(), 7);
    // A clone that is seen after the end of another one is on its way.
    let on_its_way = dropped(1) + &event(2, 8, "ip_rcv", "");
    assert_eq!(told(&on_its_way), format!("unknown: last seen at ip_rcv; another clone {text}"));
    let used_up = event(1, 9, "skb:consume_skb", "") + &event(2, 8, "ip_rcv", "");
    assert_eq!(told(&used_up), "unknown: last seen at ip_rcv");
    // The same address may be that of another clone later.
    let again = dropped(1) + &event(2, 9, "ip_rcv", "") + &event(3, 9, "icmp_rcv", "");
    assert_eq!(told(&again), "delivered: delivered to ICMP");
}

#[test]
fn what_is_lost_or_alive_at_the_end_is_said() {
    let in_flight =
        r#"{"common":{"timestamp":50},"in-flight":[{"timestamp":1,"orig_head":7},{"timestamp":9,"orig_head":9}]}"#;
    let seen = packet(&["ip_rcv"]);
    assert_eq!(
        told(&format!("{seen}{in_flight}\n")),
        "unknown: still in flight when collection ended; last seen at ip_rcv"
    );
    // What waits in a socket's queue is delivered and alive.
    let waits = format!("{}{in_flight}\n", packet(&["udp_queue_rcv_skb"]));
    assert_eq!(told(&waits), "delivered: delivered to a UDP socket");
    assert_eq!(verdict(&waits)["facts"]["in_flight"], true);
    let loss = |time, cause| format!(r#"{{"common":{{"timestamp":{time}}},"loss":[{{"cause":"{cause}","count":3}}]}}"#);
    let lossy = |time, cause| told(&format!("{seen}{}\n", loss(time, cause)));
    let after = "unknown: last seen at ip_rcv; events were lost afterwards, perhaps its own";
    assert_eq!(lossy(20, "ring_full"), after);
    assert_eq!(lossy(0, "ring_full"), "unknown: last seen at ip_rcv");
    assert_eq!(lossy(20, "sampled_out"), "unknown: last seen at ip_rcv");
    assert_eq!(lossy(20, "incomplete"), "unknown: last seen at ip_rcv");
    // Another recording's losses are no concern.
    let other = format!("{seen}{{\"common\":{{\"timestamp\":1}},\"startup\":{{}}}}\n{}\n", loss(20, "ring_full"));
    assert_eq!(told(&other), "unknown: last seen at ip_rcv");
    let hole = event(1, 8, "ip_rcv", "").replace(r#""skb":8"#, r#""skb":8,"seq":2"#);
    assert_eq!(told(&hole), "unknown: last seen at ip_rcv; 2 of its events are missing");
}

#[test]
fn what_a_program_does_not_send_back_is_said() {
    let daemon = |time, id, answers| event(time, 8, "ask", &format!(r#","daemon":{{"id":{id},"answers":{answers}}}"#));
    let freed = event(5, 8, "skb:consume_skb", "");
    let asked = daemon(1, 3, false) + &freed;
    assert_eq!(told(&asked), "unknown: not sent back by the daemon; last seen at ask");
    let in_flight = r#"{"common":{"timestamp":50},"in-flight":[{"timestamp":1,"orig_head":7}]}"#;
    let text = "unknown: not sent back by the daemon when collection ended; last seen at ask";
    assert_eq!(told(&format!("{asked}{in_flight}\n")), text);
    assert_eq!(told(&(daemon(1, 3, false) + &daemon(2, 3, true) + &freed)), "consumed: consumed");
    // Asked about once more; and answered before it was told that it was asked.
    let twice = [daemon(1, 3, false), daemon(2, 3, true), daemon(3, 4, false)].concat();
    assert_eq!(told(&twice), "unknown: not sent back by the daemon; last seen at ask");
    assert_eq!(told(&(daemon(1, 3, true) + &daemon(2, 3, false))), "unknown: last seen at ask");
    let dropped = daemon(1, 3, false) + &event(2, 8, "skb:kfree_skb", DROP);
    assert!(told(&dropped).starts_with("dropped: dropped (NO_SOCKET)"), "{}", told(&dropped));
}

#[test]
fn a_merged_packet_ends_in_another_one() {
    let merge = r#"{"common":{"timestamp":5},"skb-tracking":{"orig_head":6,"timestamp":1,"skb":3,"link":{"kind":"merge","parent":{"timestamp":1,"orig_head":7}}}}"#;
    let file = |symbols: &[&str]| format!("{}{merge}\n", packet(symbols));
    assert_eq!(told(&file(&["ip_rcv", "skb:consume_skb"])), "consumed: merged into #16");
    assert_eq!(told(&file(&["net:net_dev_start_xmit"])), "consumed: merged into #16");
    // A part is freed with the whole, and that may be told as a drop.
    assert_eq!(told(&file(&["ip_rcv", "skb:kfree_skb"])), "consumed: merged into #16");
    assert_eq!(told(&file(&["tcp_rcv_established"])), "delivered: delivered to a TCP socket");
    let facts = verdict(&file(&["tcp_rcv_established"]))["facts"].clone();
    assert_eq!(facts["merged"], json!({ "into": { "timestamp": 1, "orig_head": 6 }, "timestamp": 5 }));
}

#[test]
fn sections_that_cannot_be_read_say_nothing() {
    for more in [r#","skb-drop":5"#, r#","dev":{"name":7}"#, r#","skb-drop":{"drop_reason":[]}"#, r#","netns":null"#] {
        assert_eq!(told(&event(1, 8, "ip_rcv", more)), "unknown: last seen at ip_rcv", "{more}");
    }
    let strange = r#"{"common":{"timestamp":1},"kernel":{"symbol":7},"skb-tracking":{"orig_head":7,"timestamp":1,"skb":8,"link":[]},"in-flight":"all","loss":{}}"#;
    assert_eq!(told(strange), "unknown: last seen here");
}

#[test]
fn an_old_verdict_is_forgotten() {
    let old = r#","verdict":{"kind":"dropped","text":"\u001b[1m","facts":{}}"#;
    let file = event(1, 8, "icmp_rcv", old) + &event(2, 8, "skb:consume_skb", "");
    assert_eq!(sorted_file(file.as_bytes(), PLENTY).matches("verdict").count(), 1);
    assert_eq!(told(&file), "delivered: delivered to ICMP");
}
