// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bringing the events of a file into the order of packets: one series for each, exactly, whatever the order of the
//! file and however long a series is.
//!
//! Where a series stands depends on its first event, which is known when all events have been seen. So there are two passes:
//! the first brings the events of each packet together, the second brings the series into their order. When all fits into
//! memory, the texts stay where they are and only their keys are sorted; else both passes go through temporary files.

use std::path::{Path, PathBuf};

use super::core_sections::{PacketId, StartupSection, TrackingSection};
use super::external_sort::{Key, Sorted, Sorter, TemporaryFileError};
use super::line::{EventError, EventLine};
use super::section::Section;
use super::series::{Gaps, MatchingPackets, NUMBER_WORDS, PACKET_WORDS};
use crate::error::{Error, ErrorKind};

/// How many words the keys of both passes have.
const WORDS: usize = 9;

/// Takes in events, in the order of their file.
#[derive(Debug)]
pub struct EventSorter {
    memory: usize,
    folder: PathBuf,
    events: Sorter<WORDS>,
    /// The numbers of the packets' hits.
    numbers: Sorter<NUMBER_WORDS>,
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
    skb: u64,
}

/// What an event belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Startup,
    Untracked,
    Packet { timestamp: u64, orig_head: u64 },
}

/// An event in the second pass.
struct Placed {
    recording: u64,
    is_startup: bool,
    /// Time and place in the file of the series' first event.
    first: (u64, u64),
    idx: u64,
    lost: u64,
    packet: Option<PacketId>,
}

impl EventSorter {
    /// A sorter that holds at most about `memory` bytes of events and of what it notes about them, and puts what is more
    /// into temporary files in `folder`.
    pub fn new(memory: usize, folder: &Path) -> Self {
        let (events, numbers) = (Sorter::new(folder), Sorter::new(folder));
        Self { memory, folder: folder.to_owned(), events, numbers, matching: None, recording: 0, count: 0 }
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
            Some(packet) => Kind::Packet { timestamp: packet.timestamp, orig_head: packet.orig_head },
            None => Kind::Untracked,
        };
        self.recording += u64::from(event.begins_recording());
        if let Some(matching) = &mut self.matching {
            match (kind, matches || event.concerns_recording()) {
                (Kind::Packet { timestamp, orig_head }, true) => {
                    matching.push([self.recording, timestamp, orig_head], &[]);
                }
                (Kind::Untracked, false) => return Ok(()),
                _ => {}
            }
        }
        let text = event.without(TrackingSection::NAME);
        let noted = self.numbers.bytes() + self.matching.as_ref().map_or(0, Sorter::bytes);
        if self.events.bytes() + noted + text.len() > self.memory {
            self.events.spill()?;
            self.numbers.spill()?;
            self.matching.as_mut().map_or(Ok(()), Sorter::spill)?;
        }
        let seq = packet.and_then(|packet| packet.seq);
        if let (Kind::Packet { timestamp, orig_head }, Some(seq)) = (kind, seq) {
            self.numbers.push([self.recording, timestamp, orig_head, seq], &[]);
        }
        let (recording, number) = (self.recording, self.count);
        let skb = packet.map_or(0, |packet| packet.skb);
        let event = Unplaced { recording, kind, timestamp: event.timestamp(), seq, number, skb };
        self.events.push(event.key(), text.as_bytes());
        self.count += 1;
        Ok(())
    }

    /// How many events were taken in: all, but for those that a filter has left out by themselves.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sorts. Where that means reading temporary files, `progress` is called with the number of events that were dealt with.
    ///
    /// # Errors
    /// When a temporary file fails.
    pub fn sort(self, mut progress: impl FnMut(u64)) -> Result<SortedEvents, SortError> {
        // While the first pass ends, the second one begins.
        let Self { memory, folder, .. } = self;
        let gaps = Gaps::new(self.numbers.sort(memory / 16)?)?;
        let matching = match self.matching {
            Some(matching) => Some(MatchingPackets::new(matching.sort(memory / 16)?)?),
            None => None,
        };
        let mut places = Places::new(gaps, matching);
        let events = match self.events.sort(memory / 4)? {
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
                        if series.bytes() + text.len() > memory / 8 * 5 {
                            series.spill()?;
                        }
                        series.push(key, text);
                    }
                    done += 1;
                    progress(done);
                }
                drop(merge);
                series.sort(memory)?
            }
        };
        Ok(SortedEvents { events, count: places.count })
    }
}

/// Finds the place of each event, in the order of the first pass.
struct Places {
    gaps: Gaps,
    /// Whose events are kept, when not all are.
    matching: Option<MatchingPackets>,
    /// How many events have a place.
    count: u64,
    series: Option<(u64, Kind)>,
    first: (u64, u64),
    idx: u64,
}

impl Places {
    fn new(gaps: Gaps, matching: Option<MatchingPackets>) -> Self {
        Self { gaps, matching, count: 0, series: None, first: (0, 0), idx: 0 }
    }

    /// The key of an event in the second pass, if it is kept.
    fn of(&mut self, event: &Unplaced) -> Result<Option<Key<WORDS>>, TemporaryFileError> {
        let &Unplaced { recording, kind, timestamp, seq, number, skb } = event;
        let mut lost = 0;
        let mut packet = None;
        let mut goes_on = false;
        if let Kind::Packet { timestamp, orig_head } = kind {
            let id = [recording, timestamp, orig_head];
            if let Some(matching) = &mut self.matching
                && !matching.contains(id)?
            {
                return Ok(None);
            }
            lost = self.gaps.before(id, seq)?;
            packet = Some(PacketId { orig_head, timestamp, skb });
            goes_on = self.series == Some((recording, kind));
        }
        if goes_on {
            self.idx += 1;
        } else {
            self.series = Some((recording, kind));
            // Startup events of files that were put together stay in the order of the files.
            self.first = (if kind == Kind::Startup { 0 } else { timestamp }, number);
            self.idx = 0;
        }
        self.count += 1;
        let is_startup = kind == Kind::Startup;
        Ok(Some(Placed { recording, is_startup, first: self.first, idx: self.idx, lost, packet }.key()))
    }
}

impl Unplaced {
    /// By recording and packet, then by time.
    fn key(&self) -> Key<WORDS> {
        let (kind, packet, head) = match self.kind {
            Kind::Startup => (0, 0, 0),
            Kind::Untracked => (1, 0, 0),
            Kind::Packet { timestamp, orig_head } => (2, timestamp, orig_head),
        };
        let (has_seq, seq) = (u64::from(self.seq.is_some()), self.seq.unwrap_or(0));
        [self.recording, kind, packet, head, self.timestamp, has_seq, seq, self.number, self.skb]
    }

    fn from_key(&[recording, kind, packet, head, timestamp, has_seq, seq, number, skb]: &Key<WORDS>) -> Self {
        let kind = match kind {
            0 => Kind::Startup,
            1 => Kind::Untracked,
            _ => Kind::Packet { timestamp: packet, orig_head: head },
        };
        Self { recording, kind, timestamp, seq: (has_seq != 0).then_some(seq), number, skb }
    }
}

impl Placed {
    /// By recording and series, then by place in the series.
    fn key(&self) -> Key<WORDS> {
        let PacketId { orig_head, timestamp, skb } = self.packet.unwrap_or(NO_PACKET);
        let idx = self.idx << 1 | u64::from(self.packet.is_some());
        [
            self.recording,
            u64::from(!self.is_startup),
            self.first.0,
            self.first.1,
            idx,
            self.lost,
            timestamp,
            orig_head,
            skb,
        ]
    }
}

const NO_PACKET: PacketId = PacketId { orig_head: 0, timestamp: 0, skb: 0 };

/// Events in series, the series in the order of their first events. Where recordings were put together, each begins with its
/// startup event.
#[derive(Debug)]
pub struct SortedEvents {
    events: Sorted<WORDS>,
    count: u64,
}

/// An event in its series.
#[derive(Clone, Copy, Debug)]
pub struct SortedEvent<'a> {
    /// The event as it stood in the file, but without `tracking`.
    pub text: &'a str,
    /// Its place in the series: at 0 a new one begins.
    pub idx: u64,
    /// How many hits of the packet were lost since the event before.
    pub lost: u64,
    /// The packet that it belongs to. Without one, the event is alone in its series.
    pub packet: Option<PacketId>,
}

impl SortedEvents {
    /// How many events there are, those included that were read already.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The next event, or `None` at the end.
    ///
    /// # Errors
    /// When a temporary file fails.
    pub fn next_event(&mut self) -> Result<Option<SortedEvent<'_>>, SortError> {
        let Some(([.., idx, lost, timestamp, orig_head, skb], text)) = self.events.next()? else {
            return Ok(None);
        };
        let packet = (idx & 1 == 1).then_some(PacketId { orig_head, timestamp, skb });
        let text = std::str::from_utf8(text).map_err(|_| SortError::Changed)?;
        Ok(Some(SortedEvent { text, idx: idx >> 1, lost, packet }))
    }
}

impl SortedEvent<'_> {
    /// Appends the event as a sorted file has it, with its `tracking`.
    pub fn write_json(&self, out: &mut String) {
        let place = self.packet.zip(u32::try_from(self.idx).ok()).zip(self.text.strip_suffix('}'));
        let Some(((skb, idx), open)) = place else {
            out.push_str(self.text);
            return;
        };
        let tracking = TrackingSection { skb, idx, lost: Some(self.lost).filter(|lost| *lost > 0) };
        out.push_str(open);
        out.push_str(",\"tracking\":");
        out.push_str(&serde_json::to_string(&tracking).expect("numbers can be written"));
        out.push('}');
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
