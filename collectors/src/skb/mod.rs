// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collector `skb`: see `README.md`.

mod event;
mod packet_text;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use tracer_core::collector::{Collector, Decode, DecodeError, Subject, Wire};
use tracer_core::event::json::EventJson;
use tracer_core::event::section::SectionDescriptor;

use event::{Bytes, DataRef, Gso, Meta, PacketSection, SkbSection, VlanAccel};

wire!("skb");

/// Ethernet header: two addresses of 6 bytes and the type.
const ETHERNET_HEADER: u32 = 14;

// SAFETY: integers, with explicit padding.
unsafe impl Wire for wire::skb_packet_event {}
// SAFETY: as above.
unsafe impl Wire for wire::skb_vlan_event {}
// SAFETY: as above.
unsafe impl Wire for wire::skb_meta_event {}
// SAFETY: as above.
unsafe impl Wire for wire::skb_dataref_event {}
// SAFETY: as above.
unsafe impl Wire for wire::skb_gso_event {}

inventory::submit! {
    Collector {
        name: "skb",
        about: "the packet's bytes, and what the kernel notes about it",
        sections: &[SectionDescriptor::of::<PacketSection<'static>>(), SectionDescriptor::of::<SkbSection>()],
        hook: crate::hooks::SKB,
        subjects: &[Subject::Packet],
        arguments,
        start: |_, arguments, needs| {
            let snaplen: u32 = arguments.get_one("snaplen").copied().unwrap_or(255);
            needs.constant("snaplen", snaplen.to_ne_bytes());
            needs.constant("skb_sections", sections(arguments).to_ne_bytes());
            // Twice: see `copy_bytes` in the hook.
            needs.event_bytes(2 * snaplen);
            needs.paged_data();
            Ok(Box::new(Decoder::default()))
        },
    }
}

fn arguments() -> Vec<Arg> {
    vec![
        Arg::new("snaplen")
            .long("snaplen")
            .short('s')
            .value_name("BYTES")
            .default_value("255")
            .value_parser(value_parser!(u32).range(1..=65535))
            .help("Most bytes of each packet that are recorded"),
        Arg::new("skb-sections")
            .long("skb-sections")
            .value_name("SECTION")
            .value_delimiter(',')
            .action(ArgAction::Append)
            .value_parser(PossibleValuesParser::new(["meta", "dataref", "gso", "all"]))
            .help("What to record of the packet's sk_buff besides its bytes"),
    ]
}

/// The sections that were asked for, as the hook knows them.
fn sections(arguments: &ArgMatches) -> u32 {
    let chosen = arguments.get_many::<String>("skb-sections").into_iter().flatten();
    chosen.fold(0, |bits, name| {
        bits | match name.as_str() {
            "meta" => 1 << wire::SKB_META,
            "dataref" => 1 << wire::SKB_DATAREF,
            "gso" => 1 << wire::SKB_GSO,
            _ => 1 << wire::SKB_META | 1 << wire::SKB_DATAREF | 1 << wire::SKB_GSO,
        }
    })
}

#[derive(Default)]
struct Decoder {
    /// The parts of the `skb` section that this event had so far.
    section: SkbSection,
    /// A packet with the header that stands in for its missing one.
    packet: Vec<u8>,
}

impl Decode for Decoder {
    fn decode(&mut self, kind: u8, bytes: &[u8], event: &mut EventJson) -> Result<(), DecodeError> {
        match u32::from(kind) {
            wire::SKB_PACKET => {
                let (packet, data) = wire::skb_packet_event::read(kind, bytes)?;
                return self.packet(&packet, data, event);
            }
            wire::SKB_VLAN => {
                let (vlan, _) = wire::skb_vlan_event::read(kind, bytes)?;
                self.section.vlan_accel = Some(VlanAccel {
                    proto: u16::from_be(vlan.proto),
                    pcp: (vlan.tci >> 13) as u8,
                    dei: vlan.tci & 1 << 12 != 0,
                    vid: vlan.tci & 0xfff,
                });
            }
            wire::SKB_META => {
                let (meta, _) = wire::skb_meta_event::read(kind, bytes)?;
                self.section.meta = Some(Meta {
                    len: meta.len,
                    data_len: meta.data_len,
                    hash: meta.hash,
                    ip_summed: meta.ip_summed,
                    csum: meta.csum,
                    csum_level: meta.csum_level,
                    priority: meta.priority,
                    mark: Some(meta.mark),
                });
            }
            wire::SKB_DATAREF => {
                let (data, _) = wire::skb_dataref_event::read(kind, bytes)?;
                self.section.data_ref = Some(DataRef {
                    nohdr: data.nohdr != 0,
                    cloned: data.cloned != 0,
                    fclone: data.fclone,
                    users: data.users,
                    // The upper half counts those that use the payload alone; they are counted below too.
                    dataref: data.dataref & 0xffff,
                });
            }
            wire::SKB_GSO => {
                let (gso, _) = wire::skb_gso_event::read(kind, bytes)?;
                self.section.gso = Some(Gso {
                    flags: gso.flags,
                    frags: gso.frags.into(),
                    size: gso.size.into(),
                    segs: gso.segs.into(),
                    kind: gso.type_,
                });
            }
            _ => return Err(DecodeError::Kind(kind)),
        }
        Ok(())
    }

    fn end(&mut self, event: &mut EventJson) -> Result<(), DecodeError> {
        if !self.section.is_empty() {
            event.section(&self.section)?;
            self.section = SkbSection::default();
        }
        Ok(())
    }
}

impl Decoder {
    fn packet(
        &mut self,
        packet: &wire::skb_packet_event,
        data: &[u8],
        event: &mut EventJson,
    ) -> Result<(), DecodeError> {
        let (stand_in, bytes) = if packet.ethertype == 0 {
            (0, data)
        } else {
            self.packet.clear();
            self.packet.extend_from_slice(&[0; 12]);
            self.packet.extend_from_slice(&packet.ethertype.to_ne_bytes());
            self.packet.extend_from_slice(data);
            (ETHERNET_HEADER, self.packet.as_slice())
        };
        let section = PacketSection {
            len: packet.length.saturating_add(stand_in),
            capture_len: bytes.len() as u32,
            data: Bytes::Borrowed(bytes),
        };
        event.section(&section)?;
        Ok(())
    }
}
