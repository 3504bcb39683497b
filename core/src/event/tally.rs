// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Counting things that have names, in a bounded amount of memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// How many different things are counted. Kernels have some thousand functions with a packet.
const MOST_NAMES: usize = 10_000;

/// How long a name may be, in characters. Real ones are shorter.
const LONGEST_NAME: usize = 200;

/// Counts of things, by what they are.
#[derive(Debug)]
pub(super) struct Tally<K> {
    counts: BTreeMap<K, u64>,
    others: u64,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self { counts: BTreeMap::new(), others: 0 }
    }
}

impl<K: Clone + Ord> Tally<K> {
    /// Counts `key` `count` times more. When there are too many different ones, what is new is counted with the others.
    pub(super) fn add(&mut self, key: K, count: u64) {
        let is_full = self.counts.len() >= MOST_NAMES;
        match self.counts.get_mut(&key) {
            Some(known) => *known = known.saturating_add(count),
            None if is_full => self.others = self.others.saturating_add(count),
            None => {
                self.counts.insert(key, count);
            }
        }
    }

    /// The largest counts first, and how much was counted with the others.
    pub(super) fn into_counts(self) -> (Vec<(K, u64)>, u64) {
        let mut counts: Vec<_> = self.counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| Reverse(*count));
        (counts, self.others)
    }
}

/// A name, cut where it is longer than any real one.
pub(super) fn name(text: &str) -> String {
    match text.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_NAME, MOST_NAMES, Tally, name};

    #[test]
    fn the_largest_come_first_and_alike_ones_by_name() {
        let mut tally = Tally::default();
        for (key, count) in [("b", 1), ("a", 1), ("c", 5), ("b", 1), ("a", 1), ("d", u64::MAX), ("d", 1)] {
            tally.add(key, count);
        }
        assert_eq!(tally.into_counts(), (vec![("d", u64::MAX), ("c", 5), ("a", 2), ("b", 2)], 0));
    }

    #[test]
    fn no_number_of_names_fills_the_memory() {
        let mut tally = Tally::default();
        (0..MOST_NAMES + 5).for_each(|key| tally.add(key, 2));
        tally.add(0, 1);
        let (counts, others) = tally.into_counts();
        assert_eq!((counts.len(), counts[0], others), (MOST_NAMES, (0, 3), 10));
        let long = "ü".repeat(LONGEST_NAME + 1);
        assert_eq!(name(&long).chars().count(), LONGEST_NAME + 3);
        assert_eq!(name(&long[2..]), long[2..]);
    }
}
