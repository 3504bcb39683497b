// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The packets in `packets/`, and what we write about them.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pcap::{Capture, Linktype};
use tracer_collectors as _;
use tracer_core::event::section_table::SectionTable;
use tracer_core::event::text::TextOptions;

#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) file: String,
    /// Counted from one, as other programs do.
    pub(crate) number: usize,
    /// From the Ethernet header on, one of zeroes where there was none.
    pub(crate) data: Vec<u8>,
    pub(crate) wire_len: u32,
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} packet {}", self.file, self.number)
    }
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packets")
}

/// The files of the corpus, by name.
pub(crate) fn files() -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "pcap"));
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The packets of a file, as the collector would hand them on.
pub(crate) fn packets(file: &Path) -> Vec<Packet> {
    let mut capture = Capture::from_file(file).unwrap();
    let raw = match capture.get_datalink() {
        Linktype::ETHERNET => false,
        // Raw IP, by its number in files and by that of this system.
        Linktype(101 | 12) | Linktype::IPV4 | Linktype::IPV6 => true,
        other => panic!("{}: link type {other:?}", file.display()),
    };
    let mut packets = Vec::new();
    loop {
        let packet = match capture.next_packet() {
            Ok(packet) => packet,
            Err(pcap::Error::NoMorePackets) => return packets,
            Err(error) => panic!("{}: {error}", file.display()),
        };
        let mut data = Vec::new();
        if raw {
            let ether_type: [u8; 2] = if packet.data[0] >> 4 == 6 { [0x86, 0xdd] } else { [0x08, 0x00] };
            data.extend([0; 12]);
            data.extend(ether_type);
        }
        let stand_in = data.len() as u32;
        data.extend(packet.data);
        packets.push(Packet {
            file: file.file_name().unwrap().to_string_lossy().into_owned(),
            number: packets.len() + 1,
            data,
            wire_len: packet.header.len + stand_in,
        });
    }
}

/// The text of the section `packet`, made as for a user: from the event's JSON.
pub(crate) fn text(packet: &Packet, link_layer: bool) -> String {
    let data = STANDARD.encode(&packet.data);
    let json = format!(r#"{{"len":{},"capture_len":{},"data":"{data}"}}"#, packet.wire_len, packet.data.len());
    let sections = SectionTable::registered().unwrap();
    let section = sections.get("packet").expect("the collector `skb` has a section `packet`");
    let mut text = String::new();
    (section.write_text)(&json, &mut text, &TextOptions { link_layer }).unwrap();
    text
}
