// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};
use tracer_core::event::json::EventJson;
use tracer_core::event::section::Section as _;
use tracer_core::event::text::TextOptions;

use super::super::event::OvsSection;
use super::super::names::Names;
use super::super::wire;
use super::ActionDecoder;

const ACTIONS: &[(u32, &str)] = &[
    (1, "output"),
    (2, "userspace"),
    (3, "set"),
    (4, "push_vlan"),
    (5, "pop_vlan"),
    (6, "sample"),
    (7, "recirc"),
    (8, "hash"),
    (9, "push_mpls"),
    (10, "pop_mpls"),
    (11, "set_masked"),
    (12, "ct"),
    (13, "trunc"),
    (14, "push_eth"),
    (17, "push_nsh"),
    (19, "meter"),
    (20, "clone"),
    (21, "check_pkt_len"),
    (22, "add_mpls"),
    (23, "dec_ttl"),
    (24, "drop"),
    (25, "psample"),
    (27, "set_to_masked"),
    (28, "invented"),
];

fn decoder() -> ActionDecoder {
    ActionDecoder::new(Names::new(ACTIONS, &[(4, "ethernet"), (7, "ipv4"), (10, "udp"), (31, "tunnel_info")]))
}

fn decode_as(number: u16, form: u32, payload: &[u8]) -> Value {
    let action = wire::ovs_action_event {
        type_: number,
        length: payload.len() as u16,
        form,
        recirc_id: 3,
        upcall_id: 9,
        queue_id: 8,
    };
    let mut event = EventJson::new();
    event.begin();
    decoder().decode(0, &action, payload, &mut event).unwrap();
    let mut event: Value = serde_json::from_slice(event.finish()).unwrap();
    event["ovs"].take()
}

fn decode(number: u16, payload: &[u8]) -> Value {
    decode_as(number, 0, payload)
}

fn text(section: &Value) -> String {
    let section: OvsSection<'_> = serde_json::from_str(&section.to_string()).unwrap();
    let mut text = String::new();
    section.write_text(&mut text, &TextOptions::default()).unwrap();
    let text = text.strip_prefix("recirc_id(0x3) exec ").expect("it says where");
    text.strip_suffix(" for upcall 9").expect("it says for which upcall").to_owned()
}

fn words(number: u16, payload: &[u8]) -> String {
    text(&decode(number, payload))
}

/// An attribute, padded.
fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from((content.len() as u16 + 4).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn an_event_has_what_the_format_promises() {
    assert_eq!(
        decode(1, &2_u32.to_ne_bytes()),
        json!({"event_type": "action_execute", "action": "output", "port": 2, "recirc_id": 3, "queue_id": 8, "upcall_id": 9})
    );
    assert_eq!(
        decode(4, &[0x81, 0, 0x60, 10]),
        json!({"event_type": "action_execute", "action": "push_vlan", "recirc_id": 3, "queue_id": 8, "upcall_id": 9,
               "args": {"vid": 10, "pcp": 3, "eth_type": 0x8100}})
    );
}

#[test]
fn says_it_in_the_words_of_open_vswitch() {
    let word = |number: u32| number.to_ne_bytes();
    assert_eq!(words(1, &word(2)), "output(2)");
    assert_eq!(words(7, &word(17)), "recirc(0x11)");
    assert_eq!(words(4, &[0x81, 0, 0x60, 10]), "push_vlan(vid=10,pcp=3)");
    assert_eq!(words(4, &[0x88, 0xa8, 0, 10]), "push_vlan(vid=10,pcp=0,tpid=0x88a8)");
    assert_eq!(words(5, &[]), "pop_vlan");
    assert_eq!(words(8, &[word(0), word(5)].concat()), "hash(hash_l4(5))");
    assert_eq!(words(9, &[0, 1, 3, 64, 0x88, 0x47]), "push_mpls(label=16,tc=1,ttl=64,bos=1,eth_type=0x8847)");
    assert_eq!(words(10, &[8, 0]), "pop_mpls(eth_type=0x800)");
    assert_eq!(words(13, &word(60)), "trunc(60)");
    assert_eq!(
        words(14, &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]),
        "push_eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)"
    );
    assert_eq!(words(19, &word(4)), "meter(4)");
    assert_eq!(words(20, &attribute(1, &word(1))), "clone");
    assert_eq!(words(6, &attribute(1, &[word(1), word(u32::MAX / 2)].concat())), "sample(sample=50.0%)");
    assert_eq!(words(21, &attribute(4, &[&100_u16.to_ne_bytes()[..], &[0, 1]].concat())), "check_pkt_len(size=100)");
    assert_eq!(words(24, &word(0)), "drop");
    assert_eq!(words(24, &word(5)), "drop(error=5)");
    assert_eq!(words(25, &[attribute(1, &word(7)), attribute(2, &[1, 2])].concat()), "psample(group=7,cookie=0102)");
    let nsh = attribute(1, &[0, 63, 1, 3, 0, 0, 5, 255]);
    assert_eq!(words(17, &nsh), "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x5,si=255)");
    let cookie = [&5_u16.to_ne_bytes()[..], &[1, 2, 3]].concat();
    let userspace = [attribute(1, &word(77)), attribute(2, &cookie)].concat();
    assert_eq!(words(2, &userspace), "userspace(pid=77,controller)");
    assert_eq!(decode(2, &userspace)["args"]["cookie"], "0500010203");
    assert_eq!(words(3, &attribute(10, &[0, 53, 4, 0])), "set(udp(src=53,dst=1024))");
    assert_eq!(words(27, &attribute(10, &[0, 53, 4, 0, 255, 255, 0, 0])), "set(udp(src=53))");
}

#[test]
fn connections_are_tracked_with_all_that_was_asked_for() {
    let mut ct = wire::ovs_conntrack_action { zone: 5, family: libc::AF_INET as u16, ..Default::default() };
    let bytes = |ct: &wire::ovs_conntrack_action| {
        // SAFETY: the struct has explicit padding only.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(ct).cast::<u8>(), size_of_val(ct)) }.to_vec()
    };
    let conntrack = |ct: &wire::ovs_conntrack_action| decode_as(12, wire::OVS_FORM_CONNTRACK, &bytes(ct));
    assert_eq!(text(&conntrack(&ct)), "ct(zone=5)");
    (ct.commit, ct.nat) = (1, 1);
    assert_eq!(text(&conntrack(&ct)), "ct(commit,zone=5,nat)");
    (ct.nat, ct.force, ct.range_flags) = (3, 1, 1 | 2 | 16);
    ct.min_address[..4].copy_from_slice(&[10, 0, 0, 9]);
    ct.max_address[..4].copy_from_slice(&[10, 0, 0, 12]);
    (ct.min_port, ct.max_port) = (1000_u16.to_be(), 2000_u16.to_be());
    (ct.mark, ct.mark_mask) = (1, 0xff);
    ct.labels[0] = 2;
    ct.labels_mask[15] = 0x80;
    ct.helper[..3].copy_from_slice(b"ftp");
    let section = conntrack(&ct);
    assert_eq!(
        text(&section),
        "ct(force_commit,zone=5,mark=0x1/0xff,label=0x2/0x80000000000000000000000000000000,helper=ftp,nat(src=10.0.0.9-10.0.0.12:1000-2000,random))"
    );
    assert_eq!(section["flags"], 1 | 2 | 4 | 16 | 32 | 128 | 256 | 2048);
    assert_eq!(section["nat"]["max_addr"], "10.0.0.12");
    ct.family = libc::AF_INET6 as u16;
    (ct.min_address, ct.max_address) = ([1; 16], [1; 16]);
    assert!(text(&conntrack(&ct)).contains("nat(src=[101:101:101:101:101:101:101:101]:1000-2000,random)"));
}

#[test]
fn a_tunnel_is_told_by_where_it_leads() {
    let mut to = wire::ovs_tunnel_action { ttl: 64, destination_port: 4789_u16.to_be(), ..Default::default() };
    to.tunnel_id[7] = 42;
    to.destination[..4].copy_from_slice(&[10, 9, 0, 2]);
    // SAFETY: the struct has explicit padding only.
    let bytes = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(&to).cast::<u8>(), size_of_val(&to)) };
    let section = decode_as(3, wire::OVS_FORM_TUNNEL, bytes);
    assert_eq!(text(&section), "set(tunnel(tun_id=0x2a,dst=10.9.0.2,ttl=64,tp_dst=4789))");
}

#[test]
fn what_is_not_known_keeps_its_number_and_its_bytes() {
    let section = decode(99, &[1, 2]);
    assert_eq!((&section["action"], &section["id"]), (&json!("unknown"), &json!(99)));
    assert_eq!(section["args"], json!({"bytes": "0102"}));
    assert_eq!(text(&section), "action99(0x0102)");
    // A name without a form that is known.
    assert_eq!(words(28, &[1, 2]), "invented(0x0102)");
    assert_eq!(words(28, &[]), "invented");
    // A form that is not the one that its name promises.
    assert_eq!(words(1, &[1, 2]), "output(0x0102)");
    assert_eq!(words(2, &attribute(9, &[])), "userspace(0x04000900)");
    assert_eq!(words(3, &attribute(99, &[1, 2, 3, 4])), "set(0x0800630001020304)");
    assert_eq!(words(6, &[1]), "sample(0x01)");
}

proptest! {
    #[test]
    fn whatever_an_action_carries_it_can_be_read_back(number in 0_u16..40, payload in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut shown = String::new();
        write!(shown, "{}", words(number, &payload)).unwrap();
        prop_assert!(!shown.is_empty());
    }
}
