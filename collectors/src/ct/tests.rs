// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::fs;

use proptest::prelude::{any, prop, proptest};
use tempfile::TempDir;
use tracer_core::collector::Decode as _;
use tracer_core::event::json::EventJson;
use tracer_core::event::section::{Section as _, SectionDescriptor};
use tracer_core::event::text::TextOptions;
use tracer_core::kernel::Kernel;

use super::event::{CtExtSection, CtSection};
use super::{Decoder, FAMILY_IPV4, FAMILY_IPV6, GRE, ICMP, ICMPV6, Read, SCTP, TCP, Wire, wire};

/// A decoder that knows some functions.
fn decoder() -> (TempDir, Decoder) {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("proc")).unwrap();
    let functions = [
        "nf_ct_iterate_cleanup",
        "ctnetlink_del_conntrack",
        "early_drop.isra.0",
        "gc_worker",
        "nf_conntrack_tcp_packet",
        "ftrace_trampoline",
        "last",
    ];
    let lines = (1..).zip(functions).map(|(number, name)| format!("{number:x}000 t {name}\t[nf_conntrack]\n"));
    fs::write(root.path().join("proc/kallsyms"), lines.collect::<String>()).unwrap();
    let symbols = Kernel::new(root.path()).symbol_source();
    (root, Decoder { symbols, read: Read::default() })
}

fn bytes_of<T: Wire>(value: &T) -> Vec<u8> {
    // SAFETY: a wire struct has no padding bytes, so all of its memory is initialised.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) }.to_vec()
}

fn tuple(protocol: u8, source: [u8; 4], destination: [u8; 4], ports: [[u8; 2]; 2]) -> wire::ct_tuple {
    let mut tuple = wire::ct_tuple {
        source_port: u16::from_ne_bytes(ports[0]),
        destination_port: u16::from_ne_bytes(ports[1]),
        family: FAMILY_IPV4,
        protocol,
        ..Default::default()
    };
    tuple.source[..4].copy_from_slice(&source);
    tuple.destination[..4].copy_from_slice(&destination);
    tuple
}

/// Of TCP, from 10.0.0.1 to 10.0.0.9, with both ends rewritten.
fn translated() -> wire::ct_connection_event {
    wire::ct_connection_event {
        original: tuple(TCP, [10, 0, 0, 1], [10, 0, 0, 9], [[0x04, 0xd2], [0x1f, 0x90]]),
        reply: tuple(TCP, [192, 0, 2, 7], [192, 0, 2, 1], [[0, 80], [0x04, 0xd3]]),
        status: 0x1be,
        mark: 42,
        zone: 7,
        zone_direction: 3,
        info: 3,
        protocol_state: 3,
        presence: (wire::CT_HAS_MARK | wire::CT_HAS_LABELS) as u8,
        labels: [1, 2],
        ..Default::default()
    }
}

/// The sections of an event, as JSON, of the records that the hook writes.
fn decoded(sections: &[(u32, Vec<u8>)]) -> String {
    let (_root, mut decoder) = decoder();
    let mut json = EventJson::new();
    json.begin();
    for (kind, bytes) in sections {
        decoder.decode(*kind as u8, bytes, &mut json).unwrap();
    }
    decoder.end(&mut json).unwrap();
    String::from_utf8(json.finish().to_vec()).unwrap().trim_end().to_owned()
}

fn text(event: &str) -> String {
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    let sections = [SectionDescriptor::of::<CtSection<'static>>(), SectionDescriptor::of::<CtExtSection<'static>>()];
    let mut lines = Vec::new();
    for section in sections {
        if let Some(value) = event.get(section.name) {
            let mut line = String::new();
            (section.write_text)(&value.to_string(), &mut line, &TextOptions::default()).unwrap();
            lines.push(line);
        }
    }
    lines.join("\n")
}

#[test]
fn a_connection_is_in_the_words_of_the_format() {
    let event = decoded(&[(wire::CT_CONNECTION, bytes_of(&translated()))]);
    assert_eq!(
        event,
        concat!(
            r#"{"ct":{"state":"reply","zone_id":7,"zone_dir":"Default","#,
            r#""orig":{"ip":{"src":"10.0.0.1","dst":"10.0.0.9","version":"v4"},"proto":{"tcp":{"sport":1234,"dport":8080}}},"#,
            r#""reply":{"ip":{"src":"192.0.2.7","dst":"192.0.2.1","version":"v4"},"proto":{"tcp":{"sport":80,"dport":1235}}},"#,
            r#""proto_state":"ESTABLISHED","mark":42,"labels":{"hi":2,"lo":1},"ct_status":446}}"#
        )
    );
    assert_eq!(
        text(&event),
        "ct_state REPLY status 0x1be (SEEN_REPLY|ASSURED|CONFIRMED|SRC_NAT|DST_NAT|SRC_NAT_DONE|DST_NAT_DONE) \
         tcp (ESTABLISHED) orig [10.0.0.1.1234 > 10.0.0.9.8080] reply [192.0.2.7.80 > 192.0.2.1.1235] \
         snat 10.0.0.1:1234 -> 192.0.2.1:1235 dnat 10.0.0.9:8080 -> 192.0.2.7:80 zone 7 mark 0x2a labels 0x20000000000000001"
    );
}

#[test]
fn icmpv6_is_icmp_with_its_number_beside() {
    let mut connection = wire::ct_connection_event {
        original: tuple(ICMPV6, [0xfd, 0, 0, 1], [0xfd, 0, 0, 2], [[0, 5], [128, 0]]),
        reply: tuple(ICMPV6, [0xfd, 0, 0, 2], [0xfd, 0, 0, 1], [[0, 5], [129, 0]]),
        info: 2,
        zone_direction: 1,
        ..Default::default()
    };
    connection.original.family = FAMILY_IPV6;
    connection.reply.family = FAMILY_IPV6;
    let event = decoded(&[(wire::CT_CONNECTION, bytes_of(&connection))]);
    assert!(
        event.contains(r#""version":"v6"},"proto":{"icmp":{"code":0,"type":128,"id":5}},"protonum":58}"#),
        "{event}"
    );
    assert_eq!(
        text(&event),
        "ct_state NEW status 0x0 icmpv6 orig [fd00:1:: > fd00:2:: type 128 code 0 id 5] \
         reply [fd00:2:: > fd00:1:: type 129 code 0 id 5] zone 0 (original)"
    );
}

#[test]
fn an_id_is_a_part_of_the_translation_when_it_is_rewritten() {
    let event = decoded(&[(
        wire::CT_CONNECTION,
        bytes_of(&wire::ct_connection_event {
            original: tuple(ICMP, [10, 0, 0, 1], [10, 0, 0, 2], [[0, 5], [8, 0]]),
            reply: tuple(ICMP, [10, 0, 0, 2], [10, 0, 0, 3], [[0, 6], [0, 0]]),
            zone_direction: 3,
            ..Default::default()
        }),
    )]);
    assert!(text(&event).ends_with(" snat 10.0.0.1 id 5 -> 10.0.0.3 id 6 zone 0"), "{event}");
}

#[test]
fn sctp_has_tags() {
    let event = decoded(&[(
        wire::CT_CONNECTION,
        bytes_of(&wire::ct_connection_event {
            original: tuple(SCTP, [10, 0, 0, 1], [10, 0, 0, 2], [[0, 1], [0, 2]]),
            reply: tuple(SCTP, [10, 0, 0, 2], [10, 0, 0, 1], [[0, 2], [0, 1]]),
            tags: [0x1122_u32.to_be(), 0x3344_u32.to_be()],
            protocol_state: 4,
            zone_direction: 3,
            ..Default::default()
        }),
    )]);
    assert!(event.contains(r#""proto":{"sctp":{"sport":2,"dport":1,"vtag":13124}}"#), "{event}");
    assert!(text(&event).contains(" sctp (ESTABLISHED) orig [10.0.0.1.1 > 10.0.0.2.2 vtag 0x1122]"), "{event}");
}

#[test]
fn other_protocols_are_in_the_section_beside() {
    let connection = |protocol, ports| wire::ct_connection_event {
        original: tuple(protocol, [10, 0, 0, 1], [10, 0, 0, 2], ports),
        reply: tuple(protocol, [10, 0, 0, 2], [10, 0, 0, 1], [ports[1], ports[0]]),
        info: 2,
        zone_direction: 3,
        ..Default::default()
    };
    let gre = connection(GRE, [[0, 1], [0, 2]]);
    let event = decoded(&[(wire::CT_CONNECTION, bytes_of(&gre)), (wire::CT_PARENT, bytes_of(&translated()))]);
    assert!(event.starts_with(r#"{"ct-ext":{"state":"new","connection":{"zone_id":0,"#), "{event}");
    assert!(event.contains(r#""dst":"10.0.0.2","version":"v4"},"protonum":47,"key":{"src":1,"dst":2}}"#), "{event}");
    let line = text(&event);
    assert!(line.starts_with("ct_state NEW status 0x0 gre orig [10.0.0.1 > 10.0.0.2 key 0x1 > 0x2] reply "), "{line}");
    assert!(line.contains(" parent [status 0x1be (SEEN_REPLY|"), "{line}");
    let ospf = decoded(&[(wire::CT_CONNECTION, bytes_of(&connection(89, [[0, 0], [0, 0]])))]);
    assert!(text(&ospf).starts_with("ct_state NEW status 0x0 proto 89 orig [10.0.0.1 > 10.0.0.2] reply "), "{ospf}");
}

#[test]
fn packets_without_a_connection_say_why() {
    for (state, expected) in [(wire::CT_UNTRACKED, "untracked"), (wire::CT_INVALID, "invalid")] {
        let event = decoded(&[(wire::CT_STATE, bytes_of(&wire::ct_state_event { state }))]);
        assert_eq!(event, format!(r#"{{"ct-ext":{{"state":"{expected}"}}}}"#));
        assert_eq!(text(&event), format!("ct_state {}", expected.to_uppercase()));
    }
    assert_eq!(decoded(&[]), "{}", "nothing is known");
}

#[test]
fn what_becomes_of_an_entry_stands_beside_its_connection() {
    let life = wire::ct_life_event { event: wire::CT_CONFIRMED, ..Default::default() };
    let sections = [(wire::CT_LIFE, bytes_of(&life)), (wire::CT_CONNECTION, bytes_of(&translated()))];
    let event = decoded(&sections);
    assert!(event.ends_with(r#","ct-ext":{"event":"confirmed"}}"#), "{event}");
    assert!(text(&event).ends_with("\nct_event confirmed"), "{event}");
    // One that is no packet's.
    let life = wire::ct_life_event { event: wire::CT_DESTROYED, why: wire::CT_TIMEOUT, ..Default::default() };
    let connection = wire::ct_connection_event { info: wire::CT_NO_INFO as u8, ..translated() };
    let event = decoded(&[(wire::CT_LIFE, bytes_of(&life)), (wire::CT_CONNECTION, bytes_of(&connection))]);
    assert!(event.starts_with(r#"{"ct-ext":{"connection":{"zone_id":7,"#), "{event}");
    assert!(event.ends_with(r#","event":"destroyed","why":"timeout"}}"#), "{event}");
    assert!(text(&event).starts_with("ct_event destroyed (timeout) status 0x1be "), "{event}");
}

#[test]
fn why_an_entry_ends_is_told_by_who_removes_it() {
    let (_root, decoder) = decoder();
    let why = |caller: u64, by_netlink: bool, status: u64| {
        let life = wire::ct_life_event {
            caller,
            event: wire::CT_DESTROYED,
            by_netlink: by_netlink.into(),
            ..Default::default()
        };
        decoder.why(&life, status)
    };
    assert_eq!(why(0x1010, true, 0), Some("flush"));
    assert_eq!(why(0x1010, false, 0), Some("cleanup"));
    assert_eq!(why(0x2010, true, 0), Some("delete"));
    assert_eq!(why(0x3010, false, 0), Some("early_drop"));
    assert_eq!(why(0x4010, false, 0), Some("early_drop"));
    assert_eq!(why(0x5010, false, 8), Some("reset"));
    assert_eq!(why(0x5010, false, 10), Some("replaced"));
    assert_eq!(why(0x6010, true, 0), None, "others probe the function's return");
    assert_eq!(why(0, true, 0), None);
    for (number, word) in
        [(wire::CT_CLASH, "clash"), (wire::CT_REFUSED, "invalid"), (wire::CT_UNCONFIRMED, "unconfirmed")]
    {
        let life = wire::ct_life_event { event: wire::CT_DESTROYED, why: number, ..Default::default() };
        assert_eq!(decoder.why(&life, 0), Some(word));
    }
    let life = wire::ct_life_event { caller: 0x1010, event: wire::CT_CREATED, ..Default::default() };
    assert_eq!(decoder.why(&life, 0), None);
}

#[test]
fn records_that_are_cut_short_are_errors_and_leave_nothing() {
    let (_root, mut decoder) = decoder();
    let mut json = EventJson::new();
    let whole = bytes_of(&translated());
    for length in 0..whole.len() {
        json.begin();
        for kind in [wire::CT_CONNECTION, wire::CT_PARENT] {
            assert!(decoder.decode(kind as u8, &whole[..length], &mut json).is_err());
        }
        decoder.end(&mut json).unwrap();
        assert_eq!(json.finish(), b"{}\n");
    }
    assert!(decoder.decode(wire::CT_LIFE as u8, &[0; 20], &mut json).is_err());
    assert!(decoder.decode(wire::CT_STATE as u8, &[9; 4], &mut json).is_err(), "no such state");
    assert!(decoder.decode(77, &whole, &mut json).is_err());
}

#[test]
fn shows_what_others_have_recorded() {
    let ct = r#"{"ct":{"state":"\u001bnew","zone_id":0,"zone_dir":"Default","orig":{"ip":{"src":"10.0.0.1","dst":"10.0.0.2","version":"v4"},"proto":{"udp":{"sport":1,"dport":2}}},"reply":{"ip":{"src":"10.0.0.2","dst":"10.0.0.1","version":"v4"},"proto":{"udp":{"sport":2,"dport":1}}},"ct_status":4294967295}}"#;
    let line = text(ct);
    assert!(line.starts_with(r"ct_state \u{1b}NEW status 0xffffffff (EXPECTED|"), "{line}");
    assert!(
        line.ends_with("|HW_OFFLOAD) udp orig [10.0.0.1.1 > 10.0.0.2.2] reply [10.0.0.2.2 > 10.0.0.1.1] zone 0"),
        "{line}"
    );
    assert_eq!((CtSection::NAME, CtExtSection::NAME), ("ct", "ct-ext"));
}

proptest! {
    /// Whatever a record holds, its event can be shown.
    #[test]
    fn any_bytes_can_be_shown(
        connection in prop::collection::vec(any::<u8>(), size_of::<wire::ct_connection_event>()),
        parent in prop::collection::vec(any::<u8>(), size_of::<wire::ct_connection_event>()),
        family in 0..12_u8,
        protocol in any::<u8>(),
    ) {
        let mut connection = connection;
        let original = size_of::<wire::ct_tuple>();
        for tuple in [0, original] {
            connection[tuple + original - 4..tuple + original - 2].copy_from_slice(&u16::from(family).to_ne_bytes());
            connection[tuple + original - 2] = protocol;
        }
        text(&decoded(&[(wire::CT_CONNECTION, connection), (wire::CT_PARENT, parent)]));
    }
}
