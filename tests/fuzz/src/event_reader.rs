// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as an event file: it is read, shown in all formats and sorted, and no way to do that may panic. What is sorted does
//! not depend on the memory that sorting may take; what a filter leaves neither, nor on whether it comes before sorting or after.

#![no_main]

use std::fmt::Write as _;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
// Collectors register themselves.
use tracer_collectors as _;
use tracer_core::error::Error;
use tracer_core::event::clock::TimeStyle;
use tracer_core::event::json::SeriesJson;
use tracer_core::event::line::EventLine;
use tracer_core::event::print::{EventPrinter, Format, PrintOptions};
use tracer_core::event::reader::EventReader;
use tracer_core::event::section_table::SectionTable;
use tracer_core::event::selection::Selection;
use tracer_core::event::sort::EventSorter;
use tracer_core::event::text::TextOptions;

const OPTIONS: [PrintOptions; 4] = [
    PrintOptions { format: Format::Text, time: TimeStyle::Monotonic, text: TextOptions { link_layer: true } },
    PrintOptions { format: Format::SingleLine, time: TimeStyle::Relative, text: TextOptions { link_layer: false } },
    PrintOptions { format: Format::Text, time: TimeStyle::Utc, text: TextOptions { link_layer: false } },
    PrintOptions { format: Format::Json, time: TimeStyle::Monotonic, text: TextOptions { link_layer: false } },
];

fuzz_target!(|file: &[u8]| {
    for options in OPTIONS {
        print(file, options);
    }
    let spilled = sort(file, 0, false);
    assert_eq!(spilled, sort(file, usize::MAX, false));
    let filtered = sort(file, 0, true);
    assert_eq!(filtered, sort(file, usize::MAX, true));
    if let Some(sorted) = spilled {
        assert_eq!(
            sort(sorted.as_bytes(), usize::MAX, false).as_ref(),
            Some(&sorted),
            "sorting again changes something"
        );
        assert_eq!(Some(select(&sorted)), filtered, "the filter leaves something else of the sorted file");
    }
});

/// Stands for a filter.
fn matches(event: &EventLine<'_>) -> bool {
    event.timestamp().is_multiple_of(3)
}

fn print(file: &[u8], options: PrintOptions) {
    let sections = SectionTable::registered().expect("sections have different names");
    let mut printer = EventPrinter::new(options, sections);
    let mut reader = EventReader::new(file);
    let mut out = String::new();
    loop {
        match reader.next_event() {
            Ok(Some(event)) => {
                if printer.file_event(&event, &mut out).is_err() {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                write!(out, "{:?}", Error::from(error)).expect("strings take all");
                break;
            }
        }
    }
    printer.end(&mut out);
    if options.format != Format::Json {
        assert!(!out.contains('\u{1b}'), "a terminal can be driven: {out}");
    }
}

/// What a filter leaves of a sorted file.
fn select(file: &str) -> String {
    let mut selection = Selection::new(Path::new("/dev/shm"));
    let options = PrintOptions { format: Format::Json, ..PrintOptions::default() };
    let mut printer = EventPrinter::new(options, SectionTable::default());
    let mut reader = EventReader::new(file.as_bytes());
    let mut out = String::new();
    while let Some(event) = reader.next_event().expect("a sorted file can be read") {
        if selection.passes(&event, matches(&event.event)).expect("series can be held") {
            while let Some(held) = selection.next_held().expect("what was held is there") {
                printer.file_event(&held, &mut out).expect("JSON can be shown");
            }
            printer.file_event(&event, &mut out).expect("JSON can be shown");
        }
    }
    printer.end(&mut out);
    out
}

/// The sorted file, filtered or not, if it can be sorted. It is shown as well.
fn sort(file: &[u8], memory: usize, is_filtered: bool) -> Option<String> {
    let mut sorter = EventSorter::new(memory, Path::new("/dev/shm"));
    if is_filtered {
        sorter = sorter.only_matching();
    }
    let mut reader = EventReader::new(file);
    while let Some(event) = reader.next_event().ok()? {
        sorter.push(&event.event, matches(&event.event)).ok()?;
    }
    let sections = SectionTable::registered().expect("sections have different names");
    let mut printer = EventPrinter::new(PrintOptions::default(), sections.clone());
    let mut sorted = sorter.sort(sections, |_| ()).expect("temporary files can be written");
    let (mut json, mut out, mut text) = (SeriesJson::default(), String::new(), String::new());
    while let Some(event) = sorted.next_event().expect("temporary files can be read") {
        json.separate(event.place.idx, &mut out);
        event.write_json(&mut out);
        let verdict = event.verdict.as_ref().map(|verdict| &*verdict.text);
        printer.series_event(&event.event, event.place, verdict, &mut text).expect("its packet was read before");
    }
    json.end(&mut out);
    Some(out)
}
