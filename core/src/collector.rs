// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The registry of collectors: one [`Collector`] value describes each, and everything else derives from it.

use std::collections::HashMap;
use std::fmt;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::error::{Error, ErrorKind};
use crate::event::json::EventJson;
use crate::event::section::SectionDescriptor;
use crate::kernel::Kernel;
use crate::probe::{PacketPlace, Probe, ProbeSpec, ProbeType, WantedArgument, matches};
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
    /// The entry of a function.
    Function(&'static str),
    /// A USDT probe, by `PROVIDER:NAME`.
    Usdt(&'static str),
    /// What programs of its own see: those of these that make events, where they stand.
    OwnPrograms(&'static [OwnProgram]),
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
            Subject::Function(name) => probe.probe_type == ProbeType::Kprobe && probe.target == *name,
            Subject::OwnPrograms(programs) => programs.iter().any(|program| program.is_at(probe)),
        })
    }

    /// Whether it may have something to say in a session that looks at these probes, as far as that can be told before they are looked for;
    /// or whoever gives it an option thinks so.
    pub(crate) fn is_concerned(&self, probes: &[ProbeSpec], arguments: &ArgMatches) -> bool {
        let any = |probe_type: ProbeType, fits: &dyn Fn(&ProbeSpec) -> bool| {
            probes.iter().any(|spec| spec.probe_type == probe_type && fits(spec))
        };
        let is_at = |program: &OwnProgram| {
            let place = program.place;
            program.events.is_some_and(|(probe_type, _)| any(probe_type, &|spec| matches(&spec.target, place)))
        };
        let may_speak = |subject: &Subject| match subject {
            Subject::Packet | Subject::Device | Subject::Namespace | Subject::Argument(_) => true,
            // Wildcards leave out functions that hold their packet in a struct.
            Subject::Function(name) => any(ProbeType::Kprobe, &|spec| spec.target == *name),
            Subject::Usdt(symbol) => any(ProbeType::Usdt, &|spec| matches(spec.symbol(), symbol)),
            Subject::OwnPrograms(programs) => programs.iter().any(is_at),
        };
        let is_given =
            |argument: &Arg| arguments.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine);
        self.subjects.iter().any(may_speak) || (self.arguments)().iter().any(is_given)
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

/// An eBPF program in the object of a collector's hook, for what the engine's probes can't see: the arguments and the result of a call at
/// once, or what is to be noted without an event. It is an fentry, fexit or tp_btf program, which the kernel does not skip while
/// another program runs on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnProgram {
    /// What it is called in the object. When it begins with `track_`, what it misses is no lost event.
    pub name: &'static str,
    /// The function or the tracepoint (`GROUP:NAME`) that it sits at.
    pub place: &'static str,
    /// So many arguments that place has to have: the program knows their order.
    pub arguments: usize,
    /// It makes events, which count as those of a probe of this type. The number of the probe is told to the program in this
    /// `const volatile u32` variable.
    pub events: Option<(ProbeType, &'static str)>,
    /// What is missing where it can't be had, in words that go on after "no".
    pub without: &'static str,
}

impl OwnProgram {
    /// The probe that its events are those of.
    pub(crate) fn is_at(&self, probe: &Probe) -> bool {
        self.events.is_some_and(|(probe_type, _)| probe.probe_type == probe_type) && probe.target == self.place
    }
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
    pub(crate) watched: Vec<ProbeSpec>,
    /// Each with the variable of the hook that says where it is.
    pub(crate) arguments: Vec<(&'static WantedArgument, &'static str)>,
    pub(crate) symbols: bool,
    pub(crate) limits: Vec<&'static str>,
    pub(crate) programs: Vec<OwnProgram>,
    /// Each with the variable of the hook that counts it.
    pub(crate) losses: Vec<(&'static str, &'static str)>,
    pub(crate) warnings: Vec<String>,
    pub(crate) deciding: Vec<&'static WantedArgument>,
    pub(crate) deciding_probes: Vec<ProbeSpec>,
    pub(crate) notes: Vec<String>,
    /// Where the session looks without the collector's own probes.
    pub(crate) session_probes: Vec<ProbeSpec>,
    /// The probes that it brings are wanted.
    pub(crate) takes_probes: bool,
    pub(crate) may_change_system: bool,
}

impl Needs {
    /// Whether the session will look at a function: because the collector may bring this probe, or because somebody else names it.
    pub fn will_probe(&self, function: &str) -> bool {
        let is_it = |spec: &ProbeSpec| spec.probe_type == ProbeType::Kprobe && spec.target == function;
        self.takes_probes || self.session_probes.iter().any(is_it)
    }

    /// Whether the user allows what is needed to be changed on the system. Whatever is changed must be undone on every exit, when the
    /// process is killed, too, and be told by [`Needs::note`].
    pub fn may_change_system(&self) -> bool {
        self.may_change_system
    }

    /// Its hook decides, by `REFUSE`, about the hits of all probes that have this argument.
    pub fn decides_at(&mut self, argument: &'static WantedArgument) {
        self.deciding.push(argument);
    }

    /// Its hook decides, by `REFUSE`, about the hits of this probe, and may say which packet they are about. As for
    /// [`Needs::recognise`], no wildcard.
    pub fn decides_about(&mut self, probe: ProbeSpec) {
        self.deciding_probes.push(probe);
    }

    /// Tells the user something at the start, in a line of its own.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

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

    /// Lets the hook tell a probe, whoever asks for it, from others by `is_probe(hit, variable)`, where `variable` is a `const volatile
    /// u32` of its own, which the session sets. No wildcard. Of USDT probes provider and name decide, whatever process they are in.
    pub fn recognise(&mut self, probe: ProbeSpec, variable: &'static str) {
        self.known_probes.push((probe, variable));
    }

    /// Brings programs of its own: best all in one call, which goes through all types of the kernel. What this kernel does not have, or
    /// has in another form, is left out with a warning. Returns the others.
    ///
    /// # Errors
    /// When the kernel has no BTF.
    pub fn programs(&mut self, kernel: &Kernel, programs: &[OwnProgram]) -> Result<&[OwnProgram], Error> {
        let tracepoint = |place: &'static str| place.split_once(':').map(|(_, name)| name);
        // By place: a tracepoint can have the name of a function.
        let mut found = HashMap::new();
        let before = self.programs.len();
        for (_, types) in kernel.all_types()? {
            let functions = types.functions(|name| programs.iter().any(|program| program.place == name));
            let tracepoints =
                types.tracepoints(|name| programs.iter().any(|program| tracepoint(program.place) == Some(name)));
            let functions = functions.into_iter().map(|(name, prototype)| ((name, false), prototype));
            let tracepoints = tracepoints.into_iter().map(|(name, prototype)| ((name, true), prototype));
            for (place, prototype) in functions.chain(tracepoints) {
                found.entry(place).or_insert(prototype.arguments.len());
            }
        }
        for program in programs {
            let OwnProgram { place, arguments, without, .. } = program;
            let found = match tracepoint(place) {
                Some(name) => found.get(&(name, true)),
                None => found.get(&(*place, false)),
            };
            let why = match found {
                Some(count) if count == arguments => {
                    self.programs.push(*program);
                    if let Some((probe_type, _)) = program.events {
                        self.probe(ProbeSpec::at(probe_type, place));
                    }
                    continue;
                }
                Some(count) => format!("`{place}` has {count} arguments instead of {arguments}"),
                None => format!("this kernel has no `{place}`"),
            };
            let warning = format!("{why}: no {without}");
            // Several programs may stand for one thing.
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        Ok(&self.programs[before..])
    }

    /// Counts a kind of loss in a 64-bit variable of the hook. A cause that begins with `tracking_` is no lost event.
    pub fn loss(&mut self, cause: &'static str, variable: &'static str) {
        self.losses.push((cause, variable));
    }

    /// Brings a probe of its own.
    pub fn probe(&mut self, probe: ProbeSpec) {
        self.probes.push(probe.suggested());
    }

    /// Brings a probe of its own at which only those hits become events for which the hook's `SELECT` says so. When somebody else asks
    /// for the same probe, all do.
    pub fn watch(&mut self, probe: ProbeSpec) {
        self.watched.push(ProbeSpec { selective: true, ..probe.suggested() });
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

    /// What the user is to be told at the end of collection, if anything: what could not be found out.
    fn remark(&self) -> Option<String> {
        None
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

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command};

    use super::{Collector, Hook, OwnProgram, Subject};
    use crate::error::{Error, ErrorKind};
    use crate::probe::{ProbeSpec, ProbeType};

    static PROGRAMS: [OwnProgram; 2] = [
        OwnProgram {
            name: "at_action",
            place: "openvswitch:ovs_do_execute_action",
            arguments: 5,
            events: Some((ProbeType::RawTracepoint, "index")),
            without: "actions",
        },
        OwnProgram { name: "track_it", place: "skb_zerocopy", arguments: 4, events: None, without: "hashes" },
    ];

    fn is_concerned(subject: Subject, probes: &[&str], options: &[&str]) -> bool {
        let collector = Collector {
            name: "mark",
            about: "for tests",
            sections: &[],
            hook: Hook { number: 2, object: &[] },
            subjects: Box::leak(Box::new([subject])),
            arguments: || vec![Arg::new("follow").long("follow").action(ArgAction::SetTrue)],
            start: |_, _, _| Err(Error::new(ErrorKind::Failure, "it is not started")),
        };
        let command = Command::new("collect").no_binary_name(true).args((collector.arguments)());
        let arguments = command.try_get_matches_from(options).unwrap();
        let probes: Vec<ProbeSpec> = probes.iter().map(|probe| probe.parse().unwrap()).collect();
        collector.is_concerned(&probes, &arguments)
    }

    #[test]
    fn is_concerned_by_probes_that_it_may_speak_at() {
        assert!(is_concerned(Subject::Packet, &["ip_rcv"], &[]));
        let function = Subject::Function("__nft_trace_packet");
        assert!(is_concerned(function, &["ip_rcv", "__nft_trace_packet"], &[]));
        assert!(!is_concerned(function, &["k:*", "kr:__nft_trace_packet"], &[]));
        let usdt = Subject::Usdt("main:run_start");
        assert!(is_concerned(usdt, &["usdt:ovs-vswitchd:main:*"], &[]));
        assert!(!is_concerned(usdt, &["usdt:ovs-vswitchd:dpif_recv:*"], &[]));
        let programs = Subject::OwnPrograms(&PROGRAMS);
        assert!(is_concerned(programs, &["tp:openvswitch:*"], &[]));
        assert!(!is_concerned(programs, &["skb_zerocopy", "k:ovs_*"], &[]), "no events come from there");
    }

    #[test]
    fn is_concerned_when_it_is_given_an_option() {
        let programs = Subject::OwnPrograms(&PROGRAMS);
        assert!(is_concerned(programs, &["ip_rcv"], &["--follow"]));
        assert!(!is_concerned(programs, &["ip_rcv"], &[]));
    }
}
