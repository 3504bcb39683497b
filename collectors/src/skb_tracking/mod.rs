// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collector `skb-tracking`: see `README.md`.

mod event;

use tracer_core::collector::{Collector, Decode, DecodeError, Subject, Wire};
use tracer_core::event::core_sections::{Link, PacketKey};
use tracer_core::event::json::EventJson;
use tracer_core::event::section::SectionDescriptor;
use tracer_ebpf::wire as shared;

use event::SkbTrackingSection;

wire!("skb_tracking");

// SAFETY: integers, without padding.
unsafe impl Wire for wire::skb_tracking_event {}

inventory::submit! {
    Collector {
        name: "skb-tracking",
        about: "which packet it is, so that its events can be told from those of others",
        sections: &[SectionDescriptor::of::<SkbTrackingSection<'static>>()],
        hook: crate::hooks::SKB_TRACKING,
        subjects: &[Subject::Packet],
        arguments: Vec::new,
        start: |kernel, _, needs| {
            needs.tracking(kernel)?;
            Ok(Box::new(Decoder::default()))
        },
    }
}

#[derive(Default)]
struct Decoder {
    /// Stands in front of the identity that it belongs to.
    link: Option<Link<'static>>,
}

impl Decode for Decoder {
    fn decode(&mut self, kind: u8, bytes: &[u8], event: &mut EventJson) -> Result<(), DecodeError> {
        match u32::from(kind) {
            wire::SKB_TRACKING_LINK => self.link = Some(link(shared::packet_link::read(kind, bytes)?.0)),
            wire::SKB_TRACKING_IDENTITY => {
                let (identity, _) = wire::skb_tracking_event::read(kind, bytes)?;
                event.section(&SkbTrackingSection {
                    orig_head: identity.orig_head,
                    timestamp: identity.timestamp,
                    skb: identity.skb,
                    seq: Some(identity.sequence),
                    link: self.link.take(),
                })?;
            }
            _ => return Err(DecodeError::Kind(kind)),
        }
        Ok(())
    }

    fn end(&mut self, _event: &mut EventJson) -> Result<(), DecodeError> {
        self.link = None;
        Ok(())
    }
}

fn link(link: shared::packet_link) -> Link<'static> {
    let name = |id: shared::packet_id| PacketKey { timestamp: id.first_seen, orig_head: id.first_head };
    let (kind, is_child) = match link.kind {
        shared::LINK_COPY => ("copy".into(), true),
        shared::LINK_SEGMENT => ("segment".into(), true),
        shared::LINK_FRAGMENT => ("fragment".into(), true),
        shared::LINK_RETRANSMISSION => ("retransmission".into(), true),
        shared::LINK_MERGE => ("merge".into(), false),
        shared::LINK_REASSEMBLY => ("reassembly".into(), false),
        other => (other.to_string().into(), false),
    };
    Link { kind, parent: name(link.other), root: is_child.then(|| name(link.root)) }
}
