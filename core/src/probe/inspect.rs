// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be probed on the running kernel, and why the rest can't: nothing is loaded or attached for that.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;
use crate::kernel::btf::{Prototype, Target};

use super::attach_error::{AttachError, list_obstacle, symbol_obstacle_of};
use super::prototypes::{Described, Prototypes};
use super::resolve::{has_tracepoint, needs_tracefs, probe, similar_tracepoints};
use super::usdt::usdt_places;
use super::{PacketPlace, Probe, ProbeSpec, ProbeType, matches};

/// A place that was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The probe that it would be.
    pub probe: Probe,
    /// The function or the tracepoint in C, when BTF describes it.
    pub prototype: Option<String>,
    /// The name of the argument that leads to the packet, when there is one and it has a name.
    pub packet_name: Option<String>,
    /// Why it has no packet, when it has none.
    pub no_packet: Option<&'static str>,
    /// Why it can't be probed.
    pub obstacle: Option<AttachError>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// In the order in which they were asked for; those of a wildcard by name. None stands here twice.
    pub places: Vec<Place>,
    /// What could not be looked at, so that some of this may be wrong or incomplete.
    pub unseen: Vec<String>,
}

/// Looks at all functions and tracepoints that have a packet.
///
/// # Errors
/// When the kernel has no BTF.
pub fn inspect_packets(kernel: &Kernel) -> Result<Inspection, Error> {
    let everything = [ProbeType::Kprobe, ProbeType::RawTracepoint].map(ProbeSpec::all);
    let mut found = inspect(kernel, &everything)?;
    found.places.retain(|place| place.probe.packet != PacketPlace::Nowhere);
    Ok(found)
}

/// Looks at the places that fit, whether they have a packet or not.
///
/// # Errors
/// When a wildcard fits nothing, or the kernel has no BTF.
pub fn inspect(kernel: &Kernel, specs: &[ProbeSpec]) -> Result<Inspection, Error> {
    let mut prototypes = std::thread::scope(|scope| {
        // Reading these three takes about the same time each.
        scope.spawn(|| kernel.symbols().is_ok());
        scope.spawn(|| kernel.tracefs().map(|tracefs| tracefs.traceable_functions().is_some()));
        Prototypes::read(kernel, specs)
    })?;
    prototypes.name_arguments(true);
    let mut inspector = Inspector { kernel, prototypes, known: BTreeSet::new(), places: Vec::new() };
    for spec in specs {
        let before = inspector.places.len();
        match spec.probe_type {
            ProbeType::RawTracepoint => inspector.tracepoints(spec)?,
            ProbeType::Usdt => {
                inspector.usdt(spec)?;
                continue;
            }
            ProbeType::Kprobe | ProbeType::Kretprobe => inspector.functions(spec),
        }
        let fits = inspector.places.len() > before
            || inspector.known.iter().any(|(kind, name)| *kind == spec.probe_type && matches(&spec.target, name));
        if !fits {
            let what = if spec.probe_type == ProbeType::RawTracepoint { "tracepoint" } else { "function" };
            return Err(Error::new(ErrorKind::KernelLacks, format!("`{spec}` fits no {what} of this kernel")));
        }
    }
    Ok(Inspection { places: inspector.places, unseen: unseen(kernel, specs) })
}

struct Inspector<'a> {
    kernel: &'a Kernel,
    prototypes: Prototypes<'a>,
    known: BTreeSet<(ProbeType, String)>,
    places: Vec<Place>,
}

impl<'a> Inspector<'a> {
    fn functions(&mut self, spec: &ProbeSpec) {
        if !spec.is_wildcard() {
            self.function(spec, &spec.target);
            return;
        }
        let fits = |name: &str| matches(&spec.target, name);
        let mut names: BTreeSet<&str> = self.prototypes.functions.keys().copied().filter(|name| fits(name)).collect();
        if let Ok(symbols) = self.kernel.symbols() {
            names.extend(symbols.all_functions().map(|function| function.name).filter(|name| fits(name)));
        }
        for name in names {
            self.function(spec, name);
        }
    }

    fn function(&mut self, spec: &ProbeSpec, name: &str) {
        let described = self.prototypes.function(name);
        let in_btf = || self.prototypes.functions.contains_key(name);
        let obstacle = symbol_obstacle_of(self.kernel, name, in_btf).or_else(|| list_obstacle(self.kernel, name));
        let mut place = place(spec, name, described);
        if place.probe.module.is_none() {
            let symbols = self.kernel.symbols().ok();
            place.probe.module = symbols.and_then(|symbols| symbols.module_of(name)).map(str::to_owned);
        }
        self.add(Place { obstacle, ..place });
    }

    fn tracepoints(&mut self, spec: &ProbeSpec) -> Result<(), Error> {
        let (group, name) = spec.target.split_once(':').unwrap_or_default();
        if !spec.is_wildcard() {
            let in_btf = self.prototypes.tracepoints.contains_key(name);
            let missing = !has_tracepoint(self.kernel, group, name, in_btf);
            let obstacle = missing.then(|| AttachError::NoTracepoint(similar_tracepoints(self.kernel, &spec.target)));
            let found = self.tracepoint(spec, &spec.target, name);
            self.add(Place { obstacle, ..found });
            return Ok(());
        }
        let found: Vec<Place> = match self.kernel.tracefs() {
            Some(tracefs) => {
                // What is not in BTF has no raw tracepoint: the entries of system calls, and ftrace's own.
                let fits = tracefs.tracepoints().iter().filter(|(found_group, found_name)| {
                    matches(group, found_group)
                        && matches(name, found_name)
                        && self.prototypes.tracepoints.contains_key(&**found_name)
                });
                fits.map(|(group, name)| self.tracepoint(spec, &format!("{group}:{name}"), name)).collect()
            }
            // Their groups are not known.
            None if group == "*" => {
                let names = self.prototypes.tracepoints.keys().filter(|found| matches(name, found));
                names.map(|name| self.tracepoint(spec, &format!("?:{name}"), name)).collect()
            }
            None => return Err(needs_tracefs(self.kernel, spec)),
        };
        found.into_iter().for_each(|place| self.add(place));
        Ok(())
    }

    fn usdt(&mut self, spec: &ProbeSpec) -> Result<(), Error> {
        let found = match usdt_places(self.kernel, &spec.target) {
            Ok(found) => found,
            Err(error) if spec.is_wildcard() => return Err(error.about(&format!("nothing fits `{spec}`"))),
            Err(error) => {
                self.add(Place { obstacle: Some(error), ..place(spec, &spec.target, None) });
                return Ok(());
            }
        };
        for (target, user) in found {
            let (device, inode) = user.identity;
            let found = place(spec, &target, None);
            let probe = Probe { user: Some(user), ..found.probe };
            if self.known.insert((spec.probe_type, format!("{device}:{inode}:{}", probe.symbol()))) {
                self.places.push(Place { probe, ..found });
            }
        }
        Ok(())
    }

    fn tracepoint(&self, spec: &ProbeSpec, target: &str, name: &str) -> Place {
        place(spec, target, self.prototypes.tracepoints.get(name))
    }

    fn add(&mut self, place: Place) {
        if self.known.insert((place.probe.probe_type, place.probe.target.clone())) {
            self.places.push(place);
        }
    }
}

/// Describes a place.
fn place(spec: &ProbeSpec, target: &str, described: Option<&Described<'_>>) -> Place {
    let probe = probe(spec, target, described);
    let prototype = described.map(|Described { prototype, .. }| prototype);
    let argument = match probe.packet {
        PacketPlace::Nowhere => None,
        PacketPlace::Argument(argument) | PacketPlace::Behind { argument, .. } => Some(usize::from(argument)),
    };
    let packet_name = argument
        .and_then(|argument| Some(prototype?.arguments.get(argument)?.name))
        .filter(|name| !name.is_empty())
        .map(str::to_owned);
    let declaration = described.map(|described| described.types.declaration(probe.symbol(), &described.prototype));
    let no_packet = match described {
        _ if argument.is_some() => None,
        None if spec.probe_type == ProbeType::Usdt => Some("it is in no function of the kernel"),
        None => Some("the kernel's types (BTF) don't describe it, or differently for functions of one name"),
        Some(described) => Some(why_no_packet(&described.prototype)),
    };
    Place { prototype: declaration, packet_name, no_packet, obstacle: None, probe }
}

/// Why no place is known for the packet of this function or tracepoint.
fn why_no_packet(prototype: &Prototype<'_>) -> &'static str {
    let first = |wanted: Target<'_>| prototype.arguments.iter().position(|argument| argument.target == wanted);
    match (first(Target::Struct("sk_buff")), first(Target::Value)) {
        (Some(packet), Some(value)) if value < packet => {
            "a struct passed by value stands in front of it, and takes unknown room"
        }
        (Some(_), _) => "its argument is out of reach",
        (None, _) if first(Target::PointerToStruct("sk_buff")).is_some() => {
            "it has only room for packets, not one that is handed in"
        }
        (None, _) => "it takes none",
    }
}

fn unseen(kernel: &Kernel, specs: &[ProbeSpec]) -> Vec<String> {
    let mut unseen = Vec::new();
    if specs.iter().all(|spec| spec.probe_type == ProbeType::Usdt) {
        return unseen;
    }
    let has_functions = specs.iter().any(|spec| spec.probe_type.is_function());
    if has_functions && let Err(error) = kernel.symbols() {
        unseen.push(format!("{error}; which functions exist, and how often, is not known"));
    }
    match kernel.tracefs() {
        None => unseen.push(format!(
            "tracefs: {}; the groups of tracepoints, and which functions can be traced, are not known",
            kernel.tracefs_missing()
        )),
        Some(tracefs) if has_functions && tracefs.traceable_functions().is_none() => unseen.push(format!(
            "`{}` can't be read; which functions can be traced is not known",
            tracefs.path().join("available_filter_functions").display()
        )),
        Some(_) => {}
    }
    unseen
}
