// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was lost, where, and why: the counters of our programs and those of the kernel.

use std::collections::BTreeMap;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle};
use tracer_ebpf::wire;

use crate::error::{Error, ErrorKind};
use crate::kernel::features::Features;
use crate::kernel::privileges::Capability;
use crate::probe::Probe;

use super::attach::Attachments;
use super::load::Loaded;
use super::privileges::drop_privileges;
use super::tracking::LINK_PLACES;

/// A cause of loss, and the probe (or group of probes) at which it was counted. Sorted by cause.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LossKey {
    /// As in the `loss` section.
    pub cause: &'static str,
    /// `kprobe:ip_rcv`, or the name of the eBPF program that many probes share. `None`: not known.
    pub probe: Option<String>,
}

/// Counts since the beginning of the session. Entries with a count of 0 are left out.
pub type LossTable = BTreeMap<LossKey, u64>;

/// The cause of hits that were left out because the user wanted no more events.
pub const SAMPLED_OUT: &str = "sampled_out";

/// Hits whose event should be there and is not, as opposed to events that lack something or are not wanted.
pub fn is_lost_event(cause: &str) -> bool {
    cause != "incomplete" && cause != SAMPLED_OUT && !cause.starts_with("tracking_")
}

/// Reads all counters.
pub(super) struct LossCounters {
    losses: MapHandle,
    probes: Vec<String>,
    /// Where in them those stand that were added while collection went on.
    first_added: usize,
    /// Name and descriptor of every program that is attached.
    programs: Vec<(String, i32)>,
    counts_misses: bool,
    /// The same for every attachment, where the kernel counts what they miss.
    links: Vec<(String, i32)>,
    /// What collectors count: causes, and variables of their hooks.
    own: Vec<(&'static str, &'static str)>,
}

impl LossCounters {
    pub(super) fn new(
        loaded: &Loaded,
        attachments: &Attachments,
        features: Features,
        probes: &[Probe],
        own: Vec<(&'static str, &'static str)>,
    ) -> Result<Self, Error> {
        use std::os::fd::{AsFd as _, AsRawFd as _};
        let mut programs: Vec<(String, i32)> = loaded
            .object
            .progs_mut()
            .filter(|program| program.autoload())
            .map(|program| (program.name().to_string_lossy().into_owned(), program.as_fd().as_raw_fd()))
            .collect();
        programs.extend(attachments.program_fds().map(|fd| ("raw_tracepoint".to_owned(), fd)));
        let places = LINK_PLACES.iter().map(|place| format!("kretprobe:{place}"));
        Ok(Self {
            losses: loaded.map("losses")?,
            probes: probes.iter().map(Probe::to_string).chain(places).collect(),
            first_added: probes.len() + LINK_PLACES.len(),
            programs,
            counts_misses: features.counts_misses,
            links: links(attachments, features.counts_misses),
            own,
        })
    }

    /// What it takes to read the counters: nothing, but on older kernels, which let nobody else use bpf(2) at all. Found out
    /// by trying, in a thread that has nothing.
    pub(super) fn privileges(&self) -> Result<&'static [Capability], Error> {
        let readable = || -> Result<bool, Error> {
            drop_privileges(&[])?;
            Ok(self.losses.lookup_percpu(&0_u32.to_ne_bytes(), MapFlags::ANY).is_ok())
        };
        let readable = std::thread::scope(|scope| {
            scope.spawn(readable).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        Ok(if readable? { &[] } else { &[Capability::CAP_BPF] })
    }

    /// Looks at these probes, too, which stand behind the others. `attachments`: all that there are now.
    pub(super) fn add(&mut self, probes: Vec<String>, attachments: &Attachments) {
        self.probes.truncate(self.first_added);
        self.probes.extend(probes);
        self.links = links(attachments, self.counts_misses);
    }

    /// All counts so far.
    pub(super) fn read(&self, loaded: &Loaded) -> Result<LossTable, Error> {
        let mut table = LossTable::new();
        let mut add = |cause, probe: Option<&str>, count: u64| {
            if count > 0 {
                *table.entry(LossKey { cause, probe: probe.map(str::to_owned) }).or_default() += count;
            }
        };
        for (index, probe) in self.probes.iter().enumerate() {
            let per_cpu = self
                .losses
                .lookup_percpu(&(index as u32).to_ne_bytes(), MapFlags::ANY)
                .map_err(|error| Error::new(ErrorKind::Failure, format!("the loss counters can't be read: {error}")))?;
            for (at, cause) in [
                (wire::LOSS_RING_FULL, "ring_full"),
                (wire::LOSS_NO_SCRATCH, "no_scratch"),
                (wire::LOSS_INCOMPLETE, "incomplete"),
                (wire::LOSS_CALL_TABLE_FULL, "call_table_full"),
                (wire::LOSS_ENTRY_UNKNOWN, "entry_unknown"),
                (wire::LOSS_FILTER_UNREADABLE, "filter_unreadable"),
                (wire::LOSS_SAMPLED_OUT, SAMPLED_OUT),
            ] {
                let at = at as usize * size_of::<u64>();
                let count = per_cpu.iter().flatten().filter_map(|counters| {
                    Some(u64::from_ne_bytes(counters.get(at..at + size_of::<u64>())?.try_into().ok()?))
                });
                add(cause, Some(probe), count.sum());
            }
        }
        // Of two programs that do the same at a function, one sees what the other is skipped for, unless both are. And at the end of a call
        // others may see what both were skipped for at its beginning.
        let mut tracking: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, fd) in &self.programs {
            let misses = program_misses(*fd);
            if name.starts_with("track_") {
                let both = tracking.entry(name.trim_end_matches("_2").trim_end_matches("_end")).or_insert(u64::MAX);
                *both = misses.min(*both);
            } else if name.starts_with("checked_") {
                // What the collector can't make good, it counts.
            } else if name.starts_with("link_") {
                add("tracking_unlinked", Some(name), misses);
            } else {
                add("missed", Some(name), misses);
            }
        }
        for (name, misses) in tracking {
            add("tracking_missed", Some(name), misses);
        }
        for (probe, fd) in &self.links {
            add("missed", Some(probe), link_misses(*fd));
        }
        let tracking = loaded.tracking_counters()?;
        add("tracking_evicted", None, tracking.evicted);
        add("tracking_failed", None, tracking.failed);
        add("tracking_unlinked", None, tracking.unlinked);
        for (cause, variable) in &self.own {
            add(cause, None, loaded.u64(variable)?);
        }
        Ok(table)
    }
}

/// There can be thousands: none where they count nothing.
fn links(attachments: &Attachments, counts_misses: bool) -> Vec<(String, i32)> {
    attachments.link_fds().filter(|_| counts_misses).map(|(probe, fd)| (probe.to_owned(), fd)).collect()
}

/// Hits that the kernel skipped because a program was running already.
fn program_misses(fd: i32) -> u64 {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut size = size_of_val(&info) as u32;
    // SAFETY: the kernel writes at most `size` bytes into `info`.
    let failed = unsafe { libbpf_sys::bpf_prog_get_info_by_fd(fd, &raw mut info, &raw mut size) } != 0;
    if failed { 0 } else { info.recursion_misses }
}

/// Hits that the kernel skipped at a link.
fn link_misses(fd: i32) -> u64 {
    let mut info = libbpf_sys::bpf_link_info::default();
    let mut size = size_of_val(&info) as u32;
    // SAFETY: the kernel writes at most `size` bytes into `info`.
    if unsafe { libbpf_sys::bpf_link_get_info_by_fd(fd, &raw mut info, &raw mut size) } != 0 {
        return 0;
    }
    // SAFETY: which member of the union was written is told by `type_`; all are integers, zeroed before.
    unsafe {
        match info.type_ {
            libbpf_sys::BPF_LINK_TYPE_KPROBE_MULTI => info.__bindgen_anon_1.kprobe_multi.missed,
            libbpf_sys::BPF_LINK_TYPE_PERF_EVENT => {
                let event = &info.__bindgen_anon_1.perf_event;
                match event.type_ {
                    libbpf_sys::BPF_PERF_EVENT_KPROBE | libbpf_sys::BPF_PERF_EVENT_KRETPROBE => {
                        event.__bindgen_anon_1.kprobe.missed
                    }
                    _ => 0,
                }
            }
            _ => 0,
        }
    }
}
