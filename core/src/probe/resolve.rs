// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what was asked for to places in the running kernel, with the positions of their arguments.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;
use crate::kernel::btf::{Argument, Prototype, Target, Types};

use super::{Origin, PacketPlace, Probe, ProbeSpec, ProbeType, matches};

/// Programs reach this many arguments of a function on the stack and in registers; no function of the kernel has more.
const FUNCTION_ARGUMENTS: usize = 16;
/// As many arguments of a tracepoint can be read; see `raw_tracepoint.bpf.c`.
const TRACEPOINT_ARGUMENTS: usize = 6;

/// Where a packet is handed over that the caller no longer owns when the probe is hit.
const PACKET_MAY_BE_GONE: [(ProbeType, &str); 6] = [
    // After the driver's transmit function, which may have freed it.
    (ProbeType::RawTracepoint, "net:net_dev_xmit"),
    (ProbeType::Kprobe, "skb_free_head"),
    (ProbeType::Kprobe, "kfree_skbmem"),
    (ProbeType::Kprobe, "napi_skb_cache_put"),
    (ProbeType::Kprobe, "napi_skb_free_stolen_head"),
    (ProbeType::Kprobe, "kfree_skb_partial"),
];

/// What became of the probes that were asked for.
#[derive(Debug, Default)]
pub struct Resolution {
    /// In the order in which they were asked for; those of a wildcard by name. None stands here twice.
    pub probes: Vec<Probe>,
    /// What could not be had, and does not matter enough to stop.
    pub warnings: Vec<String>,
}

/// Finds the probes that were asked for on this kernel.
///
/// A wildcard stands for the functions and tracepoints that have a packet. A function that BTF does not know can still be
/// probed when it is named; its packet is then out of reach.
///
/// # Errors
/// When a probe that the user named does not exist, or a wildcard of theirs fits nothing; when the kernel has no BTF.
pub fn resolve(kernel: &Kernel, specs: &[ProbeSpec]) -> Result<Resolution, Error> {
    let mut resolver = Resolver { kernel, found: Resolution::default(), known: HashMap::new() };
    let prototypes = resolver.prototypes(specs)?;
    for spec in specs {
        let outcome = match spec.probe_type {
            ProbeType::Kprobe | ProbeType::Kretprobe => resolver.functions(spec, &prototypes),
            ProbeType::RawTracepoint => resolver.tracepoints(spec, &prototypes),
        };
        match outcome {
            Err(error) if spec.origin == Origin::Named => return Err(error),
            Err(error) => resolver.found.warnings.push(error.to_string()),
            Ok(()) => {}
        }
    }
    Ok(resolver.found)
}

struct Resolver<'a> {
    kernel: &'a Kernel,
    found: Resolution,
    /// Where each probe stands in the result.
    known: HashMap<(ProbeType, String), usize>,
}

/// What BTF knows of the functions and tracepoints that were asked for.
#[derive(Default)]
struct Prototypes<'a> {
    /// By name: the module and the arguments, once for each function of that name.
    functions: BTreeMap<&'a str, Vec<(Option<&'a str>, Prototype<'a>)>>,
    /// By name, without the group.
    tracepoints: BTreeMap<&'a str, (Option<&'a str>, Prototype<'a>)>,
}

/// Names and patterns to look for: tens of thousands of names are held against it.
struct NameSet<'a> {
    names: HashSet<&'a str>,
    patterns: Vec<&'a str>,
}

impl<'a> NameSet<'a> {
    fn new(texts: &[&'a str]) -> Self {
        let (patterns, names): (Vec<&str>, Vec<&str>) = texts.iter().partition(|text| text.contains('*'));
        Self { names: names.into_iter().collect(), patterns }
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.patterns.is_empty()
    }

    fn contains(&self, name: &str) -> bool {
        self.names.contains(name) || self.patterns.iter().any(|pattern| matches(pattern, name))
    }
}

impl<'a> Resolver<'a> {
    /// Reads what is needed for all specs in one pass over the types; modules only when vmlinux does not have it all.
    fn prototypes(&self, specs: &[ProbeSpec]) -> Result<Prototypes<'a>, Error> {
        let functions: Vec<&str> =
            specs.iter().filter(|spec| spec.probe_type != ProbeType::RawTracepoint).map(|spec| &*spec.target).collect();
        let tracepoints: Vec<&str> = specs
            .iter()
            .filter(|spec| spec.probe_type == ProbeType::RawTracepoint)
            .filter_map(|spec| Some(spec.target.split_once(':')?.1))
            .collect();
        let (functions, tracepoints) = (NameSet::new(&functions), NameSet::new(&tracepoints));

        let mut prototypes = Prototypes::default();
        let mut collect = |module: Option<&'a str>, types: &Types<'a>| {
            if !functions.is_empty() {
                for (name, prototype) in types.functions(|name| functions.contains(name)) {
                    prototypes.functions.entry(name).or_default().push((module, prototype));
                }
            }
            if !tracepoints.is_empty() {
                for (name, prototype) in types.tracepoints(|name| tracepoints.contains(name)) {
                    prototypes.tracepoints.entry(name).or_insert((module, prototype));
                }
            }
            let has_all = functions.patterns.is_empty()
                && tracepoints.patterns.is_empty()
                && functions.names.iter().all(|name| prototypes.functions.contains_key(name))
                && tracepoints.names.iter().all(|name| prototypes.tracepoints.contains_key(name));
            !has_all
        };
        let vmlinux = Types::new(self.kernel.vmlinux()?, None);
        if collect(None, &vmlinux) {
            for (module, btf) in self.kernel.modules()? {
                collect(Some(module), &Types::new(btf, Some(self.kernel.vmlinux()?)));
            }
        }
        Ok(prototypes)
    }

    fn functions(&mut self, spec: &ProbeSpec, prototypes: &Prototypes<'_>) -> Result<(), Error> {
        if !spec.is_wildcard() {
            match prototypes.functions.get(&*spec.target).map(Vec::as_slice) {
                Some([(module, prototype)]) => self.add(spec, &spec.target, *module, Some(prototype)),
                Some(several) if several.iter().all(|(_, prototype)| *prototype == several[0].1) => {
                    self.add(spec, &spec.target, several[0].0, Some(&several[0].1));
                }
                // Functions of one name that differ: it is not known which one is meant.
                Some(_) => self.add(spec, &spec.target, None, None),
                // Not in BTF: only the kernel can say whether it exists, when the probe is attached.
                None => self.add(spec, &spec.target, None, None),
            }
            return Ok(());
        }
        let traceable = self.kernel.tracefs().and_then(|tracefs| tracefs.traceable_functions());
        let mut fits = 0;
        let before = self.found.probes.len();
        for (name, several) in prototypes.functions.iter().filter(|(name, _)| matches(&spec.target, name)) {
            fits += 1;
            let [(module, prototype)] = several.as_slice() else { continue };
            let untraceable = traceable.as_ref().map_or_else(|| is_generated(name), |names| !names.contains(*name));
            if !untraceable && packet_place(prototype, FUNCTION_ARGUMENTS) != PacketPlace::Nowhere {
                self.add(spec, name, *module, Some(prototype));
            }
        }
        if self.found.probes.len() == before && !self.known.keys().any(|(_, name)| matches(&spec.target, name)) {
            return Err(Error::new(
                ErrorKind::KernelLacks,
                format!(
                    "`{spec}` fits {fits} functions of this kernel, and none that takes a packet and can be probed"
                ),
            ));
        }
        Ok(())
    }

    fn tracepoints(&mut self, spec: &ProbeSpec, prototypes: &Prototypes<'_>) -> Result<(), Error> {
        let (group, name) = spec.target.split_once(':').unwrap_or_default();
        if !spec.is_wildcard() {
            let missing = match self.kernel.tracefs() {
                Some(tracefs) => !tracefs.has_tracepoint(group, name),
                None => !prototypes.tracepoints.contains_key(name),
            };
            if missing {
                return Err(Error::new(
                    ErrorKind::KernelLacks,
                    format!("this kernel has no tracepoint `{}`", spec.target),
                )
                .with_hint("the tracepoints of a module exist while it is loaded"));
            }
            let known = prototypes.tracepoints.get(name);
            self.add(spec, &spec.target, known.and_then(|(module, _)| *module), known.map(|(_, prototype)| prototype));
            return Ok(());
        }
        let Some(tracefs) = self.kernel.tracefs() else {
            return Err(Error::new(
                ErrorKind::KernelLacks,
                format!("`{spec}` needs tracefs, to know the groups of tracepoints"),
            )
            .with_hint("mount -t tracefs tracefs /sys/kernel/tracing, or name the tracepoints"));
        };
        let before = self.found.probes.len();
        for (found_group, found_name) in tracefs.tracepoints() {
            if !matches(group, &found_group) || !matches(name, &found_name) {
                continue;
            }
            let Some((module, prototype)) = prototypes.tracepoints.get(&*found_name) else { continue };
            if packet_place(prototype, TRACEPOINT_ARGUMENTS) != PacketPlace::Nowhere {
                self.add(spec, &format!("{found_group}:{found_name}"), *module, Some(prototype));
            }
        }
        if self.found.probes.len() == before {
            return Err(Error::new(ErrorKind::KernelLacks, format!("`{spec}` fits no tracepoint that has a packet")));
        }
        Ok(())
    }

    fn add(&mut self, spec: &ProbeSpec, target: &str, module: Option<&str>, prototype: Option<&Prototype<'_>>) {
        if let Some(&index) = self.known.get(&(spec.probe_type, target.to_owned())) {
            let probe = &mut self.found.probes[index];
            probe.stack |= spec.stack;
            if spec.origin == Origin::Named && !spec.is_wildcard() {
                probe.origin = Origin::Named;
            }
            return;
        }
        let reachable =
            if spec.probe_type == ProbeType::RawTracepoint { TRACEPOINT_ARGUMENTS } else { FUNCTION_ARGUMENTS };
        let pointer_to = |name| prototype.and_then(|prototype| argument_to(prototype, name, reachable));
        let packet = prototype.map_or(PacketPlace::Nowhere, |prototype| packet_place(prototype, reachable));
        if packet == PacketPlace::Nowhere && spec.origin == Origin::Named {
            let why = match prototype {
                Some(_) => "takes no packet",
                None => "is not described in the kernel's type information (BTF)",
            };
            self.found
                .warnings
                .push(format!("`{target}` {why}: its events will say when it ran, not for which packet"));
        }
        self.known.insert((spec.probe_type, target.to_owned()), self.found.probes.len());
        self.found.probes.push(Probe {
            probe_type: spec.probe_type,
            target: target.to_owned(),
            module: module.map(str::to_owned),
            stack: spec.stack,
            origin: if spec.is_wildcard() { Origin::Suggested } else { spec.origin.clone() },
            packet,
            device_argument: pointer_to("net_device"),
            namespace_argument: pointer_to("net"),
            packet_may_be_gone: PACKET_MAY_BE_GONE.contains(&(spec.probe_type, target)),
        });
    }
}

/// The arguments whose place is known: those in reach, and in front of any that is passed by value.
fn placed<'a>(prototype: &'a Prototype<'_>, reachable: usize) -> impl Iterator<Item = (u8, &'a Argument<'a>)> {
    (0..).zip(&prototype.arguments).take(reachable).take_while(|(_, argument)| argument.target != Target::Value)
}

fn argument_to(prototype: &Prototype<'_>, name: &str, reachable: usize) -> Option<u8> {
    placed(prototype, reachable).find(|(_, argument)| argument.target == Target::Struct(name)).map(|(number, _)| number)
}

/// A `struct sk_buff *` is the packet. A `struct sk_buff **` is only when it is handed in (`pskb`, as the receive handlers of
/// devices have it); others are lists to put packets on, or places for a result.
fn packet_place(prototype: &Prototype<'_>, reachable: usize) -> PacketPlace {
    if let Some(argument) = argument_to(prototype, "sk_buff", reachable) {
        return PacketPlace::Argument(argument);
    }
    let handed_in = placed(prototype, reachable).find(|(_, argument)| {
        argument.target == Target::PointerToStruct("sk_buff") && matches!(argument.name, "pskb" | "skbp")
    });
    match handed_in {
        Some((argument, _)) => PacketPlace::Behind { argument, offset: 0 },
        None => PacketPlace::Nowhere,
    }
}

/// Functions that the tracing machinery is made of: none of them can be probed. For when tracefs does not say.
fn is_generated(name: &str) -> bool {
    ["__bpf_trace_", "perf_trace_", "trace_event_raw_event_", "trace_raw_output_", "__traceiter_", "__probestub_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}
