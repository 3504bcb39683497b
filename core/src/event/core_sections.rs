// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sections that belong to no collector: when and where an event happened, and what the tool says about itself.
//!
//! All of them can be written without allocating: text is a [`Cow`], lists are borrowed slices.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clues::{Clues, Stage};
use super::known_places::what_happens;
use super::section::{Place, Section, SectionDescriptor};
use super::text::{Escaped, TextOptions};
use super::verdict_section::{InFlightSection, VerdictSection};
use crate::session::SAMPLED_OUT;

/// The sections that the core itself writes, in the order in which they stand in an event.
pub const CORE_SECTIONS: &[SectionDescriptor] = &[
    SectionDescriptor::of::<CommonSection<'static>>(),
    SectionDescriptor::of::<StartupSection<'static>>(),
    SectionDescriptor::of::<KernelSection<'static>>(),
    SectionDescriptor::of::<UserspaceSection<'static>>(),
    SectionDescriptor::of::<LossSection<'static>>(),
    SectionDescriptor::of::<TrackingSection>(),
    SectionDescriptor::of::<VerdictSection<'static>>(),
    SectionDescriptor::of::<InFlightSection<'static>>(),
];

/// When, on which CPU and in which task an event happened. Every event has this section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommonSection<'a> {
    /// Time of the hit, in nanoseconds of CLOCK_MONOTONIC.
    pub timestamp: u64,
    /// Number of the CPU. Missing where no CPU was involved, e.g. in `startup`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smp_id: Option<u32>,
    /// The task that was running. Missing when there was none of interest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task<'a>>,
}

/// The task that was running on the CPU; a packet received in an interrupt is rarely that task's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Task<'a> {
    /// The process id, as `ps` shows it. (The kernel calls this number `tgid`: this format has the two names the other
    /// way round.)
    pub pid: i32,
    /// The thread id; equal to `pid` in a process's first thread. (The kernel calls this number `pid`.)
    pub tgid: i32,
    /// The thread's name, at most 15 bytes; bytes that are not UTF-8 are replaced.
    pub comm: Cow<'a, str>,
}

impl Section for CommonSection<'_> {
    const NAME: &'static str = "common";
    const PLACE: Place = Place::Header;

    /// CPU and task. The time is not here: how it is shown depends on the whole file's clock, so
    /// the event printer writes it.
    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        let mut space = "";
        if let Some(cpu) = self.smp_id {
            write!(out, "({cpu})")?;
            space = " ";
        }
        if let Some(task) = &self.task {
            write!(out, "{space}[{}] {}", Escaped(&task.comm), task.pid)?;
            if task.tgid != task.pid {
                write!(out, "/{}", task.tgid)?;
            }
        }
        Ok(())
    }
}

/// The place in the kernel that was hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelSection<'a> {
    /// The function (`ip_rcv`) or the tracepoint with its group (`net:netif_rx`).
    pub symbol: Cow<'a, str>,
    /// How the place was watched.
    pub probe_type: KernelProbeType,
    /// The kernel stack at the hit, innermost frame first, each `symbol+0xoffset`, for functions of modules followed by ` [module]`.
    /// Missing unless it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack_trace: Option<Cow<'a, [Cow<'a, str>]>>,
}

/// How a place in the kernel is watched; an fentry or fexit program that stands in for a kprobe is reported as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KernelProbeType {
    /// At the entry of a function.
    Kprobe,
    /// At the return of a function.
    Kretprobe,
    /// At a tracepoint.
    RawTracepoint,
}

impl KernelProbeType {
    /// The short form in text output.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Kprobe => "k",
            Self::Kretprobe => "kr",
            Self::RawTracepoint => "tp",
        }
    }
}

impl Section for KernelSection<'_> {
    const NAME: &'static str = "kernel";
    const PLACE: Place = Place::Header;

    /// The probe. The stack takes lines of its own, which the event printer writes.
    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "[{}] {}", self.probe_type.tag(), Escaped(&self.symbol))
    }

    fn tell<'a>(json: &'a str, clues: &mut Clues<'a>) {
        #[derive(Deserialize)]
        struct Probe<'a> {
            #[serde(borrow)]
            symbol: Cow<'a, str>,
            #[serde(borrow)]
            probe_type: Cow<'a, str>,
        }
        let Ok(Probe { symbol, probe_type }) = serde_json::from_str(json) else {
            return;
        };
        // At a return the packet is what it was at the entry: it may be gone.
        let (fate, stage) = if probe_type == "kretprobe" { (None, Stage::Aside) } else { what_happens(&symbol) };
        clues.symbol = Some(symbol);
        clues.stage = stage;
        // Another section may know more about it.
        clues.fate = clues.fate.take().or(fate);
    }
}

/// The place in a user-space program that was hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserspaceSection<'a> {
    /// How the place was watched.
    pub probe_type: UserspaceProbeType,
    /// `provider:name` of the USDT probe.
    pub symbol: Cow<'a, str>,
    /// The address of the probe in the program.
    pub ip: u64,
    /// The path of the program or library.
    pub path: Cow<'a, str>,
    /// The process id.
    pub pid: i32,
    /// The thread id.
    pub tid: i32,
}

/// How a place in a user-space program is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserspaceProbeType {
    /// A static probe that the program was built with.
    Usdt,
}

impl Section for UserspaceSection<'_> {
    const NAME: &'static str = "userspace";
    const PLACE: Place = Place::Header;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "[u] {}", Escaped(&self.symbol))
    }
}

/// What wrote the file, where, and how its clock relates to the wall clock. The first event of every file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartupSection<'a> {
    /// The level of this file format, `v1.7.0`: readers made for that version of Retis understand the file.
    pub retis_version: Cow<'a, str>,
    /// The version of `tracer` that wrote the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracer_version: Option<Cow<'a, str>>,
    /// The command line.
    pub cmdline: Cow<'a, str>,
    /// Added to a `timestamp` of this file it gives the wall-clock time.
    pub clock_monotonic_offset: ClockOffset,
    /// The machine.
    pub machine: Machine<'a>,
    /// Which part of a trace in several files this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_file: Option<SplitFile<'a>>,
}

/// A span of time: `sec` seconds and `nsec` nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClockOffset {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, below 10⁹.
    pub nsec: i64,
}

/// The machine that a trace was taken on, as uname(2) describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine<'a> {
    /// `uname -r`.
    pub kernel_release: Cow<'a, str>,
    /// `uname -v`.
    pub kernel_version: Cow<'a, str>,
    /// `uname -m`.
    pub hardware_name: Cow<'a, str>,
}

/// The place of a file among those of one trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SplitFile<'a> {
    /// The number of this file, from 0.
    pub id: u32,
    /// When a new file is begun.
    pub policy: SplitPolicy<'a>,
}

/// When a new file is begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SplitPolicy<'a> {
    /// `size`: when the file has reached `limit`.
    pub kind: Cow<'a, str>,
    /// The limit in the unit of `kind`; bytes for `size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl Section for StartupSection<'_> {
    const NAME: &'static str = "startup";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        match &self.tracer_version {
            Some(version) => write!(out, "startup tracer {}", Escaped(version))?,
            None => write!(out, "startup retis {}", Escaped(&self.retis_version))?,
        }
        write!(
            out,
            " on {} {}: {}",
            Escaped(&self.machine.kernel_release),
            Escaped(&self.machine.hardware_name),
            Escaped(&self.cmdline),
        )?;
        match &self.split_file {
            Some(split) => write!(out, " (file {})", split.id),
            None => Ok(()),
        }
    }
}

/// What was lost since the last such event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct LossSection<'a>(
    /// One entry for each cause and probe with a count above 0.
    pub Cow<'a, [Loss<'a>]>,
);

/// One cause of loss and how often it struck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Loss<'a> {
    /// `ring_full`, `missed`, `writer`, ...; `sampled_out` is what the user did not want, and no loss.
    pub cause: Cow<'a, str>,
    /// The probe whose hits were lost, e.g. `kprobe:ip_rcv`. Missing when the loss belongs to no probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<Cow<'a, str>>,
    /// How many events, hits or sections were lost.
    pub count: u64,
}

impl Section for LossSection<'_> {
    const NAME: &'static str = "loss";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        let unwanted = self.0.iter().all(|loss| loss.cause == SAMPLED_OUT);
        out.write_str(if unwanted { "left out" } else { "lost" })?;
        let mut separator = " ";
        for loss in self.0.iter() {
            write!(out, "{separator}{} {}", loss.count, Escaped(&loss.cause))?;
            if let Some(probe) = &loss.probe {
                write!(out, " at {}", Escaped(probe))?;
            }
            separator = ", ";
        }
        Ok(())
    }
}

/// The place of an event in its series. Only sorted files have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrackingSection {
    /// The packet.
    pub skb: PacketId,
    /// The number of the event in the series, from 0.
    pub idx: u32,
    /// How many hits of the packet were lost since the event before. Missing when none were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// At the first event of a packet that came out of another: the number of the other one's last event before that. Missing
    /// when the file has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_idx: Option<u32>,
}

/// What identifies a packet: the pair of `timestamp` and `orig_head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PacketId {
    /// The address of the packet's data when it was first seen.
    pub orig_head: u64,
    /// When the packet was first seen, in nanoseconds of CLOCK_MONOTONIC.
    pub timestamp: u64,
    /// The address of the `struct sk_buff` at this event: clones of a packet differ in it.
    pub skb: u64,
}

/// A packet's id alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct PacketKey {
    /// When the packet was first seen, in nanoseconds of CLOCK_MONOTONIC.
    pub timestamp: u64,
    /// The address of the packet's data when it was first seen.
    pub orig_head: u64,
}

impl fmt::Display for PacketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:x}{:x}", self.timestamp, self.orig_head)
    }
}

/// What a packet has to do with another one: it came out of it, or the other one was put into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link<'a> {
    /// How the link was made. `copy`, `segment`, `fragment`, `retransmission` and what this version does not know: the packet
    /// came out of the other, and this is its first event. `merge` and `reassembly`: the other was put into this one here.
    pub kind: Cow<'a, str>,
    /// The other packet.
    pub parent: PacketKey,
    /// The packet that the first of all links began with, where this packet came out of another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PacketKey>,
}

impl Link<'_> {
    /// Whether the other packet ends here because it was put into this one.
    pub fn absorbs(&self) -> bool {
        matches!(&*self.kind, "merge" | "reassembly")
    }

    /// The packet that the whole family is named after: the oldest ancestor that is known.
    pub fn root(&self) -> PacketKey {
        self.root.unwrap_or(self.parent)
    }
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.kind {
            "merge" => write!(f, "merged with {}", self.parent),
            "reassembly" => write!(f, "reassembled with {}", self.parent),
            kind => write!(f, "{} of {}", Escaped(kind), self.parent),
        }
    }
}

impl Section for TrackingSection {
    const NAME: &'static str = "tracking";
    const PLACE: Place = Place::Header;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "n {}", self.idx)
    }
}
