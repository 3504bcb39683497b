// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collector `skb-tracking`: see `README.md`.

mod event;

use tracer_core::collector::{Collector, Decode, DecodeError, Subject, Wire};
use tracer_core::event::json::EventJson;
use tracer_core::event::section::SectionDescriptor;

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
            Ok(Box::new(Decoder))
        },
    }
}

struct Decoder;

impl Decode for Decoder {
    fn decode(&mut self, kind: u8, bytes: &[u8], event: &mut EventJson) -> Result<(), DecodeError> {
        if u32::from(kind) != wire::SKB_TRACKING_IDENTITY {
            return Err(DecodeError::Kind(kind));
        }
        let (identity, _) = wire::skb_tracking_event::read(kind, bytes)?;
        event.section(&SkbTrackingSection {
            orig_head: identity.orig_head,
            timestamp: identity.timestamp,
            skb: identity.skb,
            seq: Some(identity.sequence),
            link: None,
        })?;
        Ok(())
    }
}
