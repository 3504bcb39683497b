// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which packets belong together: a packet that came out of another stands behind it, and says after which of its events; one that
//! was put into another says so at its end.
//!
//! What one packet's events say about another packet is sorted by that other packet, and read along with its events. What comes out
//! of that is a note on a series, which is sorted by the place of the series and read along when all is put out. So nothing is
//! held in memory that grows with the file.

use super::core_sections::{Link, PacketKey};
use super::external_sort::{Sorted, Sorter, TemporaryFileError};
use super::verdict_section::Merged;

/// The words of a relation: a packet (its recording and the two of its id), the kind, and four that depend on the kind.
pub(super) const RELATION_WORDS: usize = 8;

/// What is known about a packet, said by its own events or by those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// It came out of a packet of the family of `root`. Holds when event `number` of the file is its first.
    /// `said_idx` is what an earlier `sort` has said about its parent.
    Child { number: u64, root: PacketKey, said_idx: Option<u64> },
    /// It was put into another one.
    Merged(Merged),
    /// It was there when collection ended.
    InFlight,
    /// A packet came out of it at a time `at`; that packet's series stands at `place` if it begins there.
    Parent { at: u64, place: Place },
}

/// The words of a place.
const PLACE_WORDS: usize = 5;

/// Where a series stands among all. The order of the fields is what series are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The recording, times two, and 1 more for what is not its startup event.
    recording: u64,
    /// The id of the packet that the family is named after; of an event that belongs to no packet its time, and 0.
    family: (u64, u64),
    /// 0, and for a child the time of its first event, but never 0.
    child: u64,
    /// The place in the file of the first event.
    number: u64,
}

impl Place {
    /// The place of a recording's startup event number `number`. Those of files that were put together stay in the order of the files.
    pub(super) fn of_startup(recording: u64, number: u64) -> Self {
        Self { recording: recording << 1, number, ..Self::default() }
    }

    /// The place of an event that belongs to no packet.
    pub(super) fn of_event(recording: u64, timestamp: u64, number: u64) -> Self {
        Self { recording: recording << 1 | 1, family: (timestamp, 0), child: 0, number }
    }

    /// The place of a packet that came out of no other, as far as is known.
    pub(super) fn of_packet(recording: u64, packet: PacketKey, number: u64) -> Self {
        Self { recording: recording << 1 | 1, family: (packet.timestamp, packet.orig_head), child: 0, number }
    }

    /// The place of a packet that came out of another, and has its first event at `timestamp`.
    pub(super) fn of_child(recording: u64, root: PacketKey, timestamp: u64, number: u64) -> Self {
        Self { child: timestamp.saturating_add(1), ..Self::of_packet(recording, root, number) }
    }

    /// The recording that it is in.
    pub(super) fn recording(&self) -> u64 {
        self.recording >> 1
    }

    pub(super) fn words(&self) -> [u64; PLACE_WORDS] {
        [self.recording, self.family.0, self.family.1, self.child, self.number]
    }

    pub(super) fn from_words([recording, time, head, child, number]: [u64; PLACE_WORDS]) -> Self {
        Self { recording, family: (time, head), child, number }
    }
}

/// Takes down what event `number` of the file says about packets: it belongs to `packet`, happened at `timestamp` and has `link`;
/// an earlier `sort` found that its parent's last event before it is number `said_idx`.
pub(super) fn note_link(
    relations: &mut Sorter<RELATION_WORDS>,
    recording: u64,
    packet: PacketKey,
    (timestamp, number): (u64, u64),
    link: &Link<'_>,
    said_idx: Option<u64>,
) {
    if link.absorbs() {
        let merged = Merged { into: packet, timestamp };
        relations.push(Relation::Merged(merged).key(recording, link.parent), &[]);
        return;
    }
    // Whether the event is the packet's first, and thereby a child's beginning, is not known yet.
    let (root, parent) = (link.root(), link.parent);
    relations.push(Relation::Child { number, root, said_idx }.key(recording, packet), &[]);
    let place = Place::of_child(recording, root, timestamp, number);
    relations.push(Relation::Parent { at: timestamp, place }.key(recording, parent), &[]);
}

/// Takes down that `packet` was put into another one. An earlier `sort` may have found it, and the other one's events may not be in
/// the file any more.
pub(super) fn note_merged(relations: &mut Sorter<RELATION_WORDS>, recording: u64, packet: PacketKey, merged: Merged) {
    relations.push(Relation::Merged(merged).key(recording, packet), &[]);
}

/// Takes down that `packet` was there when collection ended.
pub(super) fn note_in_flight(relations: &mut Sorter<RELATION_WORDS>, recording: u64, packet: PacketKey) {
    relations.push(Relation::InFlight.key(recording, packet), &[]);
}

const CHILD: u64 = 0;
const MERGED: u64 = 1;
const IN_FLIGHT: u64 = 2;
const PARENT: u64 = 3;

impl Relation {
    /// By packet, kind and time.
    fn key(&self, recording: u64, packet: PacketKey) -> [u64; RELATION_WORDS] {
        let (kind, [a, b, c, d]) = match *self {
            Self::Child { number, root, said_idx } => {
                (CHILD, [number, root.timestamp, root.orig_head, said_idx.map_or(0, |idx| idx.saturating_add(1))])
            }
            Self::Merged(Merged { into, timestamp }) => (MERGED, [timestamp, into.timestamp, into.orig_head, 0]),
            Self::InFlight => (IN_FLIGHT, [0; 4]),
            Self::Parent { at, place } => (PARENT, [at, place.family.0, place.family.1, place.number]),
        };
        [recording, packet.timestamp, packet.orig_head, kind, a, b, c, d]
    }

    fn from_key([recording, _, _, kind, a, b, c, d]: [u64; RELATION_WORDS]) -> Self {
        let key = PacketKey { timestamp: b, orig_head: c };
        match kind {
            CHILD => Self::Child { number: a, root: key, said_idx: d.checked_sub(1) },
            MERGED => Self::Merged(Merged { into: key, timestamp: a }),
            IN_FLIGHT => Self::InFlight,
            _ => Self::Parent { at: a, place: Place::of_child(recording, key, a, d) },
        }
    }
}

/// Goes along the relations, packet by packet.
#[derive(Debug)]
pub(super) struct Relations {
    sorted: Sorted<RELATION_WORDS>,
    /// The first one that was not yet passed.
    ahead: Option<[u64; RELATION_WORDS]>,
}

impl Relations {
    pub(super) fn new(mut sorted: Sorted<RELATION_WORDS>) -> Result<Self, TemporaryFileError> {
        let ahead = sorted.next()?.map(|(key, _)| key);
        Ok(Self { sorted, ahead })
    }

    /// The place of `packet`, the first event of which has a time and a place in the file. Whatever is known about it beyond that is
    /// noted. Packets must be asked about in their order.
    pub(super) fn place(
        &mut self,
        packet: [u64; 3],
        (timestamp, number): (u64, u64),
        notes: &mut Notes,
    ) -> Result<Place, TemporaryFileError> {
        let [recording, time, head] = packet;
        let mut place = Place::of_packet(recording, PacketKey { timestamp: time, orig_head: head }, number);
        while let Some(ahead) = self.ahead
            && ahead[..4] < [recording, time, head, PARENT][..]
        {
            match Relation::from_key(ahead) {
                _ if ahead[..3] != packet => {}
                // The first kind, so the place is known when something is noted.
                Relation::Child { number: said_by, root, said_idx } if said_by == number => {
                    place = Place::of_child(recording, root, timestamp, number);
                    if let Some(idx) = said_idx {
                        notes.add(place, Note::SaidParentIdx(idx))?;
                    }
                }
                Relation::Merged(merged) => notes.add(place, Note::Merged(merged))?,
                Relation::InFlight => notes.add(place, Note::InFlight)?,
                Relation::Child { .. } | Relation::Parent { .. } => {}
            }
            self.pass()?;
        }
        Ok(place)
    }

    /// Notes that `idx` is the last event of `packet` before whatever came out of it until `timestamp`, or later when there is none.
    pub(super) fn last_before(
        &mut self,
        packet: [u64; 3],
        idx: u64,
        timestamp: Option<u64>,
        notes: &mut Notes,
    ) -> Result<(), TemporaryFileError> {
        while let Some(ahead) = self.ahead
            && ahead[..3] == packet
            && let Relation::Parent { at, place } = Relation::from_key(ahead)
            && timestamp.is_none_or(|timestamp| at < timestamp)
        {
            notes.add(place, Note::ParentIdx(idx))?;
            self.pass()?;
        }
        Ok(())
    }

    /// Passes what came out of `packet` before its first event, at `timestamp`: nothing is to be said about that.
    pub(super) fn skip_before(&mut self, packet: [u64; 3], timestamp: u64) -> Result<(), TemporaryFileError> {
        while let Some(ahead) = self.ahead
            && ahead[..3] == packet
            && let Relation::Parent { at, .. } = Relation::from_key(ahead)
            && at < timestamp
        {
            self.pass()?;
        }
        Ok(())
    }

    fn pass(&mut self) -> Result<(), TemporaryFileError> {
        self.ahead = self.sorted.next()?.map(|(key, _)| key);
        Ok(())
    }
}

/// The words of a note: the place of the series, the kind, and what it says.
const NOTE_WORDS: usize = PLACE_WORDS + 4;

/// What is to be said about a series beyond what its own events say. Of two notes of a kind the last one counts, in the order of
/// what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    /// An earlier `sort` has said what comes next. That holds when the parent's events are not in the file any more.
    SaidParentIdx(u64),
    /// It branches off behind this event of its parent.
    ParentIdx(u64),
    /// The packet was put into another one.
    Merged(Merged),
    /// It was there when collection ended.
    InFlight,
}

/// All notes on a series.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeriesNotes {
    pub(super) parent_idx: Option<u64>,
    pub(super) merged: Option<Merged>,
    pub(super) in_flight: bool,
}

/// Takes in notes.
#[derive(Debug)]
pub(super) struct Notes {
    sorter: Sorter<NOTE_WORDS>,
    memory: usize,
}

impl Notes {
    /// At most about `memory` bytes of notes are in memory.
    pub(super) fn new(sorter: Sorter<NOTE_WORDS>, memory: usize) -> Self {
        Self { sorter, memory }
    }

    fn add(&mut self, place: Place, note: Note) -> Result<(), TemporaryFileError> {
        let [a, b, c, d, e] = place.words();
        let words = |merged: Merged| [merged.timestamp, merged.into.timestamp, merged.into.orig_head];
        let (kind, [f, g, h]) = match note {
            Note::SaidParentIdx(idx) => (0, [idx, 0, 0]),
            Note::ParentIdx(idx) => (1, [idx, 0, 0]),
            Note::Merged(merged) => (2, words(merged)),
            Note::InFlight => (3, [0; 3]),
        };
        self.sorter.push([a, b, c, d, e, kind, f, g, h], &[]);
        if self.sorter.bytes() > self.memory { self.sorter.spill() } else { Ok(()) }
    }

    pub(super) fn sort(self) -> Result<SortedNotes, TemporaryFileError> {
        let mut sorted = self.sorter.sort(self.memory)?;
        let ahead = sorted.next()?.map(|(key, _)| key);
        Ok(SortedNotes { sorted, ahead })
    }
}

/// Goes along the notes, series by series.
#[derive(Debug)]
pub(super) struct SortedNotes {
    sorted: Sorted<NOTE_WORDS>,
    ahead: Option<[u64; NOTE_WORDS]>,
}

impl SortedNotes {
    /// What was noted on the series at `place`. Series must be asked about in their order.
    pub(super) fn of(&mut self, place: Place) -> Result<SeriesNotes, TemporaryFileError> {
        let place = place.words();
        let mut notes = SeriesNotes::default();
        while let Some([a, b, c, d, e, kind, f, g, h]) = self.ahead
            && [a, b, c, d, e] <= place
        {
            if [a, b, c, d, e] == place {
                let merged = Merged { into: PacketKey { timestamp: g, orig_head: h }, timestamp: f };
                match kind {
                    0 | 1 => notes.parent_idx = Some(f),
                    2 => notes.merged = Some(merged),
                    _ => notes.in_flight = true,
                }
            }
            self.ahead = self.sorted.next()?.map(|(key, _)| key);
        }
        Ok(notes)
    }
}
