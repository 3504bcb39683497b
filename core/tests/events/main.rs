// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Event files from end to end: read, shown, sorted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod sections;
mod sort;
mod text;
mod verdict;

use std::fs;
use std::path::Path;

use tracer_core::event::json::SeriesJson;
use tracer_core::event::line::EventLine;
use tracer_core::event::reader::EventReader;
use tracer_core::event::sort::EventSorter;
use tracer_core::event::sorted_events::SortedEvents;

/// All stored files, by their names in `tests/fixtures`.
const FILES: [&str; 5] = [
    "additive.json",
    "retis/retis-ct.json",
    "retis/retis-generic.json",
    "retis/retis-nft.json",
    "retis/retis-ovs.json",
];

/// The text of a stored file.
fn fixture(name: &str) -> String {
    let path = format!("{}/../tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// More memory than any test needs.
const PLENTY: usize = 1 << 30;

/// Sorts a file, with at most `memory` bytes of it in memory.
fn sorted(file: &[u8], memory: usize) -> SortedEvents {
    sorted_by(|folder| EventSorter::new(memory, folder), file, |_| true)
}

/// Sorts what a filter leaves of a file, with at most `memory` bytes of it in memory.
fn sorted_matching(file: &[u8], memory: usize, matches: impl Fn(&EventLine<'_>) -> bool) -> SortedEvents {
    sorted_by(|folder| EventSorter::new(memory, folder).only_matching(), file, matches)
}

fn sorted_by(
    sorter: impl FnOnce(&Path) -> EventSorter,
    file: &[u8],
    matches: impl Fn(&EventLine<'_>) -> bool,
) -> SortedEvents {
    let folder = tempfile::tempdir().unwrap();
    let mut reader = EventReader::new(file);
    let mut sorter = sorter(folder.path());
    while let Some(event) = reader.next_event().unwrap() {
        sorter.push(&event.event, matches(&event.event)).unwrap();
    }
    assert_eq!(reader.truncated(), None);
    let sorted = sorter.sort(sections::table(), |_| ()).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "temporary files have names");
    sorted
}

/// A sorted file.
fn sorted_file(file: &[u8], memory: usize) -> String {
    json_of(sorted(file, memory))
}

/// What is written into a sorted file.
fn json_of(mut sorted: SortedEvents) -> String {
    let mut json = SeriesJson::default();
    let mut out = String::new();
    while let Some(event) = sorted.next_event().unwrap() {
        json.separate(event.place.idx, &mut out);
        event.write_json(&mut out);
    }
    json.end(&mut out);
    out
}

/// The events of a file as they stand in it, without what `sort` says about them.
fn unsorted_events(file: &[u8]) -> Vec<String> {
    let mut reader = EventReader::new(file);
    let mut events = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        events.push(event.event.without(&["tracking", "verdict"]).into_owned());
    }
    events
}
