// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collector `skb-drop`: see `README.md`.

mod event;
mod reasons;

use std::borrow::Cow;
use std::collections::HashMap;

use tracer_core::collector::{Collector, Decode, DecodeError, Subject, Wire};
use tracer_core::error::{Error, ErrorKind};
use tracer_core::event::json::EventJson;
use tracer_core::event::section::SectionDescriptor;
use tracer_core::kernel::Kernel;
use tracer_core::kernel::btf::Types;
use tracer_core::kernel::symbol_source::SymbolSource;
use tracer_core::probe::{ArgumentType, ProbeSpec, WantedArgument};

use event::{NO_REASON, SkbDropSection};
use reasons::Reasons;

wire!("skb_drop");

// SAFETY: integers, without padding.
unsafe impl Wire for wire::skb_drop_event {}

/// Frees what a packet holds, be it dropped or used up: mostly without a reason, and after the drop has been told.
const RELEASING: &[&str] = &["skb_release_data", "skb_release_all"];

static REASON: WantedArgument =
    WantedArgument { argument: ArgumentType::Enum(Cow::Borrowed("skb_drop_reason")), except: RELEASING };
static QDISC_REASON: WantedArgument =
    WantedArgument { argument: ArgumentType::Enum(Cow::Borrowed("qdisc_drop_reason")), except: &[] };
/// The dropper, for the tracepoint that tells of all drops.
static LOCATION: WantedArgument =
    WantedArgument { argument: ArgumentType::Address(Cow::Borrowed("location")), except: &[] };

/// Locations whose names are remembered; then all are forgotten. Kernels have some thousand.
const MOST_LOCATIONS: usize = 16_384;

inventory::submit! {
    Collector {
        name: "skb-drop",
        about: "where packets are dropped, and why",
        sections: &[SectionDescriptor::of::<SkbDropSection<'static>>()],
        hook: crate::hooks::SKB_DROP,
        subjects: &[Subject::Argument(&REASON), Subject::Argument(&QDISC_REASON)],
        arguments: Vec::new,
        start: |kernel, _, needs| {
            let reasons = Reasons::read(kernel);
            if reasons.is_none() {
                needs.limit("gives no reasons for drops");
            }
            let probe = |text: &str| {
                text.parse::<ProbeSpec>().map_err(|error| Error::new(ErrorKind::Failure, error.to_string()))
            };
            needs.probe(probe("tp:skb:kfree_skb")?);
            if has_tracepoint(kernel, "qdisc_drop") {
                // What the qdisc knows comes before what the core makes of it.
                needs.probe(probe("tp:qdisc:qdisc_drop")?);
            }
            needs.argument(&REASON, "skb_drop_reason_argument");
            needs.argument(&QDISC_REASON, "skb_drop_qdisc_argument");
            needs.argument(&LOCATION, "skb_drop_location_argument");
            let consumed = reasons.as_ref().and_then(|reasons| reasons.number("CONSUMED")).unwrap_or(0);
            needs.constant("skb_drop_has_reasons", [u8::from(reasons.is_some())]);
            needs.constant("skb_drop_consumed", consumed.to_ne_bytes());
            needs.symbols();
            Ok(Box::new(Decoder { reasons, symbols: kernel.symbol_source(), locations: HashMap::new() }))
        },
    }
}

fn has_tracepoint(kernel: &Kernel, name: &str) -> bool {
    kernel.vmlinux().is_ok_and(|vmlinux| !Types::new(vmlinux, None).tracepoints(|found| found == name).is_empty())
}

struct Decoder {
    /// `None`: the kernel gives none.
    reasons: Option<Reasons>,
    symbols: SymbolSource,
    /// What was found at an address; `None`: nowhere that a packet is dropped.
    locations: HashMap<u64, Option<String>>,
}

impl Decode for Decoder {
    fn decode(&mut self, kind: u8, bytes: &[u8], event: &mut EventJson) -> Result<(), DecodeError> {
        if u32::from(kind) != wire::SKB_DROP_DROP {
            return Err(DecodeError::Kind(kind));
        }
        let (drop, _) = wire::skb_drop_event::read(kind, bytes)?;
        let reasons = self.reasons.as_mut().filter(|_| drop.has_reason != 0);
        let (drop_reason, subsys) =
            reasons.map_or((Cow::Borrowed(NO_REASON), None), |reasons| reasons.describe(drop.reason));
        if self.locations.len() >= MOST_LOCATIONS {
            self.locations.clear();
        }
        let symbols = &self.symbols;
        let location = self.locations.entry(drop.location).or_insert_with(|| locate(symbols, drop.location));
        event.section(&SkbDropSection { drop_reason, subsys, location: location.as_deref().map(Cow::Borrowed) })?;
        Ok(())
    }
}

/// The place of an address, in words.
fn locate(symbols: &SymbolSource, address: u64) -> Option<String> {
    /// Where functions seem to return to when others probe their return.
    const TRAMPOLINES: [&str; 4] =
        ["arch_rethook_trampoline+", "return_to_handler+", "__kretprobe_trampoline+", "kretprobe_trampoline+"];
    if address == 0 {
        return None;
    }
    let location = symbols.locate(address).unwrap_or_else(|| format!("{address:#x}"));
    (!TRAMPOLINES.iter().any(|trampoline| location.starts_with(trampoline))).then_some(location)
}
