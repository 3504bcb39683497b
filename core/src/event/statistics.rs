// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is in an event file, in numbers. Events may come in any order: what belongs to a packet or to a conversation is brought
//! together by sorting, so the numbers are exact, and memory is bounded.

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;

use super::clues::{Clues, Fate};
use super::core_sections::{KernelSection, LossSection, StartupSection, UserspaceSection};
use super::external_sort::{Sorter, TemporaryFileError};
use super::flow::Flow;
use super::line::{EventError, EventLine};
use super::section::Section as _;
use super::section_table::SectionTable;
use super::talk::{CAPTURE_WORDS, Capture, Talk, TopTalks, capture_key};
use super::tally::{Tally, name};
use super::verdict_section::VerdictSection;
use crate::error::{Error, ErrorKind};
use crate::session::is_lost_event;

/// Takes in events.
#[derive(Debug)]
pub struct StatisticsBuilder {
    memory: usize,
    sections: SectionTable,
    /// The events of packets: the recording, the packet, and the number of the hit.
    packets: Sorter<PACKET_WORDS>,
    /// The events that have a packet's bytes, by conversation.
    captures: Sorter<CAPTURE_WORDS>,
    events: EventCounts,
    probes: Tally<String>,
    drops: Tally<DropPlace>,
    losses: Tally<Loss>,
    links: Tally<String>,
    verdicts: Tally<String>,
    recordings: u64,
    /// The recording at hand, and the times of its first and last event.
    recording: u64,
    span: Option<(u64, u64)>,
    duration: u64,
    number: u64,
}

/// A packet (its recording and the two of its id), and the number of the hit plus 1, or 0 when it has none.
const PACKET_WORDS: usize = 4;

/// What is in an event file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// How many recordings there are.
    pub recordings: u64,
    /// The time from the first to the last event, in nanoseconds; of several recordings the sum.
    pub duration_ns: u64,
    /// How many events.
    pub events: EventCounts,
    /// Events by probe, the most frequent first.
    pub probes: Counts<Named>,
    /// Packets, and the events that each has.
    pub series: SeriesCounts,
    /// How packets came out of others or were put into them, by kind.
    pub links: Counts<Named>,
    /// What became of packets, by kind. Only sorted files say it.
    pub verdicts: Counts<Named>,
    /// Events that tell of drops, by reason and place.
    pub drops: Counts<DropPlace>,
    /// What was lost, by cause and probe.
    pub losses: Counts<Loss>,
    /// Who talks with whom.
    pub flows: FlowCounts,
}

/// Numbers of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventCounts {
    /// All of them.
    pub all: u64,
    /// Those that belong to a packet.
    pub of_packets: u64,
    /// Those that have bytes of a packet.
    pub with_bytes: u64,
}

/// Counts, the largest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counts<K> {
    /// What was counted.
    pub counts: Vec<Count<K>>,
    /// The sum of what was not told apart, because there are too many different names.
    #[serde(skip_serializing_if = "is_zero")]
    pub others: u64,
}

/// A count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count<K> {
    /// How many.
    pub count: u64,
    /// Of what.
    #[serde(flatten)]
    pub of: K,
}

/// Something that has a name and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Named {
    /// The name.
    pub name: String,
}

/// Why and where packets are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DropPlace {
    /// The kernel's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The subsystem whose reason it is, unless it is the network core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subsys: Option<String>,
    /// The place in the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Who decided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The probe that was hit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
}

/// A cause of loss, and where it struck.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Loss {
    /// As in section `loss`.
    pub cause: String,
    /// The probe, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// Whether events are missing because of it.
    pub is_lost_event: bool,
}

/// Packets, and the events that each has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SeriesCounts {
    /// How many packets.
    pub packets: u64,
    /// The fewest events that a packet has.
    pub min_events: u64,
    /// The mean.
    pub mean_events: f64,
    /// The most.
    pub max_events: u64,
    /// How many hits are missing between or before those that packets have.
    pub lost: u64,
}

/// Who talks with whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FlowCounts {
    /// How many flows there are. Both directions of a conversation are one.
    pub all: u64,
    /// Those with the most packets.
    pub top: Vec<Talk>,
    /// How many flows are not among them.
    pub left_out: u64,
    /// How many packets the flows have that are not among them.
    pub left_out_packets: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl StatisticsBuilder {
    /// One that holds at most about `memory` bytes, and puts what is more into temporary files in `folder`. Drops are counted by what
    /// `sections` say.
    pub fn new(memory: usize, folder: &Path, sections: SectionTable) -> Self {
        Self {
            memory,
            sections,
            packets: Sorter::new(folder),
            captures: Sorter::new(folder),
            events: EventCounts::default(),
            probes: Tally::default(),
            drops: Tally::default(),
            losses: Tally::default(),
            links: Tally::default(),
            verdicts: Tally::default(),
            recordings: 0,
            recording: 0,
            span: None,
            duration: 0,
            number: 0,
        }
    }

    /// Takes in the next event, and the bytes of its packet, from the Ethernet header on, with the packet's length.
    ///
    /// # Errors
    /// When the event belongs to a packet that cannot be identified, or when a temporary file fails.
    pub fn add(&mut self, event: &EventLine<'_>, bytes: Option<(&[u8], u32)>) -> Result<(), StatisticsError> {
        let packet = if event.section(StartupSection::NAME).is_some() { None } else { event.packet()? };
        if event.begins_recording() {
            self.end_recording();
            self.recordings += 1;
            self.recording += 1;
        }
        let time = event.timestamp();
        self.span = Some(self.span.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
        self.events.all += 1;
        self.events.of_packets += u64::from(packet.is_some());
        self.events.with_bytes += u64::from(bytes.is_some());
        self.count_names(event);
        if let Some(packet) = packet {
            let seq = packet.seq.map_or(0, |seq| seq.saturating_add(1));
            self.packets.push([self.recording, packet.timestamp, packet.orig_head, seq], &[]);
        }
        if let Some((bytes, length)) = bytes
            && let Some(flow) = Flow::of(bytes)
        {
            let packet = packet.map(|packet| packet.key());
            let capture = Capture { recording: self.recording, packet, time, length };
            self.captures.push(capture_key(&flow, &capture, self.number), &[]);
        }
        self.number += 1;
        if self.packets.bytes() + self.captures.bytes() > self.memory {
            self.packets.spill()?;
            self.captures.spill()?;
        }
        Ok(())
    }

    fn count_names(&mut self, event: &EventLine<'_>) {
        let clues = Clues::of(event, &self.sections);
        if let Some(probe) = probe(event) {
            self.probes.add(probe, 1);
        }
        if let Some(Fate::Dropped(clue)) = &clues.fate {
            let text = |text: &Option<Cow<'_, str>>| text.as_deref().map(name);
            self.drops.add(
                DropPlace {
                    reason: text(&clue.reason),
                    subsys: text(&clue.subsys),
                    location: text(&clue.location),
                    by: text(&clue.by),
                    probe: text(&clues.symbol),
                },
                1,
            );
        }
        if let Some(link) = event.link() {
            self.links.add(name(&link.kind), 1);
        }
        if let Some(kind) = verdict(event) {
            self.verdicts.add(kind, 1);
        }
        let losses = event.light::<LossSection<'_>>(LossSection::NAME).ok().flatten();
        for loss in losses.iter().flat_map(|losses| losses.0.iter()) {
            let probe = loss.probe.as_deref().map(name);
            let is_lost_event = is_lost_event(&loss.cause);
            self.losses.add(Loss { cause: name(&loss.cause), probe, is_lost_event }, loss.count);
        }
    }

    fn end_recording(&mut self) {
        if let Some((first, last)) = self.span.take() {
            self.duration = self.duration.saturating_add(last - first);
        }
    }

    /// The numbers, with the `top` flows.
    ///
    /// # Errors
    /// When a temporary file fails.
    pub fn finish(mut self, top: usize) -> Result<Statistics, StatisticsError> {
        // What was before the first startup event, or is without any, is a recording as well.
        self.end_recording();
        let recordings = self.recordings.max(u64::from(self.events.all > 0));
        let half = self.memory / 2;
        Ok(Statistics {
            recordings,
            duration_ns: self.duration,
            events: self.events,
            probes: named(self.probes),
            series: count_series(self.packets, half)?,
            links: named(self.links),
            verdicts: named(self.verdicts),
            drops: counts(self.drops, |drop| drop),
            losses: counts(self.losses, |loss| loss),
            flows: count_flows(self.captures, half, top)?,
        })
    }
}

fn counts<K: Clone + Ord, L>(tally: Tally<K>, of: impl Fn(K) -> L) -> Counts<L> {
    let (counts, others) = tally.into_counts();
    Counts { counts: counts.into_iter().map(|(key, count)| Count { count, of: of(key) }).collect(), others }
}

fn named(tally: Tally<String>) -> Counts<Named> {
    counts(tally, |name| Named { name })
}

/// Goes through the events of packets.
fn count_series(packets: Sorter<PACKET_WORDS>, memory: usize) -> Result<SeriesCounts, TemporaryFileError> {
    let mut sorted = packets.sort(memory)?;
    let mut counts = SeriesCounts::default();
    let mut events = 0_u64;
    let mut packet = None;
    // The events, the highest number of a hit plus 1, and how many different numbers there are.
    let (mut of_packet, mut highest, mut different) = (0, 0, 0);
    loop {
        let next = sorted.next()?.map(|(key, _)| key);
        if packet.is_some() && next.map(|[a, b, c, _]| [a, b, c]) != packet {
            counts.packets += 1;
            counts.min_events = if counts.packets == 1 { of_packet } else { counts.min_events.min(of_packet) };
            counts.max_events = counts.max_events.max(of_packet);
            counts.lost = counts.lost.saturating_add(highest - different);
            events += of_packet;
            (of_packet, highest, different) = (0, 0, 0);
        }
        let Some([a, b, c, seq]) = next else {
            break;
        };
        packet = Some([a, b, c]);
        of_packet += 1;
        different += u64::from(seq > highest);
        highest = seq;
    }
    if counts.packets > 0 {
        counts.mean_events = events as f64 / counts.packets as f64;
    }
    Ok(counts)
}

/// Goes through the events with bytes, conversation by conversation.
fn count_flows(captures: Sorter<CAPTURE_WORDS>, memory: usize, top: usize) -> Result<FlowCounts, TemporaryFileError> {
    let mut sorted = captures.sort(memory)?;
    let mut talks = TopTalks::new(top);
    while let Some((key, _)) = sorted.next()? {
        talks.add(key);
    }
    Ok(talks.finish())
}

/// The probe that was hit, with its type, as in the text of events.
fn probe(event: &EventLine<'_>) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Probe<'a> {
        #[serde(borrow)]
        symbol: Cow<'a, str>,
        #[serde(borrow)]
        probe_type: Cow<'a, str>,
    }
    let section = |section| event.light::<Probe<'_>>(section).ok().flatten();
    let Probe { symbol, probe_type } = section(KernelSection::NAME).or_else(|| section(UserspaceSection::NAME))?;
    let kind = match &*probe_type {
        "raw_tracepoint" => "tp",
        kind => kind,
    };
    Some(name(&format!("{kind}:{symbol}")))
}

/// What a sorted file says about what became of the packet.
fn verdict(event: &EventLine<'_>) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Verdict<'a> {
        #[serde(borrow)]
        kind: Cow<'a, str>,
    }
    event.light::<Verdict<'_>>(VerdictSection::NAME).ok().flatten().map(|verdict| name(&verdict.kind))
}

/// Why there are no numbers.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// An event does not say where it belongs.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A temporary file failed.
    #[error(transparent)]
    TemporaryFile(#[from] TemporaryFileError),
}

impl From<StatisticsError> for Error {
    fn from(error: StatisticsError) -> Self {
        match error {
            StatisticsError::Event(_) => Self::new(ErrorKind::BadEventFile, error),
            StatisticsError::TemporaryFile(error) => Self::new(ErrorKind::Failure, error)
                .with_hint("`--temp-dir` names another folder; a larger `--memory` needs none"),
        }
    }
}
