// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The text of packets, over a corpus of real ones: `packets/*.pcap`.
//!
//! What another dissector (tshark) finds in a packet must be in our text of it, field by field; what we print is a snapshot;
//! and whatever becomes of the bytes on their way, the text is one plain line.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod corpus;
mod fields;
mod tshark;

use corpus::{Packet, text};
use proptest::prelude::{any, prop, proptest};

/// In the name of a file: of what is in it two dissectors need not think the same.
const MALFORMED: &str = "malformed";

#[test]
fn shows_the_fields_that_another_dissector_finds() {
    let mut files = corpus::files();
    files.retain(|file| !file.to_string_lossy().contains(MALFORMED));
    let packets: Vec<_> = files.iter().flat_map(|file| corpus::packets(file)).collect();
    let dissected = tshark::dissect(&files, &fields::names());
    assert_eq!(packets.len(), dissected.len());
    let mut missing = String::new();
    let mut compared = Vec::new();
    for (packet, layers) in packets.iter().zip(&dissected) {
        let text = text(packet, true);
        let outcome = fields::compare(layers, &text);
        assert!(!outcome.compared.is_empty(), "nothing to compare in {packet}: {text}");
        compared.extend(outcome.compared);
        for field in outcome.missing {
            missing.push_str(&format!("{packet}: {field}\n    {text}\n"));
        }
    }
    assert!(missing.is_empty(), "not in our text:\n{missing}");
    let unused: Vec<_> = fields::checks().filter(|check| !compared.contains(check)).collect();
    assert!(unused.is_empty(), "in no packet: {unused:?}");
}

/// The comparison itself can fail: a text that lacks one number is noticed.
#[test]
fn misses_a_field_that_the_text_lacks() {
    let file = corpus::folder().join("upper-tcp.pcap");
    let packets = corpus::packets(&file);
    let dissected = tshark::dissect(&[file], &fields::names());
    let text = text(&packets[0], true);
    assert!(fields::compare(&dissected[0], &text).missing.is_empty());
    for (right, wrong) in
        [(" ttl 64 ", " ttl 63 "), ("mss 1460", "mss 146"), (" [DF] ", " [+] "), ("flags [S", "flags [R")]
    {
        assert!(text.contains(right), "{text}");
        let outcome = fields::compare(&dissected[0], &text.replacen(right, wrong, 1));
        assert_eq!(outcome.missing.len(), 1, "{:?}", outcome.missing);
    }
}

#[test]
fn every_packet_of_the_corpus_reads_as_recorded() {
    let mut all = String::new();
    for file in corpus::files() {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        all.push_str(&format!("== {name}\n"));
        for packet in corpus::packets(&file) {
            all.push_str(&format!("   {}\n-e {}\n", text(&packet, false), text(&packet, true)));
        }
    }
    insta::assert_snapshot!(all);
}

#[test]
fn every_packet_can_be_cut_at_every_byte() {
    for packet in corpus::files().iter().flat_map(|file| corpus::packets(file)) {
        for len in 0..=packet.data.len() {
            let cut = Packet { data: packet.data[..len].to_vec(), ..packet.clone() };
            assert_is_one_plain_line(&text(&cut, true));
            // The same, when the packet ends there and not only what was captured of it.
            let short = Packet { wire_len: len as u32, ..cut };
            assert_is_one_plain_line(&text(&short, false));
        }
    }
}

fn assert_is_one_plain_line(text: &str) {
    assert!(!text.is_empty());
    assert!(text.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{text:?}");
    assert!(text.len() < 20_000, "{} bytes: {text}", text.len());
}

proptest! {
    #[test]
    fn changed_packets_give_one_plain_line(
        packet in prop::sample::select(corpus::files().iter().flat_map(|file| corpus::packets(file)).collect::<Vec<_>>()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
        wire_len in 0u32..70_000,
        link_layer: bool,
    ) {
        let mut packet = packet;
        for (index, value) in changes {
            let index = index.index(packet.data.len());
            packet.data[index] = value;
        }
        packet.data.truncate(cut.index(packet.data.len() + 1));
        packet.wire_len = wire_len;
        assert_is_one_plain_line(&text(&packet, link_layer));
    }
}
