// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Texts: our eBPF against libpcap's interpreter, on the same packets.

use std::collections::HashMap;
use std::sync::LazyLock;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;
use proptest::test_runner::TestCaseError;

use super::machine::{Code, Machine};
use super::packets::{PACKETS, Packet, damaged_packets};
use crate::packet::classic::ClassicProgram;
use crate::packet::libpcap::{self, FirstHeader};
use crate::packet::matcher::run;
use crate::packet::translate::translate;

/// One text a line: all primitives of pcap-filter(7) that libpcap has for Ethernet, and some compositions.
static TEXTS: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("../../../tests/texts.txt").lines().collect());

/// A filter in both forms.
struct Both {
    classic: ClassicProgram,
    code: Code,
}

impl Both {
    fn compile(text: &str, first_header: FirstHeader) -> Result<Self, String> {
        let classic = libpcap::compile(text, first_header)?;
        let code = Code::new(&translate(&classic).map_err(|too_far| format!("{too_far:?}"))?);
        Ok(Self { classic, code })
    }
}

#[test]
fn every_text_decides_as_libpcap_does() {
    assert!(TEXTS.len() >= 300, "{} texts", TEXTS.len());
    let mut never_matched = Vec::new();
    for text in &*TEXTS {
        let mut matched = 0;
        for first_header in [FirstHeader::Ethernet, FirstHeader::Ip] {
            let both = match Both::compile(text, first_header) {
                Ok(both) => both,
                // It has no meaning without Ethernet.
                Err(_) if first_header == FirstHeader::Ip => continue,
                Err(reason) => panic!("{text}: {reason}"),
            };
            let machine = Machine::new(&both.code);
            for packet in PACKETS.iter().filter(|packet| packet.first_header == first_header) {
                // Whole; cut short in the middle of it and of its headers; in a frame that is longer than the window.
                let length = packet.data.len();
                for data in [&packet.data[..], &packet.data[..length / 2], &packet.data[..length.min(33)]] {
                    let expected = run(&both.classic, data, packet.wire_length);
                    assert_eq!(
                        machine.run(data, packet.wire_length),
                        expected,
                        "{text}: {packet:?}, {} bytes",
                        data.len()
                    );
                    matched += usize::from(expected);
                }
            }
        }
        if matched == 0 {
            never_matched.push(*text);
        }
    }
    println!("{} {never_matched:#?}", never_matched.len());
}

fn primitives() -> impl Strategy<Value = String> {
    let accessor = (
        select(vec!["ether", "ip", "ip6", "tcp", "udp", "icmp", "arp"]),
        0..120_u32,
        select(vec![1, 2, 4]),
        select(vec!["=", "!=", "<", ">", "<=", ">="]),
        any::<u32>(),
        0..33_u32,
    );
    prop_oneof![
        select(TEXTS.clone()).prop_map(str::to_owned),
        accessor.prop_map(|(protocol, offset, size, comparison, value, shift)| {
            format!("{protocol}[{offset}:{size}] {comparison} {}", value.checked_shr(shift).unwrap_or(0))
        }),
        (0..120_u32).prop_map(|length| format!("len > {length}")),
        any::<u16>().prop_map(|port| format!("port {port}")),
    ]
}

fn compositions() -> impl Strategy<Value = String> {
    primitives().prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), Just(" and "), inner.clone()),
            (inner.clone(), Just(" or "), inner.clone()),
            (Just(String::new()), Just("not "), inner),
        ]
        .prop_map(|(left, operator, right)| format!("({left}{operator}{right})"))
    })
}

fn agree(text: &str, packets: &[Packet]) -> Result<(), TestCaseError> {
    let mut filters = HashMap::new();
    for packet in packets {
        let both = filters
            .entry(packet.first_header == FirstHeader::Ethernet)
            .or_insert_with(|| Both::compile(text, packet.first_header).ok());
        if let Some(both) = both {
            let expected = run(&both.classic, &packet.data, packet.wire_length);
            let found = Machine::new(&both.code).run(&packet.data, packet.wire_length);
            proptest::prop_assert_eq!(found, expected, "{}: {:?}", text, packet);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn texts_decide_as_libpcap_does_on_damaged_packets(
        text in select(TEXTS.clone()),
        packets in proptest::collection::vec(damaged_packets(), 20),
    ) {
        agree(text, &packets)?;
    }

    #[test]
    fn compositions_decide_as_libpcap_does(
        text in compositions(),
        packets in proptest::collection::vec(damaged_packets(), 20),
    ) {
        agree(&text, &packets)?;
    }
}
