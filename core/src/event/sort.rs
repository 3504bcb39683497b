// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bringing the events of a file into the order of packets: one series for each, exactly, whatever the order of the
//! file and however long a series is.
//!
//! Where a series stands depends on its first event, which is known when all events have been seen. So there are two passes:
//! the first brings the events of each packet together, the second brings the series into their order. When all fits into
//! memory, the texts stay where they are and only their keys are sorted; else both passes go through temporary files.

use std::path::{Path, PathBuf};

use super::core_sections::{PacketKey, StartupSection, TrackingSection};
use super::external_sort::{Key, Sorted, Sorter, TemporaryFileError};
use super::family::{Notes, Place, RELATION_WORDS, Relations, SortedNotes};
use super::family::{note_in_flight, note_link, note_merged};
use super::line::{EventError, EventLine};
use super::section::Section;
use super::section_table::SectionTable;
use super::series::{Gaps, LOSS_WORDS, LastLosses, MatchingPackets, NUMBER_WORDS, PACKET_WORDS};
use super::sorted_events::SortedEvents;
use super::verdict::{in_flight, said_merged};
use super::verdict_section::VerdictSection;
use crate::error::{Error, ErrorKind};

/// How many words the keys of both passes have.
pub(super) const WORDS: usize = 7;

/// Takes in events, in the order of their file.
#[derive(Debug)]
pub struct EventSorter {
    memory: usize,
    folder: PathBuf,
    events: Sorter<WORDS>,
    /// The numbers of the packets' hits.
    numbers: Sorter<NUMBER_WORDS>,
    /// What packets have to do with each other.
    relations: Sorter<RELATION_WORDS>,
    /// When events were lost.
    losses: Sorter<LOSS_WORDS>,
    /// The packets of the events that match, when only their series are wanted.
    matching: Option<Sorter<PACKET_WORDS>>,
    recording: u64,
    count: u64,
}

/// An event in the first pass.
struct Unplaced {
    recording: u64,
    kind: Kind,
    timestamp: u64,
    seq: Option<u64>,
    /// Its place in the file.
    number: u64,
}

/// What an event belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Startup,
    Untracked,
    Packet(PacketKey),
}

/// An event in the second pass.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) series: Place,
    pub(super) idx: u64,
    pub(super) lost: u64,
}

impl EventSorter {
    /// A sorter that holds at most about `memory` bytes of events and of what it notes about them, and puts what is more
    /// into temporary files in `folder`.
    pub fn new(memory: usize, folder: &Path) -> Self {
        Self {
            memory,
            folder: folder.to_owned(),
            events: Sorter::new(folder),
            numbers: Sorter::new(folder),
            relations: Sorter::new(folder),
            losses: Sorter::new(folder),
            matching: None,
            recording: 0,
            count: 0,
        }
    }

    /// Keeps only series of which an event matches, and what was said about the recording itself.
    #[must_use]
    pub fn only_matching(self) -> Self {
        let matching = Some(Sorter::new(&self.folder));
        Self { matching, ..self }
    }

    /// Takes in the next event of the file, and whether it `matches`. What an earlier `sort` said about its place is forgotten.
    ///
    /// # Errors
    /// When the event belongs to a packet that cannot be identified, or when a temporary file fails.
    pub fn push(&mut self, event: &EventLine<'_>, matches: bool) -> Result<(), SortError> {
        let packet = event.packet()?;
        let kind = match packet {
            _ if event.section(StartupSection::NAME).is_some() => Kind::Startup,
            Some(packet) => Kind::Packet(packet.key()),
            None => Kind::Untracked,
        };
        self.recording += u64::from(event.begins_recording());
        if let Some(matching) = &mut self.matching {
            match (kind, matches || event.concerns_recording()) {
                (Kind::Packet(packet), true) => {
                    matching.push([self.recording, packet.timestamp, packet.orig_head], &[]);
                }
                (Kind::Untracked, false) => return Ok(()),
                _ => {}
            }
        }
        let text = event.without(&[TrackingSection::NAME, VerdictSection::NAME]);
        if self.events.bytes() + self.noted_bytes() + text.len() > self.memory {
            self.events.spill()?;
            self.numbers.spill()?;
            self.relations.spill()?;
            self.losses.spill()?;
            self.matching.as_mut().map_or(Ok(()), Sorter::spill)?;
        }
        let (recording, number, timestamp) = (self.recording, self.count, event.timestamp());
        let seq = packet.and_then(|packet| packet.seq);
        if let Kind::Packet(packet) = kind {
            if let Some(seq) = seq {
                self.numbers.push([recording, packet.timestamp, packet.orig_head, seq], &[]);
            }
            if let Some(link) = event.link() {
                let said = event.place(0).parent_idx;
                note_link(&mut self.relations, recording, packet, (timestamp, number), &link, said);
            }
            if let Some(merged) = said_merged(event) {
                note_merged(&mut self.relations, recording, packet, merged);
            }
        }
        for packet in in_flight(event) {
            note_in_flight(&mut self.relations, recording, packet);
        }
        if event.tells_of_lost_events() {
            self.losses.push([recording, timestamp], &[]);
        }
        let event = Unplaced { recording, kind, timestamp, seq, number };
        self.events.push(event.key(), text.as_bytes());
        self.count += 1;
        Ok(())
    }

    /// How many bytes there are in memory beside the events.
    fn noted_bytes(&self) -> usize {
        let matching = self.matching.as_ref().map_or(0, Sorter::bytes);
        self.numbers.bytes() + self.relations.bytes() + self.losses.bytes() + matching
    }

    /// How many events were taken in: all, but for those that a filter has left out by themselves.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sorts. Verdicts are made of what `sections` say. Where sorting means reading temporary files, `progress` is called with the
    /// number of events that were dealt with.
    ///
    /// # Errors
    /// When a temporary file fails.
    pub fn sort(self, sections: SectionTable, mut progress: impl FnMut(u64)) -> Result<SortedEvents, SortError> {
        // While the first pass ends, the second one begins.
        let Self { memory, folder, .. } = self;
        let sixteenth = memory / 16;
        let matching = match self.matching {
            Some(matching) => Some(MatchingPackets::new(matching.sort(sixteenth)?)?),
            None => None,
        };
        let mut places = Places {
            gaps: Gaps::new(self.numbers.sort(sixteenth)?)?,
            relations: Relations::new(self.relations.sort(sixteenth)?)?,
            matching,
            notes: Notes::new(Sorter::new(&folder), sixteenth),
            count: 0,
            series: None,
        };
        let events = match self.events.sort(sixteenth * 4)? {
            Sorted::InMemory { mut batch, .. } => {
                batch.map_keys(|key| places.of(&Unplaced::from_key(key)))?;
                batch.sort();
                Sorted::InMemory { batch, next: 0 }
            }
            Sorted::InFiles(mut merge) => {
                let mut series = Sorter::new(&folder);
                let mut done = 0;
                while let Some((key, text)) = merge.next()? {
                    if let Some(key) = places.of(&Unplaced::from_key(&key))? {
                        if series.bytes() + text.len() > sixteenth * 8 {
                            series.spill()?;
                        }
                        series.push(key, text);
                    }
                    done += 1;
                    progress(done);
                }
                drop(merge);
                series.sort(sixteenth * 14)?
            }
        };
        let (notes, count) = places.end()?;
        let losses = LastLosses::new(self.losses.sort(sixteenth)?)?;
        SortedEvents::new(events, notes, losses, count, sections)
    }
}

/// Finds the place of each event, in the order of the first pass.
struct Places {
    gaps: Gaps,
    relations: Relations,
    /// Whose events are kept, when not all are.
    matching: Option<MatchingPackets>,
    notes: Notes,
    /// How many events have a place.
    count: u64,
    series: Option<PacketSeries>,
}

/// The series of a packet that is being gone through.
#[derive(Clone, Copy)]
struct PacketSeries {
    id: [u64; 3],
    place: Place,
    idx: u64,
}

impl Places {
    /// The key of an event in the second pass, if it is kept.
    fn of(&mut self, event: &Unplaced) -> Result<Option<Key<WORDS>>, TemporaryFileError> {
        let &Unplaced { recording, kind, timestamp, seq, number } = event;
        let alone = |series| Placed { series, idx: 0, lost: 0 };
        let placed = match kind {
            // Of all events, those of packets come last, so no series is interrupted.
            Kind::Startup => alone(Place::of_startup(recording, number)),
            Kind::Untracked => alone(Place::of_event(recording, timestamp, number)),
            Kind::Packet(packet) => {
                let id = [recording, packet.timestamp, packet.orig_head];
                // Also where it is not kept, it is known after which of its events others begin.
                let series = self.series_with(id, timestamp, number)?;
                if let Some(matching) = &mut self.matching
                    && !matching.contains(id)?
                {
                    return Ok(None);
                }
                Placed { series: series.place, idx: series.idx, lost: self.gaps.before(id, seq)? }
            }
        };
        self.count += 1;
        Ok(Some(placed.key()))
    }

    /// Goes on with the series of packet `id`, or begins it.
    fn series_with(&mut self, id: [u64; 3], timestamp: u64, number: u64) -> Result<PacketSeries, TemporaryFileError> {
        let series = match self.series {
            Some(PacketSeries { id: same, place, idx }) if same == id => {
                self.relations.last_before(id, idx, Some(timestamp), &mut self.notes)?;
                PacketSeries { id, place, idx: idx + 1 }
            }
            _ => {
                self.end_series()?;
                let place = self.relations.place(id, (timestamp, number), &mut self.notes)?;
                self.relations.skip_before(id, timestamp)?;
                PacketSeries { id, place, idx: 0 }
            }
        };
        Ok(*self.series.insert(series))
    }

    fn end_series(&mut self) -> Result<(), TemporaryFileError> {
        match self.series.take() {
            Some(PacketSeries { id, idx, .. }) => self.relations.last_before(id, idx, None, &mut self.notes),
            None => Ok(()),
        }
    }

    /// What is to be said about the series, and how many events have a place.
    fn end(mut self) -> Result<(SortedNotes, u64), TemporaryFileError> {
        self.end_series()?;
        Ok((self.notes.sort()?, self.count))
    }
}

impl Unplaced {
    /// By recording and packet, then by time.
    fn key(&self) -> Key<WORDS> {
        let (kind, packet) = match self.kind {
            Kind::Startup => (0, NO_PACKET),
            Kind::Untracked => (1, NO_PACKET),
            Kind::Packet(packet) => (2, packet),
        };
        let has_seq = u64::from(self.seq.is_some());
        [
            self.recording << 2 | kind,
            packet.timestamp,
            packet.orig_head,
            self.timestamp,
            has_seq,
            self.seq.unwrap_or(0),
            self.number,
        ]
    }

    fn from_key(&[recording, time, head, timestamp, has_seq, seq, number]: &Key<WORDS>) -> Self {
        let kind = match recording & 3 {
            0 => Kind::Startup,
            1 => Kind::Untracked,
            _ => Kind::Packet(PacketKey { timestamp: time, orig_head: head }),
        };
        Self { recording: recording >> 2, kind, timestamp, seq: (has_seq != 0).then_some(seq), number }
    }
}

const NO_PACKET: PacketKey = PacketKey { timestamp: 0, orig_head: 0 };

impl Placed {
    /// By series, then by place in the series.
    fn key(&self) -> Key<WORDS> {
        let [a, b, c, d, e] = self.series.words();
        [a, b, c, d, e, self.idx, self.lost]
    }

    pub(super) fn from_key([a, b, c, d, e, idx, lost]: Key<WORDS>) -> Self {
        Self { series: Place::from_words([a, b, c, d, e]), idx, lost }
    }
}

/// Why events could not be sorted.
#[derive(Debug, thiserror::Error)]
pub enum SortError {
    /// An event does not say where it belongs.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A temporary file failed.
    #[error(transparent)]
    TemporaryFile(#[from] TemporaryFileError),
    /// What was read is not what was written.
    #[error("a temporary file has changed")]
    Changed,
}

impl From<SortError> for Error {
    fn from(error: SortError) -> Self {
        match error {
            SortError::Event(_) => Self::new(ErrorKind::BadEventFile, error),
            SortError::TemporaryFile(error) => Self::new(ErrorKind::Failure, error).with_hint(
                "`--temp-dir` names another folder, which needs room for twice the events; a larger `--memory` needs none",
            ),
            SortError::Changed => Self::new(ErrorKind::Failure, error),
        }
    }
}
