// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Packets from the wire: the captures in `tests/packets`, of which `record.sh` there says how they were made.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::{any, prop, proptest};

use super::tests::{assert_is_one_plain_line, line};
use super::{PacketTextOptions, write_packet};

struct Packet {
    /// From the Ethernet header on, or from the stand-in that the kernel's packets without one get.
    data: Vec<u8>,
    /// Of which so many bytes are not in `data`.
    cut: usize,
}

/// The captures whose names start with `prefix`, in the order of their names.
fn captures(prefix: &str) -> Vec<(String, Vec<Packet>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/packets");
    let mut captures: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcap"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path))
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, path)| (name, read(&fs::read(path).unwrap())))
        .collect();
    captures.sort_by(|(left, _), (right, _)| left.cmp(right));
    captures
}

/// A pcap file as tcpdump writes it on x86.
fn read(file: &[u8]) -> Vec<Packet> {
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(number(0), 0xa1b2_c3d4);
    let link_type = number(20);
    let mut packets = Vec::new();
    let mut at = 24;
    while at < file.len() {
        let (captured, wire) = (number(at + 8), number(at + 12));
        let bytes = &file[at + 16..at + 16 + captured];
        let stand_in: &[u8] = match (link_type, bytes[0] >> 4) {
            (1, _) => &[],
            (101, 4) => &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x00],
            (101, 6) => &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x86, 0xdd],
            _ => panic!("link type {link_type}"),
        };
        packets.push(Packet { data: [stand_in, bytes].concat(), cut: wire - captured });
        at += 16 + captured;
    }
    packets
}

/// What `tracer print` shows of the packets, and what with `-e`.
fn text(captures: &[(String, Vec<Packet>)]) -> String {
    assert!(!captures.is_empty());
    let mut text = String::new();
    for (name, packets) in captures {
        text += &format!("\n{name}\n");
        for packet in packets {
            for link_layer in [false, true] {
                let mark = if link_layer { "-e" } else { "  " };
                let options = PacketTextOptions { link_layer };
                text += &format!("{mark} {}\n", line(&packet.data, packet.data.len() + packet.cut, options));
            }
        }
    }
    text
}

#[test]
fn link_layers_read_as_they_always_did() {
    insta::assert_snapshot!(text(&captures("link-")));
}

#[test]
fn tunnels_read_as_they_always_did() {
    insta::assert_snapshot!(text(&captures("tunnel-")));
}

#[test]
fn every_packet_can_be_cut_at_every_byte() {
    for (name, packets) in captures("") {
        for packet in packets {
            for len in 0..=packet.data.len() {
                for wire_len in [packet.data.len(), len] {
                    for link_layer in [false, true] {
                        let text = line(&packet.data[..len], wire_len, PacketTextOptions { link_layer });
                        assert_is_one_plain_line(&text, &name);
                    }
                }
            }
        }
    }
}

thread_local! {
    static CORPUS: Vec<Vec<u8>> =
        captures("").into_iter().flat_map(|(_, packets)| packets).map(|packet| packet.data).collect();
}

proptest! {
    #[test]
    fn corrupted_packets_give_one_plain_line(
        packet in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        cuts: bool,
        wire_len in 0u32..70_000,
        link_layer: bool,
    ) {
        let mut data = CORPUS.with(|packets| packet.get(packets).clone());
        for (index, value) in changes {
            let index = index.index(data.len());
            data[index] = value;
        }
        if cuts {
            data.truncate(cut.index(data.len() + 1));
        }
        let mut out = String::new();
        write_packet(&mut out, &data, wire_len, PacketTextOptions { link_layer }).unwrap();
        assert_is_one_plain_line(&out, "corrupted");
    }
}
