// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said about texts that are no filters.

use std::fmt::Write as _;

use tracer_collectors as _;
use tracer_core::error::{Error, ErrorKind};
use tracer_filters::FilterError;
use tracer_filters::metadata::{EventMatcher, MetadataFilter};

use crate::machine::Machine;

/// Wrong wherever they are used.
const NO_FILTERS: &[&str] = &[
    "",
    "   ",
    "sk_buff.len ==",
    "sk_buff.len = 5",
    "sk_buff.len == 5 6",
    "sk_buff.len == 5 &&",
    "sk_buff.len == 5 & &",
    "(sk_buff.len == 5",
    "sk_buff.len == 5)",
    "sk_buff->len == 5",
    "sk_buff. == 5",
    "sk_buff.len == 0x",
    "sk_buff.len == 12ab",
    "sk_buff.len == 017",
    "sk_buff.len == 99999999999999999999",
    "sk_buff.len == -9999999999999999999",
    "sk_buff.len == 0b12",
    "sk_buff.dev.name == \"eth0",
    r#"sk_buff.dev.name == "\x""#,
    "!sk_buff.len == 5",
    "sk_buff.len == 5 == 6",
    "5 == 6",
    "5",
    "sk_buff.len == sk_buff.data_len",
    "sk_buff.mark & sk_buff.len",
    "sk_buff.mark << 64 == 0",
    "sk_buff.mark >> -1 == 0",
    "sk_buff.mark == 1 << -1",
    "sk_buff.mark:0",
    "sk_buff.daddr == 10.0.0",
    "sk_buff.daddr == 10.0.0.1/33",
    "sk_buff.daddr == 1:2:3",
    "sk_buff.dev.ifindex[x]",
    "sk_buff.sk.(tcp_sock.snd_cwnd",
    "sk_buff.len == früh",
    "ünit == 1",
    "sk_buff.len == 5\u{1b}[2J",
];

/// Wrong for the kernel.
const NOT_IN_THE_KERNEL: &[&str] = &[
    "sk_buf.len == 5",
    "foo == 5",
    "kernel.symbol == 'ip_rcv'",
    "netn == 5",
    "sk_buff == 5",
    "sk_buff.lne == 5",
    "sk_buff.dev.ifnidex == 3",
    "sk_buff.len.x == 3",
    "sk_buff.cloned.x == 1",
    "sk_buff.dev.name.x == 3",
    "sk_buff.dev.tx.x == 3",
    "sk_buff.dev.all.id == 3",
    "sk_buff.sk.sk_user_data.x == 3",
    "sk_buff.dev.private.x == 3",
    "sk_buff.sk.(tcp_sok).snd_cwnd == 3",
    "sk_buff.len.(tcp_sock).snd_cwnd == 3",
    "sk_buff.queues[3].id == 3",
    "sk_buff.len[0] == 3",
    "sk_buff.queues[18446744073709551615].id == 3",
    "sk_buff.dev.flexible[999999999] == 3",
    "sk_buff.len == -1",
    "sk_buff.len == 4294967296",
    "sk_buff.protocol == 0x10000",
    "sk_buff.skb_iif == 0xffffffff",
    "sk_buff.cloned == 2",
    "sk_buff.signed_bits == 64",
    "sk_buff.flag == 2",
    "sk_buff.mark & 0xff == 256",
    "sk_buff.dev.name == 5",
    "sk_buff.dev.name == eth0",
    "sk_buff.dev.name < 'eth0'",
    "sk_buff.dev.name & 1",
    "sk_buff.dev.name",
    "sk_buff.dev.name == '12345678901234567'",
    "sk_buff.dev.nd_net == 5",
    "sk_buff.len == 'eth0'",
    "sk_buff.len == 10.0.0.1",
    "sk_buff.len == 2001:db8::1",
    "sk_buff.len == 01:02:03:04:05:06",
    "sk_buff.sk.__sk_common.skc_daddr < 10.0.0.0/8",
    "sk_buff.sk.__sk_common.skc_v6_daddr < ::1",
    "sk_buff.sk.__sk_common.skc_state == TCP_ESTABLISHD",
    "sk_buff.dev.reg_state == NETREG_REGISTRED",
    "sk_buff.ratio == 1",
    "sk_buff.queues:0xff.id == 1",
    "pid.x == 1",
    "comm[0] == 'p'",
    "comm == '12345678901234567'",
    "pid == -1",
];

/// Wrong for stored events.
const NOT_IN_EVENTS: &[&str] = &[
    "kernl.symbol == 'ip_rcv'",
    "foo == 5",
    "ns == 5",
    "kernel.symbl == 'ip_rcv'",
    "kernel.symbol == 5",
    "kernel.symbol & 5",
    "kernel.symbol == 'a' && kernel.symbol.x",
    "dev.ifindex == 'eth0'",
    "dev.name < 'eth0'",
    "dev == 5",
    "common.task.pdi == 5",
    "sk_buff.dev.mtu == 1500",
    "sk_buff.lne == 5",
    "sk_buff == 5",
    "sk_buff.sk.(tcp_sock).snd_cwnd == 5",
    "dev:0xff.name == 'eth0'",
    "skb.meta.len & 1 == 10.0.0.1",
    "ifname == 5",
];

fn report(out: &mut String, text: &str, error: FilterError) {
    let error = Error::from(error);
    assert_eq!(error.kind(), ErrorKind::BadFilter, "{text}");
    writeln!(out, "{error}").expect("a text can be written to");
    if let Some(hint) = error.hint() {
        writeln!(out, "hint: {hint}").expect("a text can be written to");
    }
    out.push('\n');
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let machine = Machine::new();
    let mut out = String::new();
    for text in NO_FILTERS.iter().chain(NOT_IN_THE_KERNEL) {
        let error = MetadataFilter::compile(text, &machine.kernel).map(|_| text).unwrap_err();
        report(&mut out, text, error);
    }
    insta::assert_snapshot!("kernel", out);
}

#[test]
fn errors_about_events_say_what_is_wrong_and_where() {
    let mut out = String::new();
    for text in NOT_IN_EVENTS {
        report(&mut out, text, EventMatcher::new(text).map(|_| text).unwrap_err());
    }
    insta::assert_snapshot!("events", out);
    for text in NO_FILTERS {
        assert!(EventMatcher::new(text).is_err(), "{text}");
    }
}

#[test]
fn huge_texts_are_refused_and_do_no_harm() {
    let machine = Machine::new();
    let deep = |open: &str, close: &str, depth: usize| {
        format!("{}sk_buff.len == 5{}", open.repeat(depth), close.repeat(depth))
    };
    assert!(machine.matches(&deep("(", ")", 60), "packet") == machine.matches("sk_buff.len == 5", "packet"));
    for text in [deep("(", ")", 5000), deep("!", "", 5000), deep("not ", "", 3000), deep("!(", ")", 4000)] {
        let error = MetadataFilter::compile(&text, &machine.kernel).unwrap_err();
        assert_eq!(error.problem(), "more than 64 parentheses and negations within each other");
    }
    let kind = |length: usize| format!("sk_buff.dev.rtnl_link_ops.kind != '{}'", "x".repeat(length));
    assert!(machine.matches(&kind(126), "packet"));
    let error = MetadataFilter::compile(&kind(127), &machine.kernel).unwrap_err();
    assert_eq!(error.problem(), "a text of more than 126 bytes can't be compared");
    let long = vec!["sk_buff.len == 5"; 700].join(" || ");
    assert!(!machine.matches(&long, "packet"));
    let masked = format!("sk_buff.mark{}", " & 0x80000001".repeat(1000));
    assert!(machine.matches(&masked, "packet"));
    let error = MetadataFilter::compile(&long.repeat(3), &machine.kernel).unwrap_err();
    assert!(error.problem().contains("at most 16384"), "{error}");
    let jumps = vec!["sk_buff.dev.upper.nd_net.net.ns.inum == 5"; 350].join(" && ");
    assert!(MetadataFilter::compile(&jumps, &machine.kernel).is_ok(), "the longest text is no longer than its jumps");
}
