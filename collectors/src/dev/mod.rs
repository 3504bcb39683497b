// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collector `dev`: see `README.md`.

mod event;

use tracer_core::collector::{Collector, Decode, DecodeError, Subject, Wire};
use tracer_core::event::json::EventJson;
use tracer_core::event::section::SectionDescriptor;
use tracer_core::session::text;

use event::DevSection;

wire!("dev");

// SAFETY: an array of bytes and integers, without padding.
unsafe impl Wire for wire::dev_event {}

inventory::submit! {
    Collector {
        name: "dev",
        about: "the network device that the packet is on",
        sections: &[SectionDescriptor::of::<DevSection<'static>>()],
        hook: crate::hooks::DEV,
        subjects: &[Subject::Device],
        arguments: Vec::new,
        start: |_, _, _| Ok(Box::new(Decoder)),
    }
}

struct Decoder;

impl Decode for Decoder {
    fn decode(&mut self, kind: u8, bytes: &[u8], event: &mut EventJson) -> Result<(), DecodeError> {
        if u32::from(kind) != wire::DEV_DEVICE {
            return Err(DecodeError::Kind(kind));
        }
        let (device, _) = wire::dev_event::read(kind, bytes)?;
        let rx_ifindex = (device.rx_ifindex != 0).then_some(device.rx_ifindex);
        event.section(&DevSection {
            name: text(&device.name.map(|c| c as u8)),
            ifindex: device.ifindex,
            rx_ifindex,
        })?;
        Ok(())
    }
}
