// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Texts: our eBPF against libpcap's interpreter, on the same packets.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::machine::{Code, Machine};
use super::packets::{PACKETS, Packet, damaged_packets};
use super::steer::steer;
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

    /// Whether the filter matches; both must say the same.
    fn decide(&self, text: &str, machine: &Machine<'_>, packet: &Packet) -> Result<bool, TestCaseError> {
        let expected = run(&self.classic, &packet.data, packet.wire_length);
        let found = machine.run(&packet.data, packet.wire_length);
        prop_assert_eq!(found, expected, "{}: {:?}", text, packet);
        Ok(expected)
    }
}

/// Lets both decide on packets; for the second half of them those that come far in the filter. Counts those that match.
fn compare(text: &str, packets: &[Packet], choices: &[Vec<Option<bool>>]) -> Result<usize, TestCaseError> {
    let mut matched = 0;
    for first_header in [FirstHeader::Ethernet, FirstHeader::Ip] {
        // libpcap refuses what contradicts itself, and what has no meaning without Ethernet.
        let Ok(both) = Both::compile(text, first_header) else { continue };
        let machine = Machine::new(&both.code);
        for packet in packets.iter().filter(|packet| packet.first_header == first_header) {
            matched += usize::from(both.decide(text, &machine, packet)?);
            for choices in choices {
                let mut packet = packet.clone();
                steer(&both.classic, &mut packet, choices);
                matched += usize::from(both.decide(text, &machine, &packet)?);
                // One byte less than the filter asks for is where an error in a length check shows.
                while packet.data.pop().is_some() {
                    both.decide(text, &machine, &packet)?;
                }
            }
        }
    }
    Ok(matched)
}

fn choices() -> impl Strategy<Value = Vec<Option<bool>>> {
    // Some change little, some much, and some get through long chains of conditions.
    prop_oneof![
        vec(weighted(0.5, any::<bool>()), 0..40),
        vec(any::<bool>().prop_map(Some), 0..40),
        vec(Just(Some(true)), 0..40),
    ]
}

#[test]
fn every_text_decides_as_libpcap_does() {
    assert!(TEXTS.len() >= 300, "{} texts", TEXTS.len());
    let mut runner = TestRunner::deterministic();
    let mut never = Vec::new();
    let mut without_raw = BTreeSet::new();
    for text in &*TEXTS {
        Both::compile(text, FirstHeader::Ethernet).unwrap_or_else(|reason| panic!("{text}: {reason}"));
        without_raw.extend(Both::compile(text, FirstHeader::Ip).err());
        let mut matched = compare(text, &PACKETS, &[]).unwrap();
        for _ in 0..16 {
            let packets = vec(damaged_packets(), 4).new_tree(&mut runner).unwrap().current();
            let choices = vec(choices(), 4).new_tree(&mut runner).unwrap().current();
            matched += compare(text, &packets, &choices).unwrap();
        }
        if matched == 0 {
            never.push(*text);
        }
    }
    insta::assert_debug_snapshot!(without_raw);
    // Some match nothing at all, as `ether[0x7fffffff] = 0`.
    assert!(
        never.len() <= TEXTS.len() / 20,
        "so many match none of the packets that they are hardly tested: {never:#?}"
    );
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn texts_decide_as_libpcap_does_on_any_packet(
        text in select(TEXTS.clone()),
        packets in vec(damaged_packets(), 4),
        choices in vec(choices(), 4),
    ) {
        compare(text, &packets, &choices)?;
    }

    #[test]
    fn compositions_decide_as_libpcap_does(
        text in compositions(),
        packets in vec(damaged_packets(), 4),
        choices in vec(choices(), 4),
    ) {
        compare(&text, &packets, &choices)?;
    }
}
