// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bringing the events of a file into the order of packets: one series for each, exactly, whatever the order of the
//! file and however long a series is.
//!
//! The text of the events is stored once; beside it an index of 72 bytes an event is what gets sorted.

use std::ops::Range;

use super::core_sections::{PacketId, StartupSection, TrackingSection};
use super::line::{EventError, EventLine};
use super::section::Section;

/// Takes in events, in the order of their file.
#[derive(Clone, Debug, Default)]
pub struct EventSorter {
    /// The text of all events, without `tracking` sections.
    text: String,
    events: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where in the text the event begins. Grows with the order of the file, and so stands for it.
    start: usize,
    /// Where it ends.
    end: usize,
    timestamp: u64,
    kind: Kind,
    seq: Option<u64>,
    skb: u64,
}

/// What an event belongs to. The order puts startup events first and keeps each packet's events together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Startup,
    Untracked,
    Packet { timestamp: u64, orig_head: u64 },
}

impl EventSorter {
    /// A sorter without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for the events of a file of `bytes` bytes, if there is as much.
    pub fn reserve(&mut self, bytes: usize) {
        // A sparse file may claim any size; what is really in it is found out by reading.
        let _ = self.text.try_reserve(bytes);
    }

    /// Takes in the next event of the file. What an earlier `sort` said about its place is forgotten.
    ///
    /// # Errors
    /// When the event belongs to a packet that cannot be identified.
    pub fn push(&mut self, event: &EventLine<'_>) -> Result<(), EventError> {
        let packet = event.packet()?;
        let kind = match packet {
            _ if event.section(StartupSection::NAME).is_some() => Kind::Startup,
            Some(packet) => Kind::Packet { timestamp: packet.timestamp, orig_head: packet.orig_head },
            None => Kind::Untracked,
        };
        let start = self.text.len();
        self.text.push_str(&event.without(TrackingSection::NAME));
        self.events.push(Entry {
            start,
            end: self.text.len(),
            timestamp: event.timestamp(),
            kind,
            seq: packet.and_then(|packet| packet.seq),
            skb: packet.map_or(0, |packet| packet.skb),
        });
        Ok(())
    }

    /// Sorts.
    pub fn sort(self) -> SortedEvents {
        let Self { text, mut events } = self;
        events.sort_unstable_by_key(|event| (event.kind, event.timestamp, event.seq, event.start));

        let mut series = Vec::new();
        let mut first = 0;
        for chunk in events.chunk_by(|a, b| a.kind == b.kind && a.kind.is_packet()) {
            series.push(first..first + chunk.len());
            first += chunk.len();
        }
        series.sort_unstable_by_key(|series| {
            let event = &events[series.start];
            let startup = event.kind == Kind::Startup;
            // Startup events of files that were put together stay in the order of the files.
            (!startup, if startup { 0 } else { event.timestamp }, event.start)
        });
        SortedEvents { text, events, series }
    }
}

impl Kind {
    fn is_packet(self) -> bool {
        matches!(self, Self::Packet { .. })
    }
}

/// Events in series, the series in the order of their first events; startup events come first.
#[derive(Clone, Debug)]
pub struct SortedEvents {
    text: String,
    events: Vec<Entry>,
    series: Vec<Range<usize>>,
}

impl SortedEvents {
    /// The series, in order.
    pub fn series(&self) -> impl Iterator<Item = Series<'_>> {
        self.series.iter().map(|range| Series { text: &self.text, events: &self.events[range.clone()] })
    }
}

/// All events of a packet, oldest first; or one event that belongs to no packet.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    text: &'a str,
    events: &'a [Entry],
}

impl<'a> Series<'a> {
    /// The events as they stood in the file, but without `tracking`.
    pub fn events(&self) -> impl Iterator<Item = &'a str> {
        let Self { text, events } = *self;
        events.iter().map(move |event| &text[event.start..event.end])
    }

    /// Appends the series as a line of a sorted file: an array of events, each with its `tracking`, and a newline.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (idx, (event, text)) in self.events.iter().zip(self.events()).enumerate() {
            if idx > 0 {
                out.push(b',');
            }
            match tracking(event, idx).and_then(|tracking| Some((text.strip_suffix('}')?, tracking))) {
                Some((open, tracking)) => {
                    out.extend_from_slice(open.as_bytes());
                    out.extend_from_slice(b",\"tracking\":");
                    serde_json::to_writer(&mut *out, &tracking).expect("numbers can be written");
                    out.push(b'}');
                }
                None => out.extend_from_slice(text.as_bytes()),
            }
        }
        out.extend_from_slice(b"]\n");
    }
}

fn tracking(event: &Entry, idx: usize) -> Option<TrackingSection> {
    let Kind::Packet { timestamp, orig_head } = event.kind else {
        return None;
    };
    let skb = PacketId { orig_head, timestamp, skb: event.skb };
    Some(TrackingSection { skb, idx: u32::try_from(idx).ok()? })
}
