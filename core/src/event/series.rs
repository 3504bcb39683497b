// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is missing in a series: holes in the numbers of a packet's hits.

/// Finds how many hits of a packet were lost before each of its events.
///
/// The numbers are those of `skb-tracking.seq`. Events that came in another order than their numbers leave no gap: only
/// a number that no event of the series has is lost.
#[derive(Clone, Debug)]
pub(super) struct Gaps {
    /// The numbers that are there, sorted, each once.
    present: Vec<u64>,
    /// The number that follows the largest one seen so far.
    next: u64,
}

impl Gaps {
    /// Takes the numbers of all events of the series; events without one are skipped.
    pub(super) fn new(numbers: impl Iterator<Item = Option<u64>>) -> Self {
        let mut present: Vec<u64> = numbers.flatten().collect();
        present.sort_unstable();
        present.dedup();
        Self { present, next: 0 }
    }

    /// How many hits were lost between the events that were asked about before and the one with `number`.
    pub(super) fn before(&mut self, number: Option<u64>) -> u64 {
        let Some(number) = number.filter(|number| *number >= self.next) else {
            return 0;
        };
        let first = self.present.partition_point(|present| *present < self.next);
        let last = self.present.partition_point(|present| *present < number);
        let lost = number - self.next - (last - first) as u64;
        self.next = number.saturating_add(1);
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::Gaps;

    fn gaps(numbers: &[u64]) -> Vec<u64> {
        let mut gaps = Gaps::new(numbers.iter().copied().map(Some));
        numbers.iter().map(|number| gaps.before(Some(*number))).collect()
    }

    #[test]
    fn counts_numbers_that_no_event_has() {
        assert_eq!(gaps(&[0, 1, 2]), [0, 0, 0]);
        assert_eq!(gaps(&[1, 5, 6]), [1, 3, 0]);
        assert_eq!(gaps(&[0, 0, 2]), [0, 0, 1]);
        assert_eq!(gaps(&[0, u64::MAX]), [0, u64::MAX - 1]);
    }

    #[test]
    fn another_order_is_no_gap() {
        assert_eq!(gaps(&[0, 2, 1, 3]), [0, 0, 0, 0]);
        assert_eq!(gaps(&[3, 0]), [2, 0]);
    }

    #[test]
    fn events_without_a_number_are_skipped() {
        let mut gaps = Gaps::new([None, Some(1)].into_iter());
        assert_eq!((gaps.before(None), gaps.before(Some(1))), (0, 1));
    }
}
