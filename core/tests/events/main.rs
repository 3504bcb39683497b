// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Event files from end to end: read, shown, sorted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod sections;
mod sort;
mod text;

use std::fs;

use tracer_core::event::line::EventLine;
use tracer_core::event::reader::EventReader;
use tracer_core::event::sort::{EventSorter, SortedEvents};

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

/// Sorts a file.
fn sorted(file: &[u8]) -> SortedEvents {
    let mut reader = EventReader::new(file);
    let mut sorter = EventSorter::new();
    while let Some(line) = reader.next_line().unwrap() {
        for event in &line.events {
            sorter.push(event).unwrap();
        }
    }
    assert_eq!(reader.truncated(), None);
    sorter.sort()
}

/// A sorted file.
fn sorted_file(file: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for series in sorted(file).series() {
        series.write_json(&mut out);
    }
    out
}

/// The events of a file as they stand in it, without `tracking`.
fn events_without_tracking(file: &[u8]) -> Vec<String> {
    let mut reader = EventReader::new(file);
    let mut events = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        events.extend(line.events.iter().map(|event: &EventLine<'_>| event.without("tracking").into_owned()));
    }
    events
}
