// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What only all events of a packet tell about each of them: what is missing between them, and whether a filter lets the series
//! through. The answers are asked for in the order of packets, so it is enough to go along sorted lists.

use super::external_sort::{Sorted, TemporaryFileError};

/// The words of a number of a hit: its packet (in three words), and the number.
pub(super) const NUMBER_WORDS: usize = 4;

/// Finds how many hits of a packet were lost before each of its events.
///
/// The numbers are those of `skb-tracking.seq`. Events that came in another order than their numbers leave no gap: only
/// a number that no event of the series has is lost. So all numbers must be known before the first event is asked about; as
/// the answers need them in their order, it is enough to go along them.
#[derive(Debug)]
pub(super) struct Gaps {
    /// The numbers of all packets, sorted.
    present: Sorted<NUMBER_WORDS>,
    /// The first of them that was not yet passed.
    ahead: Option<[u64; NUMBER_WORDS]>,
    packet: [u64; 3],
    /// The number that follows the largest one that was asked about in this series.
    next: u64,
}

impl Gaps {
    /// Takes the numbers of all events that have one.
    pub(super) fn new(mut present: Sorted<NUMBER_WORDS>) -> Result<Self, TemporaryFileError> {
        let ahead = present.next()?.map(|(key, _)| key);
        Ok(Self { present, ahead, packet: [0; 3], next: 0 })
    }

    /// How many hits of `packet` were lost between the events that were asked about before and the one with `number`. Packets
    /// must be asked about in their order.
    pub(super) fn before(&mut self, packet: [u64; 3], number: Option<u64>) -> Result<u64, TemporaryFileError> {
        if packet != self.packet {
            (self.packet, self.next) = (packet, 0);
        }
        let Some(number) = number.filter(|number| *number >= self.next) else {
            return Ok(0);
        };
        let mut lost = number - self.next;
        let mut passed = None;
        while let Some([a, b, c, present]) = self.ahead
            && ([a, b, c], present) < (packet, number)
        {
            // One number may be there several times.
            if [a, b, c] == packet && present >= self.next && passed != Some(present) {
                lost -= 1;
                passed = Some(present);
            }
            self.ahead = self.present.next()?.map(|(key, _)| key);
        }
        self.next = number.saturating_add(1);
        Ok(lost)
    }
}

/// The words of a packet: its recording and the two of its id.
pub(super) const PACKET_WORDS: usize = 3;

/// The packets of which a filter lets an event through.
#[derive(Debug)]
pub(super) struct MatchingPackets {
    /// One packet may be there several times.
    packets: Sorted<PACKET_WORDS>,
    /// The first of them that was not yet passed.
    ahead: Option<[u64; PACKET_WORDS]>,
}

impl MatchingPackets {
    /// Takes the packets of all events that match.
    pub(super) fn new(mut packets: Sorted<PACKET_WORDS>) -> Result<Self, TemporaryFileError> {
        let ahead = packets.next()?.map(|(key, _)| key);
        Ok(Self { packets, ahead })
    }

    /// Whether `packet` is one of them. Packets must be asked about in their order.
    pub(super) fn contains(&mut self, packet: [u64; PACKET_WORDS]) -> Result<bool, TemporaryFileError> {
        while self.ahead.is_some_and(|ahead| ahead < packet) {
            self.ahead = self.packets.next()?.map(|(key, _)| key);
        }
        Ok(self.ahead == Some(packet))
    }
}

/// The words of a loss: its recording and its time.
pub(super) const LOSS_WORDS: usize = 2;

/// When events were lost last, for each recording.
#[derive(Debug)]
pub(super) struct LastLosses {
    losses: Sorted<LOSS_WORDS>,
    /// The first of them that was not yet passed.
    ahead: Option<[u64; LOSS_WORDS]>,
    recording: u64,
    last: Option<u64>,
}

impl LastLosses {
    /// Takes the times at which events were said to be lost.
    pub(super) fn new(mut losses: Sorted<LOSS_WORDS>) -> Result<Self, TemporaryFileError> {
        let ahead = losses.next()?.map(|(key, _)| key);
        Ok(Self { losses, ahead, recording: 0, last: None })
    }

    /// The last loss in `recording`. Recordings must be asked about in their order.
    pub(super) fn of(&mut self, recording: u64) -> Result<Option<u64>, TemporaryFileError> {
        if recording != self.recording {
            (self.recording, self.last) = (recording, None);
        }
        while let Some([of, time]) = self.ahead
            && of <= recording
        {
            if of == recording {
                self.last = Some(time);
            }
            self.ahead = self.losses.next()?.map(|(key, _)| key);
        }
        Ok(self.last)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Gaps, LastLosses, MatchingPackets};
    use crate::event::external_sort::Sorter;

    const PACKET: [u64; 3] = [0, 5, 6];

    /// What is asked about, among numbers of other packets.
    fn gaps(numbers: &[Option<u64>]) -> Vec<u64> {
        let mut sorter = Sorter::new(Path::new("/nonexistent"));
        for number in numbers.iter().flatten().copied() {
            sorter.push([0, 5, 6, number], &[]);
            sorter.push([0, 5, 5, number / 2], &[]);
            sorter.push([0, 5, 7, number], &[]);
        }
        let mut gaps = Gaps::new(sorter.sort(0).unwrap()).unwrap();
        assert_eq!(gaps.before([0, 0, 0], Some(2)).unwrap(), 2);
        numbers.iter().map(|number| gaps.before(PACKET, *number).unwrap()).collect()
    }

    #[test]
    fn knows_the_packets_that_match() {
        let mut sorter = Sorter::new(Path::new("/nonexistent"));
        for packet in [[1, 7, 7], [0, 5, 6], [0, 5, 6], [0, 9, 1]] {
            sorter.push(packet, &[]);
        }
        let mut matching = MatchingPackets::new(sorter.sort(0).unwrap()).unwrap();
        let asked = [[0, 5, 5], [0, 5, 6], [0, 5, 6], [0, 9, 0], [0, 9, 1], [1, 0, 0], [1, 7, 7], [1, 7, 8]];
        let found = asked.map(|packet| matching.contains(packet).unwrap());
        assert_eq!(found, [false, true, true, false, true, false, true, false]);
    }

    #[test]
    fn knows_the_last_loss_of_each_recording() {
        let mut sorter = Sorter::new(Path::new("/nonexistent"));
        for loss in [[1, 5], [0, 9], [1, 3], [3, 7]] {
            sorter.push(loss, &[]);
        }
        let mut losses = LastLosses::new(sorter.sort(0).unwrap()).unwrap();
        let found = [0, 0, 1, 2, 2, 3, 4].map(|recording| losses.of(recording).unwrap());
        assert_eq!(found, [Some(9), Some(9), Some(5), None, None, Some(7), None]);
    }

    #[test]
    fn counts_numbers_that_no_event_has() {
        assert_eq!(gaps(&[Some(0), Some(1), Some(2)]), [0, 0, 0]);
        assert_eq!(gaps(&[Some(1), Some(5), Some(6)]), [1, 3, 0]);
        assert_eq!(gaps(&[Some(0), Some(0), Some(2)]), [0, 0, 1]);
        assert_eq!(gaps(&[Some(0), Some(u64::MAX), Some(u64::MAX)]), [0, u64::MAX - 1, 0]);
    }

    #[test]
    fn another_order_is_no_gap() {
        assert_eq!(gaps(&[Some(0), Some(2), Some(1), Some(3)]), [0, 0, 0, 0]);
        assert_eq!(gaps(&[Some(4), Some(2), Some(2), Some(0), Some(6)]), [2, 0, 0, 0, 1]);
    }

    #[test]
    fn events_without_a_number_are_skipped() {
        assert_eq!(gaps(&[None, Some(1)]), [0, 1]);
    }
}
