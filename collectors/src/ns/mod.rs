// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collector `ns`: see `README.md`.

mod event;
mod names;

use std::borrow::Cow;

use tracer_core::collector::{Collector, Decode, DecodeError, Subject, Wire};
use tracer_core::event::json::EventJson;
use tracer_core::event::section::SectionDescriptor;

use event::NsSection;
use names::Names;

wire!("ns");

// SAFETY: integers, with explicit padding.
unsafe impl Wire for wire::ns_event {}

inventory::submit! {
    Collector {
        name: "ns",
        about: "the network namespace that the packet is in",
        sections: &[SectionDescriptor::of::<NsSection<'static>>()],
        hook: crate::hooks::NS,
        subjects: &[Subject::Namespace],
        arguments: Vec::new,
        start: |kernel, _, _| Ok(Box::new(Decoder { names: Names::new(kernel.path("run/netns")) })),
    }
}

struct Decoder {
    names: Names,
}

impl Decode for Decoder {
    fn decode(&mut self, kind: u8, bytes: &[u8], event: &mut EventJson) -> Result<(), DecodeError> {
        if u32::from(kind) != wire::NS_NAMESPACE {
            return Err(DecodeError::Kind(kind));
        }
        let (namespace, _) = wire::ns_event::read(kind, bytes)?;
        let cookie = (namespace.cookie != 0).then_some(namespace.cookie);
        let name = self.names.get((namespace.cookie, namespace.inum)).map(Cow::Borrowed);
        event.section(&NsSection { cookie, inum: namespace.inum, name })?;
        Ok(())
    }
}
