// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Loading: constants and sizes are filled in, programs that are not needed stay out, and the verifier has its say.

use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicBool, Ordering};

use libbpf_rs::{MapCore, MapFlags, MapHandle, Object, ObjectBuilder, OpenObject};
use tracer_ebpf::{objects, wire};

use super::growth::MAX_ADDED;
use super::tracking::LINK_PLACES;
use super::variables::Variables;
use super::{Running, messages};
use crate::collector::{OwnProgram, Wire as _};
use crate::error::{Error, ErrorKind};
use crate::event::core_sections::PacketKey;
use crate::filter::{self, Filter, FilterText};
use crate::kernel::features::Features;
use crate::kernel::tunnels::{TunnelPort, TunnelPorts};
use crate::probe::{PacketPlace, Probe, ProbeSpec, ProbeType, WantedArgument};

/// What is to be loaded.
pub(super) struct Plan<'a> {
    pub(super) features: Features,
    pub(super) dispatcher: &'static [u8],
    pub(super) collectors: &'a [Running],
    pub(super) probes: &'a [Probe],
    /// The filter of probes that have none of their own.
    pub(super) filter: &'a FilterText,
    /// All filters, and the objects that they take.
    pub(super) filters: &'a [Filter],
    pub(super) filter_objects: &'a [Vec<u8>],
    /// Where packet filters look at the packets in tunnels.
    pub(super) tunnel_ports: Option<&'a TunnelPorts>,
    /// Bytes, a power of two and a multiple of the page size.
    pub(super) ring_size: u32,
    /// Packets that are tracked at a time, a power of two.
    pub(super) table_size: u32,
    /// How long an event keeps others away where their number is capped, in ns; 0: it is not.
    pub(super) event_interval: u64,
    /// The programs that keep the table of tracked packets true; none: packets are not tracked.
    pub(super) tracking: &'a [&'static str],
    /// There is an event for each packet that another one takes in.
    pub(super) link_events: bool,
    /// Probes may be added while collection goes on.
    pub(super) may_grow: bool,
}

impl Plan<'_> {
    fn has(&self, probe_type: ProbeType) -> bool {
        self.probes.iter().any(|probe| probe.probe_type == probe_type && probe.own_program.is_none())
            // All that are added are entries of functions.
            || self.may_grow && probe_type == ProbeType::Kprobe
    }

    /// The probes that hooks know by a number, each once.
    fn known_probes(&self) -> Vec<(ProbeType, String)> {
        let mut known = Vec::new();
        for (spec, _) in self.collectors.iter().flat_map(|running| &running.needs.known_probes) {
            if mark(&known, spec.probe_type, spec.symbol()) == 0 {
                known.push((spec.probe_type, spec.symbol().to_owned()));
            }
        }
        known
    }

    /// The programs of collectors that are wanted.
    fn own_programs(&self) -> impl Iterator<Item = &OwnProgram> {
        self.collectors.iter().flat_map(|running| running.programs(self.probes))
    }

    /// The arguments that collectors want, each once: where one stands here is its slot.
    fn wanted_arguments(&self) -> Vec<&'static WantedArgument> {
        let mut wanted = Vec::new();
        for (argument, _) in self.collectors.iter().flat_map(|running| &running.needs.arguments) {
            if !wanted.contains(argument) {
                wanted.push(*argument);
            }
        }
        wanted
    }
}

/// The number under which hooks know a probe; 0: under none.
fn mark(known: &[(ProbeType, String)], probe_type: ProbeType, symbol: &str) -> u8 {
    let at = known.iter().position(|(known, name)| *known == probe_type && name == symbol);
    at.map_or(0, |at| (at + 1) as u8)
}

/// What a loaded program costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramReport {
    /// Its name in the object.
    pub name: String,
    /// Instructions after the verifier's rewriting, hooks included.
    pub instructions: u32,
    /// Instructions that the verifier went through, on all paths; the kernel's limit is a million. 0: not told (5.10).
    pub verified: u32,
}

/// A loaded object, not yet attached to anything.
pub(super) struct Loaded {
    pub(super) object: Object,
    variables: Variables,
    configurer: ProbeConfigurer,
}

/// The name of the program for a raw tracepoint of which so many arguments are read.
pub(super) fn tracepoint_program(probe: &Probe) -> String {
    let packet = match probe.packet {
        PacketPlace::Nowhere => None,
        PacketPlace::Argument(argument) | PacketPlace::Behind { argument, .. } => Some(argument),
    };
    // What a packet says about its device and namespace makes the other arguments needless.
    let last = packet.or_else(|| probe.device_argument.max(probe.namespace_argument));
    format!("raw_tracepoint_{}", last.map_or(0, |last| last + 1))
}

/// A hook that had to be left out, so that the rest could be loaded.
pub(super) struct RefusedHook {
    /// Of its collector, in the plan.
    pub(super) index: usize,
    /// What libbpf and the verifier object to.
    pub(super) reason: String,
}

/// Links and loads. When the result is refused because of some hooks, those are left out; they come back in the order of the
/// plan.
///
/// # Errors
/// When it can't be loaded even then.
pub(super) fn load(plan: &Plan<'_>) -> Result<(Loaded, Vec<RefusedHook>), Error> {
    let all: Vec<usize> = (0..plan.collectors.len()).collect();
    let attempt = |collectors: &[usize]| attempt(plan, collectors, plan.filter_objects);
    let refusal = match attempt(&all) {
        Ok(loaded) => return Ok((loaded, Vec::new())),
        Err(refusal) => refusal.to_string(),
    };
    if let Some(error) = refused_filter(plan)? {
        return Err(error);
    }
    let alone =
        |&index: &usize| attempt(&[index]).err().map(|refusal| RefusedHook { index, reason: refusal.to_string() });
    let refused: Vec<RefusedHook> = all.iter().filter_map(alone).collect();
    let candidates = if refused.is_empty() {
        // Each is accepted alone: one is too much beside the others.
        all.iter().map(|&index| vec![RefusedHook { index, reason: refusal.clone() }]).collect()
    } else {
        vec![refused]
    };
    for refused in candidates {
        let kept: Vec<usize> =
            all.iter().copied().filter(|index| refused.iter().all(|refused| refused.index != *index)).collect();
        if let Ok(loaded) = attempt(&kept) {
            return Ok((loaded, refused));
        }
    }
    Err(Error::new(ErrorKind::KernelLacks, format!("the kernel refuses the eBPF programs: {refusal}")))
}

/// Finds out whether it is a filter that the kernel refuses: without hooks, all is well but for that.
fn refused_filter(plan: &Plan<'_>) -> Result<Option<Error>, Error> {
    if plan.filters.is_empty() {
        return Ok(None);
    }
    let Err(together) = attempt(plan, &[], plan.filter_objects) else { return Ok(None) };
    if attempt(plan, &[], &[]).is_err() {
        return Ok(None);
    }
    for filter in plan.filters {
        let (inner, direct_reads) = (plan.tunnel_ports.is_some(), plan.features.direct_reads);
        let objects = filter::objects(std::slice::from_ref(filter), inner, direct_reads)?;
        if let Err(refusal) = attempt(plan, &[], &objects) {
            return Ok(Some(filter_error(&format!("{filter}"), filter.longest_program(), &refusal)));
        }
    }
    let instructions = plan.filters.iter().map(Filter::longest_program).sum();
    Ok(Some(filter_error(&format!("the {} filters together", plan.filters.len()), instructions, &together)))
}

fn filter_error(what: &str, instructions: usize, refusal: &Refusal) -> Error {
    let message = format!("the kernel refuses {what}, {instructions} instructions long: {refusal}");
    let error = Error::new(ErrorKind::BadFilter, message);
    if refusal.is_about_size() {
        error.with_hint("the kernel goes through a million instructions, on all ways taken together, and remembers 8192 branches on one")
    } else {
        error
    }
}

/// Why an attempt failed.
#[derive(Debug)]
enum Refusal {
    Core(Error),
    Libbpf { error: libbpf_rs::Error, log: String },
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Core(error) => write!(f, "{error}"),
            Self::Libbpf { error, log } => {
                write!(f, "{error:#}")?;
                // The last lines say what libbpf or the verifier objects to; statistics and frames around them don't.
                let objection: Vec<&str> = log.lines().filter(|line| !is_noise(line)).collect();
                for line in &objection[objection.len().saturating_sub(6)..] {
                    write!(f, "\n  {line}")?;
                }
                Ok(())
            }
        }
    }
}

impl Refusal {
    /// The verifier gave up, or has no room for so much. Of branches that are too many it says no more than one of two errors.
    fn is_about_size(&self) -> bool {
        let Self::Libbpf { error, log } = self else { return false };
        let reason = format!("{error:#}");
        [libc::E2BIG, libc::EFAULT].iter().any(|number| reason.contains(&format!("(os error {number})")))
            || ["too large", "too complex", "too many"].iter().any(|words| log.contains(words))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl From<libbpf_rs::Error> for Refusal {
    fn from(error: libbpf_rs::Error) -> Self {
        Self::Libbpf { error, log: String::new() }
    }
}

fn is_noise(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || ["processed ", "verification time", "stack depth", "-- BEGIN", "-- END", "failed to load BPF skeleton"]
            .iter()
            .any(|noise| line.contains(noise))
}

/// Loads with the hooks of these collectors of the plan, and with these filters.
fn attempt(plan: &Plan<'_>, collectors: &[usize], filters: &[Vec<u8>]) -> Result<Loaded, Refusal> {
    let hooks = collectors.iter().map(|&index| &plan.collectors[index]);
    let atomics = if plan.features.fetch_atomics { objects::ATOMIC_FETCH } else { objects::ATOMIC_PLAIN };
    // A map must be defined before another object speaks of it: the linker would not find its place.
    let engine = if plan.features.direct_reads { objects::ENGINE_DIRECT } else { objects::ENGINE };
    let mut parts = vec![objects::TRACKING, engine, objects::SAMPLING, atomics, plan.dispatcher];
    if !plan.tracking.is_empty() {
        parts.extend([objects::LINKS, objects::BUFFERS]);
    }
    if plan.has(ProbeType::Kprobe) {
        parts.push(objects::KPROBE);
    }
    if plan.has(ProbeType::Kretprobe) {
        parts.push(objects::KRETPROBE);
    }
    if plan.has(ProbeType::RawTracepoint) {
        parts.push(objects::RAW_TRACEPOINT);
    }
    if plan.has(ProbeType::Usdt) {
        parts.push(objects::USDT);
    }
    parts.extend(filters.iter().map(Vec::as_slice));
    parts.extend(hooks.clone().map(|running| running.collector.hook.object));
    let linked = super::link::link(&parts)?;

    let mut open = ObjectBuilder::default().name("tracer")?.open_memory(&linked)?;
    let variables = Variables::find(&open)?;
    let event_bytes: u32 = hooks.clone().map(|running| running.needs.event_bytes).sum();
    let event_size = (wire::EVENT_FIXED_SIZE + event_bytes).next_multiple_of(8);
    let mut constants: Vec<(&str, Vec<u8>)> = vec![
        ("has_cookies", vec![u8::from(plan.features.cookies)]),
        ("tracking_enabled", vec![u8::from(!plan.tracking.is_empty())]),
        ("table_size", u64::from(plan.table_size).to_ne_bytes().to_vec()),
        ("count_shift", count_shift(plan).to_ne_bytes().to_vec()),
        ("event_size", event_size.to_ne_bytes().to_vec()),
        ("first_link_place", first_link_place(plan).to_ne_bytes().to_vec()),
        ("event_interval", plan.event_interval.to_ne_bytes().to_vec()),
        ("has_selective_probes", vec![u8::from(plan.probes.iter().any(|probe| probe.selective))]),
        ("wake_level", u64::from(plan.ring_size / 4).to_ne_bytes().to_vec()),
    ];
    if plan.has(ProbeType::RawTracepoint) {
        constants.push(("has_tracepoint_cookies", vec![u8::from(plan.features.tracepoint_cookies)]));
    }
    if !filters.is_empty() && plan.filters.iter().any(|filter| filter.packet.is_some()) {
        constants.push(("filter_inner", vec![u8::from(plan.tunnel_ports.is_some())]));
    }
    constants.extend(hooks.clone().flat_map(|running| running.needs.constants.iter().cloned()));
    for program in hooks.clone().flat_map(|running| &running.needs.programs) {
        if let Some((_, variable)) = program.events {
            let index = plan.probes.iter().position(|probe| probe.own_program == Some(program.name));
            constants.push((variable, index.map_or(u32::MAX, |index| index as u32).to_ne_bytes().to_vec()));
        }
    }
    let wanted = plan.wanted_arguments();
    if wanted.len() > wire::ARGUMENT_SLOTS as usize {
        let many =
            format!("the collectors want {} different arguments, of {} at most", wanted.len(), wire::ARGUMENT_SLOTS);
        return Err(Error::new(ErrorKind::Failure, many).into());
    }
    for (argument, variable) in hooks.clone().flat_map(|running| &running.needs.arguments) {
        let slot = wanted.iter().position(|wanted| wanted == argument).unwrap_or_default() as u32;
        constants.push((variable, slot.to_ne_bytes().to_vec()));
    }
    let known = plan.known_probes();
    for (spec, variable) in hooks.clone().flat_map(|running| &running.needs.known_probes) {
        let mark = u32::from(mark(&known, spec.probe_type, spec.symbol()));
        constants.push((variable, mark.to_ne_bytes().to_vec()));
    }
    variables.set_constants(&mut open, &constants)?;
    set_sizes(&mut open, plan, event_size)?;
    choose_programs(&mut open, plan);

    let object = open.load().map_err(|error| Refusal::Libbpf { error, log: messages::take() })?;
    let looking = hooks.fold(0, |bits, running| bits | 1 << running.collector.hook.number);
    let configurer = ProbeConfigurer::new(plan, looking);
    configurer.configure(&object, plan)?;
    let loaded = Loaded { object, variables, configurer };
    // Without a packet filter there is nobody who asks.
    if let Some(ports) = plan.tunnel_ports.filter(|_| plan.filters.iter().any(|filter| filter.packet.is_some())) {
        let map = loaded.map("tunnel_ports")?;
        for TunnelPort { port, kind } in ports.iter() {
            map.update(&u32::from(port).to_ne_bytes(), &(kind as u32).to_ne_bytes(), MapFlags::ANY)?;
        }
    }
    Ok(loaded)
}

/// Behind the probes; where no events are made, where none can be.
fn first_link_place(plan: &Plan<'_>) -> u32 {
    if plan.link_events { plan.probes.len() as u32 } else { u32::MAX - wire::LINK_PLACES }
}

/// How many counts say whether a buffer is tracked: so many that most are 0 even when the table of packets is full.
fn buffer_counts(plan: &Plan<'_>) -> u32 {
    if plan.tracking.is_empty() { 2 } else { plan.table_size * 4 }
}

/// The upper bits of a multiplied address choose the count.
fn count_shift(plan: &Plan<'_>) -> u32 {
    u32::BITS - buffer_counts(plan).ilog2()
}

fn set_sizes(open: &mut OpenObject, plan: &Plan<'_>, event_size: u32) -> Result<(), Refusal> {
    let added = if plan.may_grow { MAX_ADDED } else { 0 };
    let probes = (plan.probes.len() + LINK_PLACES.len() + added) as u32;
    let cpus = libbpf_rs::num_possible_cpus()? as u32;
    for mut map in open.maps_mut() {
        match map.name().to_str() {
            Some("ring") => map.set_max_entries(plan.ring_size)?,
            Some("probes" | "losses" | "probes_by_address") => map.set_max_entries(probes)?,
            Some("scratch_memory") => {
                map.set_max_entries(cpus * wire::SCRATCH_SLOTS)?;
                // `struct scratch` with a longer event.
                let size = map.value_size() - wire::EVENT_FIXED_SIZE + event_size;
                map.set_value_size(size)?;
            }
            Some("packets") => map.set_max_entries(if plan.tracking.is_empty() { 1 } else { plan.table_size })?,
            // Packets with several buffers, and room in which this table, which forgets without a word, is never the tighter one.
            Some("buffers") => {
                map.set_max_entries(if plan.tracking.is_empty() { 1 } else { plan.table_size * 2 + 1024 })?;
            }
            Some("buffer_counts") => map.set_max_entries(buffer_counts(plan))?,
            Some("tunnel_ports") => {
                map.set_max_entries(plan.tunnel_ports.map_or(1, |ports| ports.iter().len() as u32))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Marks the programs that are needed.
fn choose_programs(open: &mut OpenObject, plan: &Plan<'_>) {
    let tracepoints: Vec<String> = plan
        .probes
        .iter()
        .filter(|probe| probe.probe_type == ProbeType::RawTracepoint && probe.own_program.is_none())
        .map(tracepoint_program)
        .collect();
    for mut program in open.progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        let needed = match &*name {
            "kprobe_single" => plan.has(ProbeType::Kprobe) && !plan.features.kprobe_multi,
            "kprobe_multi" => plan.has(ProbeType::Kprobe) && plan.features.kprobe_multi,
            "kretprobe_entry" | "kretprobe_single" => plan.has(ProbeType::Kretprobe) && !plan.features.kprobe_session,
            "kretprobe_session" => plan.has(ProbeType::Kretprobe) && plan.features.kprobe_session,
            "usdt_probe" => plan.has(ProbeType::Usdt),
            other => {
                tracepoints.iter().any(|needed| needed == other)
                    || plan.tracking.contains(&other)
                    || plan.own_programs().any(|program| program.name == other)
            }
        };
        program.set_autoload(needed);
    }
}

/// What turns a probe into what the programs know about it.
struct ProbeConfigurer {
    /// Those that look at the probes, one bit for each.
    collectors: u32,
    wanted: Vec<&'static WantedArgument>,
    /// Probes that hooks know by their number here, from 1.
    known: Vec<(ProbeType, String)>,
    /// Where a probe has one of these, a collector decides whether its hits are wanted.
    deciding: Vec<&'static WantedArgument>,
    /// Probes about which a collector decides.
    deciding_probes: Vec<ProbeSpec>,
    /// The filter of probes that have none of their own.
    filter: FilterText,
    /// All filters: their text, and the flags that they put on probes with a packet and on those without.
    filters: Vec<(FilterText, [u32; 2])>,
    /// How many probes and places there are from the start.
    first_added: usize,
}

impl ProbeConfigurer {
    fn new(plan: &Plan<'_>, collectors: u32) -> Self {
        let flags = |filter: &Filter| [true, false].map(|has_packet| filter.probe_flags(has_packet));
        Self {
            collectors,
            wanted: plan.wanted_arguments(),
            known: plan.known_probes(),
            deciding: plan.collectors.iter().flat_map(|running| running.needs.deciding.iter().copied()).collect(),
            deciding_probes: plan
                .collectors
                .iter()
                .flat_map(|running| running.needs.deciding_probes.iter().cloned())
                .collect(),
            filter: plan.filter.clone(),
            filters: plan.filters.iter().map(|filter| (filter.text.clone(), flags(filter))).collect(),
            first_added: plan.probes.len() + LINK_PLACES.len(),
        }
    }

    fn config(&self, probe: &Probe) -> wire::probe_config {
        let none = wire::NO_ARGUMENT as u8;
        let (packet_argument, packet_offset, packet_then, mut flags) = match probe.packet {
            PacketPlace::Nowhere => (none, 0, 0, 0),
            PacketPlace::Argument(argument) => (argument, 0, 0, 0),
            PacketPlace::Behind { argument, offset, then: None } => (argument, offset, 0, wire::PROBE_PACKET_INDIRECT),
            PacketPlace::Behind { argument, offset, then: Some(then) } => {
                (argument, offset, then, wire::PROBE_PACKET_INDIRECT | wire::PROBE_PACKET_TWICE)
            }
        };
        let may_tell_packet = self
            .deciding_probes
            .iter()
            .any(|known| known.probe_type == probe.probe_type && known.symbol() == probe.symbol());
        if may_tell_packet || self.deciding.iter().any(|argument| argument.of(probe).is_some()) {
            flags |= wire::PROBE_DECIDED;
        }
        if probe.stack {
            flags |= wire::PROBE_STACK;
        }
        if probe.selective {
            flags |= wire::PROBE_SELECTIVE;
        }
        if probe.packet_may_be_gone {
            flags |= wire::PROBE_PACKET_MAY_BE_GONE;
        }
        // Programs of collectors see their arguments one after the other, too, the result behind them.
        if probe.probe_type == ProbeType::RawTracepoint || probe.own_program.is_some() {
            flags |= wire::PROBE_TRACEPOINT;
        }
        if probe.user.is_some() {
            flags |= wire::PROBE_USER;
        }
        if probe.own_program.is_some() {
            flags |= wire::PROBE_OWN_PROGRAM;
        }
        let mut arguments = [none; wire::ARGUMENT_SLOTS as usize];
        for (slot, wanted) in arguments.iter_mut().zip(&self.wanted) {
            *slot = wanted.of(probe).unwrap_or(none);
        }
        let text = probe.filter.as_ref().unwrap_or(&self.filter);
        let number = self.filters.iter().zip(1..).find(|((filter, _), _)| filter == text);
        // A program of a collector's own may know of a packet that no argument leads to.
        let without_packet = probe.packet == PacketPlace::Nowhere && probe.own_program.is_none();
        let filter = number.map(|((_, flags), number)| (flags[usize::from(without_packet)], number));
        // A filter that does not look at the hit counts for the packet that the hit is about.
        let (filter_flags, filter) = filter.filter(|(flags, _)| *flags != 0 || may_tell_packet).unwrap_or_default();
        flags |= filter_flags;
        let beside = |argument: Option<u8>| argument.filter(|_| probe.packet == PacketPlace::Nowhere).unwrap_or(none);
        wire::probe_config {
            collectors: self.collectors,
            flags: flags as u16,
            packet_offset,
            packet_then,
            packet_argument,
            device_argument: beside(probe.device_argument),
            namespace_argument: beside(probe.namespace_argument),
            // What a packet filter needs; tracepoints hand over packets that know their socket.
            socket_argument: probe
                .socket_argument
                .filter(|_| flags & wire::PROBE_FILTER_PACKET != 0 && probe.probe_type != ProbeType::RawTracepoint)
                .unwrap_or(none),
            filter,
            arguments,
            mark: mark(&self.known, probe.probe_type, probe.symbol()),
        }
    }

    /// Of a place where tracking makes events: there are no arguments, and the packet is known.
    fn place(&self) -> wire::probe_config {
        let none = wire::NO_ARGUMENT as u8;
        wire::probe_config {
            collectors: self.collectors,
            packet_argument: none,
            device_argument: none,
            namespace_argument: none,
            socket_argument: none,
            arguments: [none; wire::ARGUMENT_SLOTS as usize],
            ..Default::default()
        }
    }

    /// Tells the programs about all probes and places.
    fn configure(&self, object: &Object, plan: &Plan<'_>) -> Result<(), Refusal> {
        let map = object
            .maps()
            .find(|map| map.name() == "probes")
            .ok_or_else(|| Error::new(ErrorKind::Failure, "the eBPF programs have no table of probes"))?;
        let probes = plan.probes.iter().map(|probe| self.config(probe));
        let places = LINK_PLACES.iter().map(|_| self.place());
        for (index, config) in probes.chain(places).enumerate() {
            set_config(&map, index, &config)?;
        }
        Ok(())
    }
}

fn set_config(map: &impl MapCore, index: usize, config: &wire::probe_config) -> Result<(), libbpf_rs::Error> {
    // SAFETY: the struct has explicit padding only, so all of its bytes are initialised.
    let bytes = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(config).cast::<u8>(), size_of_val(config)) };
    map.update(&(index as u32).to_ne_bytes(), bytes, MapFlags::ANY)
}

impl Loaded {
    /// The index of the probe that is added with this number.
    pub(super) fn added_index(&self, number: usize) -> usize {
        self.configurer.first_added + number
    }

    /// Tells the programs about a probe that is added.
    pub(super) fn configure_added(&self, number: usize, probe: &Probe) -> Result<(), Error> {
        let config = self.configurer.config(probe);
        set_config(&self.map("probes")?, self.added_index(number), &config)
            .map_err(|error| Error::new(ErrorKind::Failure, format!("`{probe}` can't be added: {error:#}")))
    }

    /// Size and cost of each program that was loaded.
    pub(super) fn programs(&self) -> Vec<ProgramReport> {
        let loaded = self.object.progs_mut().filter(|program| program.autoload());
        loaded
            .map(|program| {
                let mut info = libbpf_sys::bpf_prog_info::default();
                let mut size = size_of_val(&info) as u32;
                // SAFETY: the kernel writes at most `size` bytes into `info`. When it refuses, all stays 0.
                unsafe {
                    libbpf_sys::bpf_prog_get_info_by_fd(program.as_fd().as_raw_fd(), &raw mut info, &raw mut size)
                };
                ProgramReport {
                    name: program.name().to_string_lossy().into_owned(),
                    instructions: info.xlated_prog_len / 8,
                    verified: info.verified_insns,
                }
            })
            .collect()
    }

    /// A handle on a map that outlives the borrow of the object.
    pub(super) fn map(&self, name: &str) -> Result<MapHandle, Error> {
        let map = self
            .object
            .maps()
            .find(|map| map.name() == name)
            .ok_or_else(|| Error::new(ErrorKind::Failure, format!("the eBPF programs have no map `{name}`")))?;
        MapHandle::try_from(&map).map_err(|error| Error::new(ErrorKind::Failure, format!("the map `{name}`: {error}")))
    }

    /// Switches collection on or off in all programs at once.
    pub(super) fn set_enabled(&self, enabled: bool) -> Result<(), Error> {
        let place = self.variables.memory(&self.object, "enabled", 1)?;
        // SAFETY: the byte belongs to a mapping that lives as long as the object; programs read it concurrently, which an
        // atomic store allows.
        unsafe { AtomicBool::from_ptr(place.as_ptr().cast()) }.store(enabled, Ordering::SeqCst);
        Ok(())
    }

    /// Sets a 64-bit variable.
    pub(super) fn set_u64(&self, name: &str, value: u64) -> Result<(), Error> {
        let place = self.variables.memory(&self.object, name, size_of::<u64>())?;
        // SAFETY: as above; the compiler of eBPF aligns 64-bit variables.
        unsafe { place.as_ptr().cast::<u64>().write_volatile(value) };
        Ok(())
    }

    /// Reads a 64-bit variable.
    pub(super) fn u64(&self, name: &str) -> Result<u64, Error> {
        let place = self.variables.memory(&self.object, name, size_of::<u64>())?;
        // SAFETY: as above.
        Ok(unsafe { place.as_ptr().cast::<u64>().read_volatile() })
    }

    /// What happened to the table of tracked packets so far.
    pub(super) fn tracking_counters(&self) -> Result<wire::tracking_counters, Error> {
        let place = self.variables.memory(&self.object, "tracking_counters", size_of::<wire::tracking_counters>())?;
        // SAFETY: as above; the struct is made of integers, which the programs only ever add to.
        Ok(unsafe { place.as_ptr().cast::<wire::tracking_counters>().read_volatile() })
    }

    /// The packets that are tracked and of which something was recorded.
    pub(super) fn packets_in_flight(&self) -> Result<Vec<PacketKey>, Error> {
        /// So many are read in one call.
        const BATCH: u32 = 1024;
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Failure, format!("the table of tracked packets can't be read: {error}"))
        };
        let mut packets = Vec::new();
        for slot in
            self.map("packets")?.lookup_batch(BATCH, MapFlags::ANY, MapFlags::ANY).map_err(|error| failed(&error))?
        {
            let (packet, _) = wire::tracked_packet::read(0, &slot.1).map_err(|error| failed(&error))?;
            // A slot that is being filled has no number; this one was told to leave the packet out.
            let is_recorded = packet.number != 0 && packet.number & wire::LEFT_OUT as u64 == 0 && packet.hits != 0;
            if is_recorded && packet.buffers != 0 {
                packets.push(PacketKey { timestamp: packet.first_seen, orig_head: packet.first_head });
            }
        }
        packets.sort_unstable_by_key(|packet| (packet.timestamp, packet.orig_head));
        Ok(packets)
    }

    /// What became of packets under a cap on events so far.
    pub(super) fn sampling(&self) -> Result<wire::sampling, Error> {
        let place = self.variables.memory(&self.object, "sampling", size_of::<wire::sampling>())?;
        // SAFETY: as above; the struct is made of integers that stand each for itself.
        Ok(unsafe { place.as_ptr().cast::<wire::sampling>().read_volatile() })
    }
}

/// A name for the kernel. Names come from the kernel or from probes that were checked: none holds a zero byte.
pub(super) fn c_name(name: &str) -> CString {
    CString::new(name.replace('\0', "")).unwrap_or_default()
}
