// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What programs say about packets of which everything is known.

use tracer_filters::metadata::MetadataFilter;

use crate::machine::{Machine, PROCESS, THREAD};

/// Conditions on `packet` of `kernel.c` that hold. Their opposites are tried too.
const HOLD: &[&str] = &[
    // Unsigned, at the boundaries.
    "sk_buff.len == 1500",
    "sk_buff.len <= 1500",
    "sk_buff.len >= 1500",
    "sk_buff.len < 1501",
    "sk_buff.len > 1499",
    "sk_buff.len != 1499",
    "1500 == sk_buff.len",
    "1499 < sk_buff.len",
    "1500 >= sk_buff.len",
    "sk_buff.data_len == 4294967295",
    "sk_buff.data_len > 0x7fffffff",
    "sk_buff.data_len > 4294967294",
    "sk_buff.mark == 0x80000001",
    "sk_buff.mark > 0x80000000",
    "sk_buff.mac_len == 14",
    "sk_buff.large == 18446744073709551614",
    "sk_buff.large > 0x8000000000000000",
    "sk_buff.large < 0xffffffffffffffff",
    // Signed.
    "sk_buff.skb_iif == -1",
    "sk_buff.skb_iif < 0",
    "sk_buff.skb_iif <= -1",
    "sk_buff.skb_iif > -2",
    "sk_buff.least == -2147483648",
    "sk_buff.least < -2147483647",
    "sk_buff.tiny == -128",
    "sk_buff.tiny < -127",
    "sk_buff.low == -9223372036854775808",
    "sk_buff.low < -9223372036854775807",
    "sk_buff.low < 0",
    // Bit fields.
    "sk_buff.cloned == 1",
    "sk_buff.cloned",
    "sk_buff.nohdr == 0",
    "!sk_buff.nohdr",
    "not sk_buff.nohdr",
    "sk_buff.fclone == 2",
    "sk_buff.fclone >= 2",
    "sk_buff.pkt_type == 7",
    "sk_buff.across == 31",
    "sk_buff.wide == 4097",
    "sk_buff.wide > 4096",
    "sk_buff.signed_bits == -64",
    "sk_buff.signed_bits < -63",
    "sk_buff.rest == 5",
    "sk_buff.odd.first == 255",
    "sk_buff.odd.crossing == 0xa5a5a5a5a5",
    "sk_buff.odd.crossing_signed == -1048576",
    "sk_buff.odd.crossing_signed < -1048575",
    // True, false, characters.
    "sk_buff.flag",
    "sk_buff.flag == true",
    "sk_buff.flag != false",
    "sk_buff.letter == 'x'",
    "sk_buff.letter < 'y'",
    // The order of the network.
    "sk_buff.protocol == 0x0800",
    "sk_buff.protocol > 0x07ff",
    "sk_buff.protocol < 0x0801",
    "sk_buff.protocol & 0xff00 == 0x800",
    "sk_buff.cookie == 0x1122334455667788",
    "sk_buff.sk.__sk_common.skc_dport == 443",
    "sk_buff.sk.__sk_common.skc_num == 51000",
    // Addresses.
    "sk_buff.sk.__sk_common.skc_daddr == 10.0.0.1",
    "sk_buff.sk.__sk_common.skc_daddr == 10.0.0.0/8",
    "sk_buff.sk.__sk_common.skc_daddr == 10.0.0.0/31",
    "sk_buff.sk.__sk_common.skc_daddr == 99.0.0.0/0",
    "sk_buff.sk.__sk_common.skc_daddr != 10.0.0.2/32",
    "sk_buff.sk.__sk_common.skc_daddr > 10.0.0.0",
    "sk_buff.sk.__sk_common.skc_daddr == 0x0a000001",
    "sk_buff.sk.__sk_common.skc_rcv_saddr == 192.168.0.1",
    "sk_buff.sk.__sk_common.plain == 127.0.0.1",
    "sk_buff.sk.__sk_common.skc_v6_daddr == 2001:db8::1",
    "sk_buff.sk.__sk_common.skc_v6_daddr != 2001:db8::2",
    "sk_buff.sk.__sk_common.skc_v6_daddr == 2001:db8::/32",
    "sk_buff.sk.__sk_common.skc_v6_daddr == 2001:dbf::/29",
    "sk_buff.sk.__sk_common.skc_v6_daddr != 2001:db0::/29",
    "sk_buff.sk.__sk_common.skc_v6_daddr == ::/0",
    "sk_buff.sk.__sk_common.skc_v6_daddr.in6_u.u6_addr8 == 2001:db8::1",
    "sk_buff.sk.__sk_common.skc_v6_daddr.in6_u.u6_addr32 == 2001:db8::1",
    "sk_buff.sk.__sk_common.skc_v6_daddr.in6_u.u6_addr32[0] == 0x20010db8",
    "sk_buff.sk.__sk_common.skc_v6_daddr.in6_u.u6_addr16[1] == 0xdb8",
    "sk_buff.sk.__sk_common.router == fe80::1",
    "sk_buff.dev.dev_addr == 02:00:ab:cd:ef:01",
    "sk_buff.dev.dev_addr == 2:0:AB:CD:EF:1",
    "sk_buff.dev.dev_addr != 02:00:ab:cd:ef:02",
    "sk_buff.dev.dev_addr[2] == 0xab",
    "sk_buff.dev.perm_addr == 01:02:03:04:05:06",
    // Texts.
    r#"sk_buff.dev.name == "eth0""#,
    "sk_buff.dev.name == 'eth0'",
    r#"sk_buff.dev.name != "eth""#,
    r#"sk_buff.dev.name != "eth00""#,
    r#"sk_buff.dev.name != """#,
    r#"sk_buff.dev.name == "eth*""#,
    r#"sk_buff.dev.name == "eth0*""#,
    r#"sk_buff.dev.name == "*""#,
    r#"sk_buff.dev.name != "eth\*""#,
    r#"sk_buff.dev.name != "veth*""#,
    "sk_buff.dev.name[0] == 'e'",
    "sk_buff.dev.name[4] == 0",
    r#"sk_buff.dev.rtnl_link_ops.kind == "veth""#,
    r#"sk_buff.dev.rtnl_link_ops.kind == "ve*""#,
    r#"sk_buff.dev.rtnl_link_ops.kind == "veth*""#,
    r#"sk_buff.dev.rtnl_link_ops.kind == "*""#,
    r#"sk_buff.dev.rtnl_link_ops.kind != "vet""#,
    r#"sk_buff.dev.rtnl_link_ops.kind != "vethx""#,
    r#"sk_buff.dev.rtnl_link_ops.kind != "vethx*""#,
    r#"sk_buff.dev.rtnl_link_ops.kind != "bridge""#,
    // Names of numbers.
    "sk_buff.dev.reg_state == NETREG_REGISTERED",
    "sk_buff.dev.reg_state != NETREG_UNREGISTERED",
    "sk_buff.dev.reg_state == 1",
    "sk_buff.verdict == VERDICT_ERROR",
    "sk_buff.verdict != VERDICT_MAX",
    "sk_buff.sk.__sk_common.skc_state == TCP_LISTEN",
    "TCP_ESTABLISHED != sk_buff.sk.__sk_common.skc_state",
    // Pointers, arrays, other types.
    "sk_buff.dev",
    "sk_buff.dev != NULL",
    "sk_buff.next == NULL",
    "!sk_buff.next",
    "sk_buff.dev == 0xffff888000000000 || sk_buff.dev > 0xffff888000000000",
    "sk_buff.dev.nd_net.net.ns.inum == 4026531840",
    "sk_buff.dev.dismantle",
    "sk_buff.queues[2].id == 7",
    "sk_buff.queues[0].backlog == -5",
    "sk_buff.dev.tx.backlog == -1",
    "sk_buff.dev.tx[1].backlog == -2147483648",
    "sk_buff.dev.all[0].id == 2",
    "sk_buff.dev.all[2].id == 1",
    "sk_buff.dev.flexible[2] == -30",
    "sk_buff.pair[0] == 0",
    "sk_buff.sk.(tcp_sock).snd_cwnd == 10",
    "sk_buff.sk.(struct tcp_sock *).rtt < -4",
    "sk_buff.sk.(tcp_sock).sk.__sk_common.skc_num == 51000",
    "sk_buff.dev_scratch.(net_device).ifindex == 3",
    "sk_buff.cb.(control).length == 1337",
    "sk_buff.cb.(control).port == 80",
    "sk_buff.cb.(control).when == -2",
    // What modules define.
    "sk_buff.dev.secret.id == 1",
    "sk_buff.dev.secret.value == -1",
    "sk_buff.dev.tx.(secret).value < 0",
    // Bit operations.
    "sk_buff.headers_start[0] == 0x80000001",
    "sk_buff.mark & 0xff == 1",
    "(sk_buff.mark & 0xff) == 1",
    "0x80000000 & sk_buff.mark == 0x80000000",
    "sk_buff.mark & 0x80000000",
    "!(sk_buff.mark & 0x7ffffffe)",
    "sk_buff.mark & ~1 == 0x80000000",
    "sk_buff.mark >> 31 == 1",
    "sk_buff.mark << 4 == 0x800000010",
    "sk_buff.mark | 2 == 0x80000003",
    "sk_buff.mark ^ 1 == 0x80000000",
    "sk_buff.mark & 0x80000000 >> 31 == 1",
    "sk_buff.mark & 1 << 31",
    "sk_buff.skb_iif & 0xffff0000 == 0xffff0000",
    "sk_buff.skb_iif >> 1 == 0x7fffffff",
    "sk_buff.large & 0xff00000000000000 == 0xff00000000000000",
    "sk_buff.signed_bits & 0x7f == 0x40",
    // As Retis has it.
    "sk_buff.mark:0xff == 1",
    "sk_buff.mark:0b1",
    "sk_buff.mark:~1 == 0x80000000",
    "sk_buff.sk:0xffffffffffffffff:tcp_sock.snd_cwnd == 10",
    "sk_buff.sk:~0x0:tcp_sock.snd_cwnd:0x2 == 2",
    // Short names.
    "netns == 4026531840",
    r#"ifname == "eth0""#,
    "ifindex == 3",
    "mark == 0x80000001",
    "mark & 0xff == 1",
    "mark:0xff == 1",
    "pid == 4321",
    "pid != 4322",
    r#"comm == "ping""#,
    r#"comm == "pi*""#,
    r#"comm != "pin""#,
    // Together.
    "sk_buff.len == 1 || sk_buff.len == 2 && sk_buff.len == 3 || sk_buff.len == 1500",
    "sk_buff.len == 1500 || sk_buff.len == 1 && sk_buff.len == 2",
    "sk_buff.len == 1500 or sk_buff.len == 1 and sk_buff.len == 2",
    "sk_buff.len == 1500 && (sk_buff.mark == 5 || sk_buff.cloned)",
    "not sk_buff.len == 1 and not (sk_buff.len == 2 or sk_buff.len == 3)",
    "!(sk_buff.len != 1500 || !sk_buff.cloned)",
    "sk_buff.len==1500&&!sk_buff.nohdr||sk_buff.len<3",
];

#[test]
fn conditions_hold_and_their_opposites_do_not() {
    let machine = Machine::new();
    assert_eq!((PROCESS, THREAD), (4321, 4322), "as in the conditions");
    let wrong: Vec<String> = HOLD
        .iter()
        .flat_map(|text| {
            let negated = format!("!({text})");
            [(text.to_string(), true), (negated.clone(), false), (format!("not {negated}"), true)]
        })
        .filter(|(text, expected)| machine.matches(text, "packet") != *expected)
        .map(|(text, expected)| format!("{text}: not {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_cannot_be_reached_is_neither_true_nor_false() {
    let machine = Machine::new();
    for text in [
        "sk_buff.dev.ifindex == 3",
        "sk_buff.dev.name == 'eth0'",
        "sk_buff.dev.rtnl_link_ops.kind == 'veth'",
        "sk_buff.dev.nd_net.net.ns.inum",
        "sk_buff.sk.__sk_common.skc_v6_daddr == ::/0",
        "sk_buff.dev.name == '*'",
        "netns == 1",
        "sk_buff._nfct:~0x7:nf_conn.mark",
    ] {
        let negated = format!("!({text})");
        assert!(!machine.matches(text, "lonely"), "{text}");
        assert!(!machine.matches(&negated, "lonely"), "{negated}");
        assert!(machine.matches(&format!("{text} || sk_buff.len == 40"), "lonely"), "{text}");
        assert!(machine.matches(&format!("!({text} && sk_buff.len == 1)"), "lonely"), "{text}");
    }
    // Pointers that lead nowhere.
    for text in ["sk_buff.dev.upper.ifindex == 0", "sk_buff.dev.upper.name == '*'", "sk_buff.dev.upper.tx[3].id < 9"] {
        assert!(!machine.matches(text, "packet"), "{text}");
        assert!(!machine.matches(&format!("!({text})"), "packet"), "{text}");
    }
    // As far as instructions reach.
    for index in 536_870_800..536_870_912_u32 {
        let filter = MetadataFilter::compile(&format!("sk_buff.headers_start[{index}] == 0"), &machine.kernel);
        let packet = Some(machine.address("packet"));
        assert!(!filter.is_ok_and(|filter| machine.run(filter.program(), packet)), "{index}");
    }
    assert!(!machine.matches("sk_buff.dev.all[1].id >= 0", "packet"), "a null pointer in an array");
    assert!(machine.matches("!sk_buff.dev && !sk_buff.sk", "lonely"), "the pointer itself can be read");
}

#[test]
fn names_are_compared_to_their_end() {
    let machine = Machine::new();
    for (text, packet, expected) in [
        ("sk_buff.dev.name == ''", "anonymous", true),
        ("sk_buff.dev.name != ''", "anonymous", false),
        ("sk_buff.dev.name == 'e*'", "anonymous", false),
        ("sk_buff.dev.rtnl_link_ops.kind == ''", "anonymous", true),
        ("sk_buff.dev.rtnl_link_ops.kind != 'v'", "anonymous", true),
        ("sk_buff.dev.ifindex == -1", "anonymous", true),
        ("sk_buff.dev.name == 'abcdefghijklmno'", "named_long", true),
        ("sk_buff.dev.name == 'abcdefghijklmn'", "named_long", false),
        ("sk_buff.dev.name == 'abcdefghijklmnop'", "named_long", false),
        ("sk_buff.dev.name == 'abcdefghijklmno*'", "named_long", true),
        // One that fills its array has no zero byte at its end.
        ("sk_buff._nfct:~0x7:nf_conn.name == '0123456789abcdef'", "tracked", true),
        ("sk_buff._nfct:~0x7:nf_conn.name == '0123456789abcde'", "tracked", false),
        ("sk_buff._nfct:~0x7:nf_conn.name != '0123456789abcdeg'", "tracked", true),
    ] {
        assert_eq!(machine.matches(text, packet), expected, "{text}");
    }
}

#[test]
fn bits_of_a_pointer_are_masked_out() {
    let machine = Machine::new();
    for text in [
        "sk_buff._nfct:0x7 == 0x2",
        "sk_buff._nfct & 7 == 2",
        "sk_buff._nfct:~0x7:nf_conn.mark",
        "sk_buff._nfct:~0x7:nf_conn.mark == 0x80000000",
        "sk_buff._nfct:0xfffffffffffffff8:nf_conn.mark:0x80000000",
    ] {
        assert!(machine.matches(text, "tracked"), "{text}");
    }
}

#[test]
fn members_of_another_packet_are_read_bit_by_bit_too() {
    let machine = Machine::new();
    for text in [
        "sk_buff.prev.wide == 4097",
        "sk_buff.prev.signed_bits == -64",
        "sk_buff.prev.odd.crossing == 0xa5a5a5a5a5",
        "sk_buff.prev.odd.crossing_signed == -1048576",
        "sk_buff.prev.protocol == 0x800",
        "sk_buff.prev.low == -9223372036854775808",
        "sk_buff.prev.tiny == -128",
        "sk_buff.prev.letter == 'x'",
        "sk_buff.prev.dev.all[2].id == 1",
    ] {
        assert!(machine.matches(text, "queued"), "{text}");
        assert!(!machine.matches(&format!("!({text})"), "queued"), "{text}");
    }
}

#[test]
fn the_namespace_is_the_sockets_where_no_device_is() {
    let machine = Machine::new();
    assert!(machine.matches("netns == 4026531840", "queued"), "what stands in place of the device is no pointer");
    assert!(machine.matches("netns != 5", "queued"));
    assert!(!machine.matches("netns == 5", "queued"));
    assert!(!machine.matches("ifindex == 3 || !(ifindex == 3)", "queued"));
}

#[test]
fn without_a_packet_only_process_and_thread_are_known() {
    let machine = Machine::new();
    for (text, expected, needs_packet) in [
        ("pid == 4321", true, false),
        ("pid == 4321 && comm == 'ping'", true, false),
        ("pid == 1 || sk_buff.len >= 0", false, false),
        ("sk_buff.len >= 0 || comm == 'p*'", true, false),
        ("pid == 1 || sk_buff.cloned || mark == 0x80000001", false, false),
        ("pid == 1 || sk_buff.cb.(control).length >= 0", false, false),
        ("pid == 1 || ifname == 'eth0' || netns == 4026531840", false, false),
        ("pid == 1 || sk_buff.dev.rtnl_link_ops.kind == 'veth' || !sk_buff.dev.upper", false, false),
        ("pid == 4321 && sk_buff.len >= 0", false, true),
        ("!(sk_buff.len == 5)", false, true),
        ("sk_buff.dev.name == '*'", false, true),
        ("netns != 0", false, true),
    ] {
        let filter = MetadataFilter::compile(text, &machine.kernel).unwrap();
        assert_eq!(filter.needs_packet(), needs_packet, "{text}");
        assert_eq!(machine.run(filter.program(), None), expected, "{text}");
    }
}
