// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The filter on packets as events have them.

use crate::packet::{AcceleratedTag, Matcher, RecordedPacket};

/// TCP from 10.0.0.1 port 4242 to 10.0.0.2 port 80, without options and payload.
const IP: [u8; 40] = [
    0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x10, 0x92, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50,
    2, 0, 0, 0, 0, 0, 0,
];
const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

fn frame(addresses: [u8; 12]) -> Vec<u8> {
    [&addresses[..], &[0x08, 0x00], &IP].concat()
}

fn matches(text: &str, data: &[u8], length: u32, vlan: Option<AcceleratedTag>) -> bool {
    Matcher::new(text).unwrap().matches(&RecordedPacket { data, length, vlan })
}

#[test]
fn sees_the_tag_beside_the_packet_when_asked_for_tags() {
    let data = frame(ADDRESSES);
    let tag = Some(AcceleratedTag { proto: 0x8100, tci: 0x6064 });
    for text in [
        "vlan",
        "vlan 100",
        "vlan 100 and tcp port 4242",
        "not vlan 5",
        "vlan and len = 54",
        "vlan and ether[14] = 0x60",
    ] {
        assert!(matches(text, &data, 54, tag), "{text}");
    }
    for text in ["vlan 101", "not vlan", "vlan and len = 58"] {
        assert!(!matches(text, &data, 54, tag), "{text}");
    }
    // Without the word the packet is what is in memory.
    for text in ["tcp port 4242", "len = 54", "ether[12:2] = 0x0800"] {
        assert!(matches(text, &data, 54, tag), "{text}");
    }
    assert!(!matches("vlan", &data, 54, None));
    assert!(!matches("vlan", &data[..11], 54, tag), "there is no place for a tag");
}

#[test]
fn a_header_without_addresses_stands_for_none() {
    let data = frame([0; 12]);
    assert!(matches("tcp port 4242 and len = 40", &data, 54, None));
    assert!(!matches("len = 54", &data, 54, None));
    assert!(!matches("arp", &data, 54, None));
    // The loopback device's headers look the same.
    assert!(matches("ether proto 0x0800 and ether src 00:00:00:00:00:00 and len = 54", &data, 54, None));
    assert!(matches("len = 54", &frame(ADDRESSES), 54, None));
}

#[test]
fn arp_without_addresses_is_arp() {
    let data = [&[0; 12][..], &[0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1], &[0; 20]].concat();
    for text in ["arp", "arp[7] = 1", "ether proto \\arp and len = 42", "not ip"] {
        assert!(matches(text, &data, 42, None), "{text}");
    }
    assert!(!matches("ip or ip6 or len = 28", &data, 42, None));
}

#[test]
fn bytes_that_were_not_recorded_do_not_match() {
    let data = &frame(ADDRESSES)[..36];
    assert!(matches("tcp and src host 10.0.0.1 and dst host 10.0.0.2 or tcp and len = 1500", data, 1500, None));
    assert!(matches("tcp src port 4242", data, 1500, None));
    assert!(!matches("tcp dst port 80", data, 1500, None));
    assert!(matches("greater 1500", data, 1500, None));
    for length in 0..36 {
        assert!(!matches("tcp src port 4242", &data[..length], 1500, None), "{length} bytes");
    }
}

#[test]
fn can_be_sent_to_another_thread() {
    fn send<T: Send + Sync>(_: T) {}
    send(Matcher::new("tcp").unwrap());
}
