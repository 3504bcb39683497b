// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what was asked for to places in the running kernel, with the positions of their arguments.

use std::collections::HashMap;

use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;
use crate::kernel::btf::members::Shape;
use crate::kernel::btf::{Argument, Prototype, Target};
use crate::similar::similar;

use super::attach_error::AttachError;
use super::prototypes::{Described, Prototypes};
use super::usdt::usdt_places;
use super::{ArgumentType, Origin, PacketPlace, Probe, ProbeSpec, ProbeType, matches};

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
    let mut prototypes = Prototypes::read(kernel, specs)?;
    prototypes.name_arguments(false);
    for spec in specs {
        let outcome = match spec.probe_type {
            ProbeType::Kprobe | ProbeType::Kretprobe => resolver.functions(spec, &prototypes),
            ProbeType::RawTracepoint => resolver.tracepoints(spec, &prototypes),
            ProbeType::Usdt => resolver.usdt(spec),
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

impl<'a> Resolver<'a> {
    fn functions(&mut self, spec: &ProbeSpec, prototypes: &Prototypes<'a>) -> Result<(), Error> {
        if !spec.is_wildcard() {
            // What is not in BTF may exist all the same.
            return self.add(spec, &spec.target, prototypes.function(spec.like.unwrap_or(&spec.target)));
        }
        let traceable = self.kernel.tracefs().and_then(|tracefs| tracefs.traceable_functions());
        let mut fits = 0;
        let before = self.found.probes.len();
        for (name, several) in prototypes.functions.iter().filter(|(name, _)| matches(&spec.target, name)) {
            fits += 1;
            let [described] = several.as_slice() else { continue };
            let untraceable = traceable.map_or_else(|| is_generated(name), |names| !names.contains(*name));
            let place = direct_packet_place(&described.prototype, FUNCTION_ARGUMENTS);
            if !untraceable && place != PacketPlace::Nowhere {
                self.add(spec, name, Some(described))?;
            }
        }
        if self.found.probes.len() == before && !self.known.keys().any(|(_, name)| matches(&spec.target, name)) {
            return Err(Error::new(
                ErrorKind::KernelLacks,
                format!(
                    "`{spec}` fits {fits} functions of this kernel, and none that takes a packet and can be probed"
                ),
            )
            .with_hint(format!("`tracer inspect probes '{}'` shows them", spec.target)));
        }
        Ok(())
    }

    fn tracepoints(&mut self, spec: &ProbeSpec, prototypes: &Prototypes<'a>) -> Result<(), Error> {
        let (group, name) = spec.target.split_once(':').unwrap_or_default();
        if !spec.is_wildcard() {
            let known = prototypes.tracepoints.get(name);
            if !has_tracepoint(self.kernel, group, name, known.is_some()) {
                let missing = AttachError::NoTracepoint(similar_tracepoints(self.kernel, &spec.target));
                return Err(missing.about(&format!("`{spec}` can't be probed")));
            }
            return self.add(spec, &spec.target, known);
        }
        let tracefs = self.kernel.tracefs().ok_or_else(|| needs_tracefs(self.kernel, spec))?;
        let before = self.found.probes.len();
        for (found_group, found_name) in tracefs.tracepoints() {
            if !matches(group, found_group) || !matches(name, found_name) {
                continue;
            }
            let Some(described) = prototypes.tracepoints.get(&**found_name) else { continue };
            if direct_packet_place(&described.prototype, TRACEPOINT_ARGUMENTS) != PacketPlace::Nowhere {
                self.add(spec, &format!("{found_group}:{found_name}"), Some(described))?;
            }
        }
        if self.found.probes.len() == before {
            return Err(Error::new(ErrorKind::KernelLacks, format!("`{spec}` fits no tracepoint that has a packet"))
                .with_hint(format!("`tracer inspect probes 'tp:{}'` shows those that it fits", spec.target)));
        }
        Ok(())
    }

    fn add(&mut self, spec: &ProbeSpec, target: &str, described: Option<&Described<'_>>) -> Result<(), Error> {
        let probe = probe(spec, target, described);
        if let Some(&index) = self.known.get(&(spec.probe_type, target.to_owned())) {
            if spec.like.is_some() {
                self.found.probes[index].arguments = probe.arguments;
            }
            return self.merge(spec, index);
        }
        if probe.packet == PacketPlace::Nowhere && spec.origin == Origin::Named {
            let why = match described {
                Some(_) => "takes no packet",
                None => "is not described in the kernel's type information (BTF)",
            };
            self.found
                .warnings
                .push(format!("`{target}` {why}: its events will say when it ran, not for which packet"));
        }
        self.push(target.to_owned(), probe);
        Ok(())
    }

    fn usdt(&mut self, spec: &ProbeSpec) -> Result<(), Error> {
        let places = usdt_places(self.kernel, &spec.target)
            .map_err(|error| error.about(&format!("`{spec}` can't be probed")))?;
        for (target, place) in places {
            let probe = Probe { user: Some(place.clone()), ..probe(spec, &target, None) };
            // A process may be asked for by its id and by its name.
            let (device, inode) = place.identity;
            let key = format!("{device}:{inode}:{}", probe.symbol());
            if let Some(&index) = self.known.get(&(spec.probe_type, key.clone())) {
                self.found.probes[index].user.iter_mut().for_each(|known| known.join(&place));
                self.merge(spec, index)?;
            } else {
                self.push(key, probe);
            }
        }
        Ok(())
    }

    /// What is asked for twice is one probe.
    fn merge(&mut self, spec: &ProbeSpec, index: usize) -> Result<(), Error> {
        let probe = &mut self.found.probes[index];
        probe.stack |= spec.stack;
        probe.selective &= spec.selective;
        let is_named = spec.origin == Origin::Named && !spec.is_wildcard();
        // The filter of a probe that is named counts more than that of a wildcard or a profile.
        if spec.filter.is_some() && spec.filter != probe.filter {
            if probe.filter.is_some() && is_named && probe.origin == Origin::Named {
                return Err(Error::new(ErrorKind::Usage, format!("`{probe}` is given two different filters")));
            }
            if probe.filter.is_none() || is_named {
                probe.filter.clone_from(&spec.filter);
            }
        }
        if is_named {
            probe.origin = Origin::Named;
        }
        Ok(())
    }

    fn push(&mut self, key: String, probe: Probe) {
        self.known.insert((probe.probe_type, key), self.found.probes.len());
        self.found.probes.push(probe);
    }
}

/// The probe of a spec at one place.
pub(super) fn probe(spec: &ProbeSpec, target: &str, described: Option<&Described<'_>>) -> Probe {
    let reachable = if spec.probe_type == ProbeType::RawTracepoint { TRACEPOINT_ARGUMENTS } else { FUNCTION_ARGUMENTS };
    let pointer_to = |name| described.and_then(|described| argument_to(&described.prototype, name, reachable));
    Probe {
        probe_type: spec.probe_type,
        target: target.to_owned(),
        module: described.and_then(|described| described.module).map(str::to_owned),
        stack: spec.stack,
        filter: spec.filter.clone(),
        selective: spec.selective,
        origin: if spec.is_wildcard() { Origin::Suggested } else { spec.origin.clone() },
        packet: described.map_or(PacketPlace::Nowhere, |described| packet_place(described, reachable)),
        device_argument: pointer_to("net_device"),
        namespace_argument: pointer_to("net"),
        socket_argument: pointer_to("sock"),
        arguments: described.map_or_else(Vec::new, |described| typed_arguments(&described.prototype, reachable)),
        packet_may_be_gone: PACKET_MAY_BE_GONE.contains(&(spec.probe_type, target)),
        user: None,
        own_program: None,
    }
}

/// Whether a tracepoint exists. Without tracefs its group is believed.
pub(super) fn has_tracepoint(kernel: &Kernel, group: &str, name: &str, in_btf: bool) -> bool {
    kernel.tracefs().map_or(in_btf, |tracefs| tracefs.has_tracepoint(group, name))
}

/// The error about a wildcard of tracepoints where there is no tracefs.
pub(super) fn needs_tracefs(kernel: &Kernel, spec: &ProbeSpec) -> Error {
    let why = kernel.tracefs_missing();
    Error::new(why.kind(), format!("`{spec}` needs tracefs, to know the groups of tracepoints: {why}"))
        .with_hint(why.hint().unwrap_or_default().to_owned() + ", or name the tracepoints")
}

/// The tracepoints that may have been meant.
pub(super) fn similar_tracepoints(kernel: &Kernel, target: &str) -> Vec<String> {
    let all = kernel.tracefs().map(|tracefs| tracefs.tracepoints()).unwrap_or_default();
    let all: Vec<String> = all.iter().map(|(group, name)| format!("{group}:{name}")).collect();
    similar(target, all.iter().map(String::as_str)).into_iter().map(str::to_owned).collect()
}

/// The arguments whose place is known: those in reach, and in front of any that is passed by value.
fn placed<'a>(prototype: &'a Prototype<'_>, reachable: usize) -> impl Iterator<Item = (u8, &'a Argument<'a>)> {
    (0..).zip(&prototype.arguments).take(reachable).take_while(|(_, argument)| argument.target != Target::Value)
}

fn argument_to(prototype: &Prototype<'_>, name: &str, reachable: usize) -> Option<u8> {
    placed(prototype, reachable).find(|(_, argument)| argument.target == Target::Struct(name)).map(|(number, _)| number)
}

fn typed_arguments(prototype: &Prototype<'_>, reachable: usize) -> Vec<(u8, ArgumentType)> {
    let typed = placed(prototype, reachable).filter_map(|(number, argument)| {
        let argument = match argument.target {
            Target::Enum(name) => ArgumentType::Enum(name.to_owned().into()),
            Target::Struct(name) => ArgumentType::Struct(name.to_owned().into()),
            Target::Void => ArgumentType::Address(argument.name.to_owned().into()),
            Target::Integer => ArgumentType::Integer(argument.name.to_owned().into()),
            _ => return None,
        };
        Some((number, argument))
    });
    typed.collect()
}

/// Structs that are made around a packet, and the members that lead to it.
const PACKET_HOLDERS: [(&str, &[&str]); 2] = [("nft_pktinfo", &["skb"]), ("nft_traceinfo", &["pkt", "skb"])];

/// Where the packet is: an argument, or in what is made around it. Wildcards do not stand for the latter: the evaluation of each kind
/// of expression in rules is such a function.
fn packet_place(described: &Described<'_>, reachable: usize) -> PacketPlace {
    let direct = direct_packet_place(&described.prototype, reachable);
    if direct != PacketPlace::Nowhere {
        return direct;
    }
    let held = PACKET_HOLDERS.iter().find_map(|(holder, members)| {
        let argument = argument_to(&described.prototype, holder, reachable)?;
        let mut held_in = described.types.composite(holder)?;
        let mut offsets = Vec::new();
        for member in *members {
            let member = held_in.member(member)?;
            offsets.push(u16::try_from(member.bit_offset / 8).ok()?);
            let Some(Shape::Pointer(Some(target))) = member.kind.shape() else { return None };
            held_in = target;
        }
        let offset = *offsets.first()?;
        Some(PacketPlace::Behind { argument, offset, then: offsets.get(1).copied() })
    });
    held.unwrap_or(PacketPlace::Nowhere)
}

/// A `struct sk_buff *` is the packet. A `struct sk_buff **` is only when it is handed in (`pskb`, as the receive handlers of
/// devices have it); others are lists to put packets on, or places for a result.
fn direct_packet_place(prototype: &Prototype<'_>, reachable: usize) -> PacketPlace {
    if let Some(argument) = argument_to(prototype, "sk_buff", reachable) {
        return PacketPlace::Argument(argument);
    }
    let handed_in = placed(prototype, reachable).find(|(_, argument)| {
        argument.target == Target::PointerToStruct("sk_buff") && matches!(argument.name, "pskb" | "skbp")
    });
    match handed_in {
        Some((argument, _)) => PacketPlace::Behind { argument, offset: 0, then: None },
        None => PacketPlace::Nowhere,
    }
}

/// Functions that the tracing machinery is made of: none of them can be probed. For when tracefs does not say.
fn is_generated(name: &str) -> bool {
    ["__bpf_trace_", "perf_trace_", "trace_event_raw_event_", "trace_raw_output_", "__traceiter_", "__probestub_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}
