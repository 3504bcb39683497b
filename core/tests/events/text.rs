// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What events look like.

use tracer_core::event::clock::TimeStyle;
use tracer_core::event::line::EventLine;
use tracer_core::event::print::{EventPrinter, Format, PrintOptions};
use tracer_core::event::reader::EventReader;
use tracer_core::event::text::TextOptions;

use crate::sections::table;
use crate::{FILES, fixture, sorted, sorted_file};

fn printed(file: &[u8], options: PrintOptions) -> String {
    let mut reader = EventReader::new(file);
    let mut printer = EventPrinter::new(options, table());
    let mut out = String::new();
    while let Some(line) = reader.next_line().unwrap() {
        printer.line(&line, &mut out).unwrap();
    }
    out
}

fn printed_sorted(file: &[u8], options: PrintOptions) -> String {
    let sorted = sorted(file);
    let mut printer = EventPrinter::new(options, table());
    let mut out = String::new();
    for series in sorted.series() {
        let events: Vec<EventLine<'_>> = series.events().map(|event| EventLine::parse(event).unwrap()).collect();
        printer.series(&events, &mut out).unwrap();
    }
    out
}

fn options(format: Format) -> PrintOptions {
    PrintOptions { format, ..PrintOptions::default() }
}

/// The first `lines` lines, each cut to what fits a screen.
fn head(text: &str, lines: usize) -> String {
    let cut = |line: &str| line.chars().take(150).collect::<String>() + "\n";
    text.lines().take(lines).map(cut).collect()
}

#[test]
fn an_event_is_a_header_and_a_line_for_each_section() {
    insta::assert_snapshot!(printed(fixture("retis/retis-nft.json").as_bytes(), options(Format::Text)));
}

#[test]
fn everything_unknown_is_named() {
    insta::assert_snapshot!(head(&printed(fixture("retis/retis-ovs.json").as_bytes(), options(Format::Text)), 24));
}

#[test]
fn an_event_may_be_a_single_line() {
    let options =
        PrintOptions { format: Format::SingleLine, time: TimeStyle::Utc, text: TextOptions { link_layer: true } };
    insta::assert_snapshot!(printed(fixture("additive.json").as_bytes(), options));
}

#[test]
fn json_is_what_the_file_holds() {
    for name in FILES {
        let file = fixture(name);
        assert_eq!(printed(file.as_bytes(), options(Format::Json)), file);
    }
}

#[test]
fn a_series_shows_order_time_and_losses() {
    insta::assert_snapshot!(printed_sorted(fixture("additive.json").as_bytes(), options(Format::Text)));
}

#[test]
fn a_series_may_be_single_lines() {
    let options = PrintOptions { time: TimeStyle::Relative, ..options(Format::SingleLine) };
    insta::assert_snapshot!(printed_sorted(fixture("retis/retis-nft.json").as_bytes(), options));
}

#[test]
fn a_sorted_file_is_shown_as_sorting_shows_it() {
    for name in FILES {
        let file = fixture(name);
        for format in [Format::Text, Format::SingleLine] {
            let sorted = sorted_file(file.as_bytes());
            assert_eq!(printed(&sorted, options(format)), printed_sorted(file.as_bytes(), options(format)));
        }
    }
}

#[test]
fn empty_parts_leave_no_double_spaces() {
    let event = concat!(
        r#"{"common":{"timestamp":1},"netns":{"inum":4026531840},"dev":{"name":"a","ifindex":1},"#,
        r#""kernel":{"symbol":"f","probe_type":"kretprobe"}}"#,
    );
    assert_eq!(printed(event.as_bytes(), options(Format::Text)), "1 [kr] f\n  if 1 (a)\n");
    assert_eq!(printed(event.as_bytes(), options(Format::SingleLine)), "1 [kr] f | if 1 (a)\n");
    let event = r#"{"common":{"timestamp":1},"netns":{"inum":4026531840}}"#;
    assert_eq!(printed(event.as_bytes(), options(Format::Text)), "1\n");
}

#[test]
fn foreign_text_cannot_drive_the_terminal() {
    let event = concat!(
        r#"{"common":{"timestamp":1,"task":{"pid":1,"tgid":1,"comm":"\u001b[2J\n"}},"#,
        r#""kernel":{"symbol":"\u009b2J","probe_type":"kprobe","stack_trace":["\u202e+0x1"]},"#,
        "\"\\u001bunknown\":\"\u{9b}2J\u{7f}\",",
        "\"dev\":\"\u{9b}2J\"}",
    );
    for format in [Format::Text, Format::SingleLine] {
        let text = printed(event.as_bytes(), options(format));
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
        assert_eq!(text.matches('\n').count(), if format == Format::Text { 4 } else { 1 });
    }
}

#[test]
fn a_wall_clock_time_needs_a_startup_event() {
    let event = br#"{"common":{"timestamp":1}}"#;
    let mut printer = EventPrinter::new(PrintOptions { time: TimeStyle::Utc, ..PrintOptions::default() }, table());
    let mut reader = EventReader::new(&event[..]);
    let line = reader.next_line().unwrap().unwrap();
    let error = printer.line(&line, &mut String::new()).unwrap_err();
    assert_eq!(error.to_string(), "the wall-clock time is unknown: no startup event before the first other event");
}
