// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets to filter: real ones, and what becomes of them when they are damaged.

use std::path::Path;
use std::sync::LazyLock;

use pcap::{Capture, Linktype};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::Index;

use crate::packet::libpcap::FirstHeader;

/// A packet, or as much of one as was captured.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) first_header: FirstHeader,
    pub(super) data: Vec<u8>,
    pub(super) wire_length: u32,
}

/// The packets that the collectors are tested with; those that carry IP a second time without their Ethernet header.
pub(super) static PACKETS: LazyLock<Vec<Packet>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../collectors/tests/packets");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "pcap"));
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
});

fn read(file: &Path) -> Vec<Packet> {
    let mut capture = Capture::from_file(file).unwrap();
    let first_header = match capture.get_datalink() {
        Linktype::ETHERNET => FirstHeader::Ethernet,
        _ => FirstHeader::Ip,
    };
    let mut packets = Vec::new();
    loop {
        let packet = match capture.next_packet() {
            Ok(packet) => packet,
            Err(pcap::Error::NoMorePackets) => return packets,
            Err(error) => panic!("{}: {error}", file.display()),
        };
        let data = packet.data.to_vec();
        let wire_length = packet.header.len;
        if first_header == FirstHeader::Ethernet && matches!(data[12..14], [0x08, 0x00] | [0x86, 0xdd]) {
            let (data, wire_length) = (data[14..].to_vec(), wire_length - 14);
            packets.push(Packet { first_header: FirstHeader::Ip, data, wire_length });
        }
        packets.push(Packet { first_header, data, wire_length });
    }
}

/// Packets with bytes changed, cut short, made longer than the window, or with a length that is not theirs.
pub(super) fn damaged_packets() -> impl Strategy<Value = Packet> {
    let changes = vec((any::<Index>(), any::<u8>()), 0..4);
    let more = vec(any::<u8>(), 0..200);
    let wire_length = weighted(0.1, prop_oneof![Just(0), any::<u32>()]);
    (any::<Index>(), changes, more, any::<Option<Index>>(), wire_length).prop_map(
        |(packet, changes, more, cut, wire_length)| {
            let mut packet = packet.get(&PACKETS).clone();
            packet.wire_length = wire_length.unwrap_or(packet.wire_length + more.len() as u32);
            packet.data.extend(more);
            for (index, byte) in changes {
                // Most of what filters look at is in the headers.
                let headers = packet.data.len().min(60);
                packet.data[index.index(headers)] = byte;
            }
            if let Some(cut) = cut {
                packet.data.truncate(cut.index(packet.data.len() + 1));
            }
            packet
        },
    )
}
