// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The registry of collectors: one [`Collector`] value describes each, and everything else derives from it.

use std::fmt;

use clap::{Arg, ArgMatches, Command};

use crate::error::{Error, ErrorKind};
use crate::event::json::EventJson;
use crate::event::section::SectionDescriptor;
use crate::kernel::Kernel;
use crate::probe::{PacketPlace, Probe, ProbeSpec, ProbeType, WantedArgument};
use crate::session::tracking_programs;
use crate::similar::{did_you_mean, similar};

/// A collector: what it is called, what it adds to events, and the eBPF hook that gathers it.
pub struct Collector {
    /// The name that `-c` takes, e.g. `skb-tracking`.
    pub name: &'static str,
    /// One sentence for the help text.
    pub about: &'static str,
    /// The sections that it writes.
    pub sections: &'static [SectionDescriptor],
    /// Its eBPF part.
    pub hook: Hook,
    /// What it speaks about: it is silent at a probe that leads to none of these.
    pub subjects: &'static [Subject],
    /// Options of `collect` that belong to it.
    pub arguments: fn() -> Vec<Arg>,
    /// Finds out whether it can run here, says what it needs, and returns what reads its records.
    pub start: Start,
}

/// Starts a collector: from the kernel, the values of its arguments, and what it asks of the session, to its decoder.
pub type Start = fn(&Kernel, &ArgMatches, &mut Needs) -> Result<Box<dyn Decode>, Error>;

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("name", &self.name).finish_non_exhaustive()
    }
}

inventory::collect!(Collector);

/// What a probe can lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A packet.
    Packet,
    /// A network device, the packet's or an argument.
    Device,
    /// A network namespace, the packet's or an argument.
    Namespace,
    /// An argument.
    Argument(&'static WantedArgument),
    /// A USDT probe, by `PROVIDER:NAME`.
    Usdt(&'static str),
}

impl Collector {
    /// Whether it has something to say at a probe.
    pub fn speaks_at(&self, probe: &Probe) -> bool {
        let has_packet = probe.packet != PacketPlace::Nowhere;
        self.subjects.iter().any(|subject| match subject {
            Subject::Packet => has_packet,
            Subject::Device => has_packet || probe.device_argument.is_some(),
            // A device is in a namespace.
            Subject::Namespace => has_packet || probe.device_argument.is_some() || probe.namespace_argument.is_some(),
            Subject::Usdt(symbol) => probe.probe_type == ProbeType::Usdt && probe.symbol() == *symbol,
            Subject::Argument(wanted) => has_packet && wanted.of(probe).is_some(),
        })
    }

    /// Starts it as without options, and forgets it again. Returns what it can't do on this kernel, as [`Needs::limit`] has it.
    ///
    /// # Errors
    /// Why it can't run on this kernel.
    pub fn can_run(&self, kernel: &Kernel) -> Result<Vec<&'static str>, Error> {
        let command = Command::new(self.name).no_binary_name(true).args((self.arguments)());
        let arguments = command
            .try_get_matches_from([""; 0])
            .map_err(|error| Error::new(ErrorKind::Failure, format!("its options have no defaults: {error}")))?;
        let mut needs = Needs::default();
        (self.start)(kernel, &arguments, &mut needs).map(|_| needs.limits)
    }
}

/// The eBPF part of a collector, as the collectors' build script made it.
#[derive(Clone, Copy)]
pub struct Hook {
    /// The number that stands for the collector in records and in the configuration of probes.
    pub number: u8,
    /// The compiled hook.
    pub object: &'static [u8],
}

/// What a collector needs of the session that it takes part in.
#[derive(Debug, Default)]
pub struct Needs {
    pub(crate) constants: Vec<(&'static str, Vec<u8>)>,
    pub(crate) paged_data: bool,
    pub(crate) event_bytes: u32,
    /// The programs that tracking takes, when it is asked for.
    pub(crate) tracking: Option<Vec<&'static str>>,
    pub(crate) probes: Vec<ProbeSpec>,
    /// Each with the variable of the hook that says what number it has.
    pub(crate) known_probes: Vec<(ProbeSpec, &'static str)>,
    /// Each with the variable of the hook that says where it is.
    pub(crate) arguments: Vec<(&'static WantedArgument, &'static str)>,
    pub(crate) symbols: bool,
    pub(crate) limits: Vec<&'static str>,
}

impl Needs {
    /// Sets a `const volatile` variable of the hook.
    pub fn constant<const N: usize>(&mut self, variable: &'static str, value: [u8; N]) {
        self.constants.push((variable, value.to_vec()));
    }

    /// Reads bytes of packets that are not in their linear part, through `page_address()`.
    pub fn paged_data(&mut self) {
        self.paged_data = true;
    }

    /// Asks for this much room in an event beyond what every event has.
    pub fn event_bytes(&mut self, bytes: u32) {
        self.event_bytes += bytes;
    }

    /// Asks for packets to be tracked.
    ///
    /// # Errors
    /// When this kernel does not have what that takes.
    pub fn tracking(&mut self, kernel: &Kernel) -> Result<(), Error> {
        self.tracking = Some(tracking_programs(kernel)?);
        Ok(())
    }

    /// Asks for an argument. The hook reads it with `read_argument(hit, variable, ...)`, where `variable` is a
    /// `const volatile u32` of its own, which the session sets.
    pub fn argument(&mut self, argument: &'static WantedArgument, variable: &'static str) {
        self.arguments.push((argument, variable));
    }

    /// Its decoder names addresses. The kernel tells them only to the privileged, so its symbols are read before privileges are
    /// given up.
    pub fn symbols(&mut self) {
        self.symbols = true;
    }

    /// Says what it can't do on this kernel, in words that go on after "this kernel".
    pub fn limit(&mut self, limit: &'static str) {
        self.limits.push(limit);
    }

    /// Brings a probe of its own that its hook tells from others by `is_probe(hit, variable)`, where `variable` is a `const volatile u32`
    /// of its own, which the session sets. No wildcard. Of USDT probes provider and name decide, whatever process they are in.
    pub fn known_probe(&mut self, probe: ProbeSpec, variable: &'static str) {
        self.known_probes.push((probe.clone(), variable));
        self.probe(probe);
    }

    /// Brings a probe of its own.
    pub fn probe(&mut self, probe: ProbeSpec) {
        self.probes.push(probe.suggested());
    }
}

/// Reads the sections that a hook wrote.
pub trait Decode: Send {
    /// Adds what is in a section to an event. `kind` and `bytes` are as the hook wrote them.
    ///
    /// # Errors
    /// When the bytes are not what the hook writes.
    fn decode(&mut self, kind: u8, bytes: &[u8], event: &mut EventJson) -> Result<(), DecodeError>;

    /// Called when an event has no more sections: for what is put together from several.
    ///
    /// # Errors
    /// As for `decode`.
    fn end(&mut self, event: &mut EventJson) -> Result<(), DecodeError> {
        let _ = event;
        Ok(())
    }
}

/// Why a section of a record can't be read. Both mean that hook and decoder don't fit: a defect of `tracer`.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A number for which there is no section.
    #[error("section {0} is not known")]
    Kind(u8),
    /// Too few bytes.
    #[error("section {kind} has {length} bytes, too few")]
    Short {
        /// The section's number.
        kind: u8,
        /// Bytes.
        length: usize,
    },
    /// The section could not be written.
    #[error("it can't be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// A struct of the wire format: plain integers and arrays of them, for which any bytes are a valid value.
///
/// # Safety
/// Only for types that have no padding bytes and are valid for every pattern of bytes.
pub unsafe trait Wire: Copy {
    /// Copies the value out of the beginning of `bytes`; what follows is returned too.
    ///
    /// # Errors
    /// When there are too few bytes.
    fn read(kind: u8, bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let Some((own, rest)) = bytes.split_at_checked(size_of::<Self>()) else {
            return Err(DecodeError::Short { kind, length: bytes.len() });
        };
        // SAFETY: `own` has as many bytes as the type, which takes any; the pointer need not be aligned.
        Ok((unsafe { own.as_ptr().cast::<Self>().read_unaligned() }, rest))
    }
}

// SAFETY: integers and an array of them, with explicit padding.
unsafe impl Wire for tracer_ebpf::wire::record_header {}
// SAFETY: integers, with explicit padding.
unsafe impl Wire for tracer_ebpf::wire::section_header {}
// SAFETY: integers, with explicit padding.
unsafe impl Wire for tracer_ebpf::wire::packet_link {}
// SAFETY: integers, with explicit padding.
unsafe impl Wire for tracer_ebpf::wire::tracked_packet {}

/// The one of `all` that has this name.
///
/// # Errors
/// When there is none.
pub fn find(all: &[&'static Collector], name: &str) -> Result<&'static Collector, Error> {
    all.iter().copied().find(|collector| collector.name == name).ok_or_else(|| {
        let names = || all.iter().map(|collector| collector.name);
        let hint = did_you_mean(&similar(name, names()))
            .unwrap_or_else(|| format!("there are {}; or `auto`", names().collect::<Vec<_>>().join(", ")));
        Error::new(ErrorKind::Usage, format!("there is no collector `{name}`")).with_hint(hint)
    })
}

/// All collectors, by name.
///
/// # Errors
/// When there is none (the program was built without naming the crate that has them) or a name or number occurs twice.
pub fn all() -> Result<Vec<&'static Collector>, Error> {
    let mut all: Vec<&Collector> = inventory::iter::<Collector>.into_iter().collect();
    all.sort_by_key(|collector| collector.name);
    if all.is_empty() {
        return Err(Error::new(ErrorKind::Failure, "this program was built without any collector"));
    }
    for (index, collector) in all.iter().enumerate() {
        let twice = |other: &&&Collector| other.name == collector.name || other.hook.number == collector.hook.number;
        if let Some(other) = all[..index].iter().find(twice) {
            let names =
                format!("the collectors `{}` and `{}` have the same name or number", other.name, collector.name);
            return Err(Error::new(ErrorKind::Failure, names));
        }
    }
    Ok(all)
}
