// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which events of a file are shown when a filter is given, while the file is read from its beginning to its end.
//!
//! A line of a sorted file is a whole series: it is shown when any of its events matches. In an unsorted file an event is shown when
//! it matches, or when one of its packet did before, as in collection.

use std::collections::HashSet;
use std::path::Path;

use super::external_sort::{Sorted, Sorter, TemporaryFileError};
use super::line::{EventError, EventLine};
use super::reader::{FileEvent, FilePlace};
use crate::error::{Error, ErrorKind};

/// How much of a series is held in memory until one of its events matches, in bytes. The rest goes to a temporary file.
const HELD_IN_MEMORY: usize = 8 << 20;

/// How many packets of an unsorted file are remembered for sure. Twice as many are at most, in 9 MB.
const REMEMBERED_PACKETS: usize = 200_000;

/// Decides about events, one after the other.
#[derive(Debug)]
pub struct Selection {
    packets: RecentPackets,
    /// The events of the series at hand, as long as none has matched, by their numbers in it; with the line and the offset of each.
    held: Sorter<3>,
    /// Those of them that are to be shown now.
    released: Option<Sorted<3>>,
    series_passes: bool,
}

impl Selection {
    /// A selection that has temporary files, when it needs some, in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { packets: RecentPackets::default(), held: Sorter::new(folder), released: None, series_passes: false }
    }

    /// Whether `event` is to be shown, of which is known whether it `matches`. If so, those are first that
    /// [`next_held`](Self::next_held) gives.
    ///
    /// # Errors
    /// When the event belongs to a packet that cannot be identified, or when a temporary file fails.
    pub fn passes(&mut self, event: &FileEvent<'_>, matches: bool) -> Result<bool, SelectionError> {
        let matches = matches || event.event.concerns_recording();
        match event.idx {
            Some(idx) => self.series_event_passes(event, idx, matches),
            None => Ok(self.single_event_passes(&event.event, matches)?),
        }
    }

    /// The next event that came before the one that passes, and was held back.
    ///
    /// # Errors
    /// When a temporary file fails.
    pub fn next_held(&mut self) -> Result<Option<FileEvent<'_>>, SelectionError> {
        let Some(released) = &mut self.released else {
            return Ok(None);
        };
        let Some(([idx, line, offset], text)) = released.next()? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(text).map_err(|_| SelectionError::Changed)?;
        let event = EventLine::parse(text).map_err(|_| SelectionError::Changed)?;
        Ok(Some(FileEvent { event, idx: Some(idx), place: FilePlace { line, offset } }))
    }

    fn series_event_passes(&mut self, event: &FileEvent<'_>, idx: u64, matches: bool) -> Result<bool, SelectionError> {
        if idx == 0 {
            self.held.clear();
            self.released = None;
            self.series_passes = false;
        }
        if self.series_passes {
            return Ok(true);
        }
        if matches {
            self.series_passes = true;
            self.released = Some(self.held.take().sort(HELD_IN_MEMORY)?);
            return Ok(true);
        }
        if self.held.bytes() > HELD_IN_MEMORY {
            self.held.spill()?;
        }
        self.held.push([idx, event.place.line, event.place.offset], event.event.text().as_bytes());
        Ok(false)
    }

    fn single_event_passes(&mut self, event: &EventLine<'_>, matches: bool) -> Result<bool, EventError> {
        if event.begins_recording() {
            self.packets = RecentPackets::default();
        }
        let Some(packet) = event.packet()? else {
            return Ok(matches);
        };
        let packet = (packet.timestamp, packet.orig_head);
        if matches {
            self.packets.remember(packet);
        }
        Ok(matches || self.packets.contains(packet))
    }
}

/// Packets that were remembered or asked about lately. One is forgotten when at least [`REMEMBERED_PACKETS`] others were since.
#[derive(Debug, Default)]
struct RecentPackets {
    young: HashSet<(u64, u64)>,
    /// Those that are forgotten when the young ones have grown to as many as are remembered.
    old: HashSet<(u64, u64)>,
}

impl RecentPackets {
    fn remember(&mut self, packet: (u64, u64)) {
        if self.young.len() >= REMEMBERED_PACKETS && !self.young.contains(&packet) {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(packet);
    }

    fn contains(&mut self, packet: (u64, u64)) -> bool {
        if self.young.contains(&packet) {
            return true;
        }
        let is_known = self.old.contains(&packet);
        if is_known {
            self.remember(packet);
        }
        is_known
    }
}

/// Why it is not known whether an event is to be shown.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// It does not say which packet it belongs to.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A temporary file failed.
    #[error(transparent)]
    TemporaryFile(#[from] TemporaryFileError),
    /// What was read is not what was written.
    #[error("a temporary file has changed")]
    Changed,
}

impl From<SelectionError> for Error {
    fn from(error: SelectionError) -> Self {
        match error {
            SelectionError::Event(_) => Self::new(ErrorKind::BadEventFile, error),
            SelectionError::TemporaryFile(error) => Self::new(ErrorKind::Failure, error).with_hint(
                "a long series is put aside there until one of its events matches; `$TMPDIR` names another folder",
            ),
            SelectionError::Changed => Self::new(ErrorKind::Failure, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{REMEMBERED_PACKETS, RecentPackets};

    #[test]
    fn packets_that_are_seen_again_are_remembered() {
        let mut packets = RecentPackets::default();
        packets.remember((0, 0));
        packets.remember((0, 1));
        for number in 0..3 * REMEMBERED_PACKETS as u64 {
            packets.remember((1, number));
            assert!(packets.contains((0, 0)), "{number}");
        }
        assert!(!packets.contains((0, 1)));
        assert!(packets.young.len() + packets.old.len() <= 2 * REMEMBERED_PACKETS);
    }

    #[test]
    fn as_many_are_remembered_as_was_promised() {
        let mut packets = RecentPackets::default();
        for filled in [0, 1, REMEMBERED_PACKETS as u64 - 1, REMEMBERED_PACKETS as u64 / 2] {
            (0..filled).for_each(|number| packets.remember((2, number)));
            packets.remember((0, 0));
            (1..REMEMBERED_PACKETS as u64).for_each(|number| packets.remember((1, number)));
            assert!(packets.contains((0, 0)), "{filled}");
        }
    }
}
