// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What events look like.

use tracer_core::event::clock::TimeStyle;
use tracer_core::event::print::{EventPrinter, Format, PrintOptions};
use tracer_core::event::reader::EventReader;
use tracer_core::event::text::TextOptions;

use crate::sections::table;
use crate::{FILES, PLENTY, fixture, sorted, sorted_file};

fn printed(file: &[u8], options: PrintOptions) -> String {
    let mut reader = EventReader::new(file);
    let mut printer = EventPrinter::new(options, table());
    let mut out = String::new();
    while let Some(event) = reader.next_event().unwrap() {
        printer.file_event(&event, &mut out).unwrap();
    }
    printer.end(&mut out);
    out
}

fn printed_sorted(file: &[u8], options: PrintOptions, memory: usize) -> String {
    let mut sorted = sorted(file, memory);
    let mut printer = EventPrinter::new(options, table());
    let mut out = String::new();
    while let Some(event) = sorted.next_event().unwrap() {
        let verdict = event.verdict.as_ref().map(|verdict| &*verdict.text);
        printer.series_event(&event.event, event.place, verdict, &mut out).unwrap();
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
        let sorted = sorted_file(file.as_bytes(), PLENTY);
        assert_eq!(printed(sorted.as_bytes(), options(Format::Json)), sorted);
    }
}

#[test]
fn a_series_shows_order_time_and_losses() {
    insta::assert_snapshot!(printed_sorted(fixture("additive.json").as_bytes(), options(Format::Text), PLENTY));
}

/// A packet (1, 7) that was copied, and of which the copy was segmented; another packet (4, 8) was merged into it; a copy of one that
/// is not in the file.
const FAMILY: &str = concat!(
    r#"{"common":{"timestamp":9},"kernel":{"symbol":"lone_copy","probe_type":"kprobe"},"skb-tracking":{"orig_head":6,"timestamp":9,"skb":16,"link":{"kind":"copy","parent":{"timestamp":0,"orig_head":5},"root":{"timestamp":0,"orig_head":5}}}}"#,
    "\n",
    r#"{"common":{"timestamp":7},"kernel":{"symbol":"segmented","probe_type":"kprobe","stack_trace":["g+0x1"]},"skb-tracking":{"orig_head":3,"timestamp":7,"skb":14,"seq":0,"link":{"kind":"segment","parent":{"timestamp":5,"orig_head":9},"root":{"timestamp":1,"orig_head":7}}},"packet":{"len":60}}"#,
    "\n",
    r#"{"common":{"timestamp":8},"kernel":{"symbol":"sent","probe_type":"kprobe","stack_trace":["h+0x1"]},"skb-tracking":{"orig_head":3,"timestamp":7,"skb":14,"seq":2},"packet":{"len":60}}"#,
    "\n",
    r#"{"common":{"timestamp":5},"kernel":{"symbol":"copied","probe_type":"kprobe"},"skb-tracking":{"orig_head":9,"timestamp":5,"skb":12,"link":{"kind":"copy","parent":{"timestamp":1,"orig_head":7},"root":{"timestamp":1,"orig_head":7}}}}"#,
    "\n",
    r#"{"common":{"timestamp":4},"kernel":{"symbol":"other","probe_type":"kprobe"},"skb-tracking":{"orig_head":8,"timestamp":4,"skb":11}}"#,
    "\n",
    r#"{"common":{"timestamp":2},"kernel":{"symbol":"first","probe_type":"kprobe"},"skb-tracking":{"orig_head":7,"timestamp":1,"skb":10,"seq":1}}"#,
    "\n",
    r#"{"common":{"timestamp":5},"kernel":{"symbol":"copies","probe_type":"kprobe"},"skb-tracking":{"orig_head":7,"timestamp":1,"skb":10,"seq":2}}"#,
    "\n",
    r#"{"common":{"timestamp":6},"kernel":{"symbol":"merges","probe_type":"kprobe"},"skb-tracking":{"orig_head":7,"timestamp":1,"skb":10,"seq":3,"link":{"kind":"merge","parent":{"timestamp":4,"orig_head":8}}}}"#,
    "\n",
    r#"{"common":{"timestamp":9},"kernel":{"symbol":"strange","probe_type":"kprobe"},"skb-tracking":{"orig_head":4,"timestamp":9,"skb":15,"link":{"kind":"\u001bnew","parent":{"timestamp":1,"orig_head":7}}}}"#,
    "\n",
);

#[test]
fn a_packet_that_came_out_of_another_is_a_branch() {
    insta::assert_snapshot!(printed_sorted(FAMILY.as_bytes(), options(Format::Text), PLENTY));
    insta::assert_snapshot!(printed_sorted(FAMILY.as_bytes(), options(Format::SingleLine), 0));
    let sorted = sorted_file(FAMILY.as_bytes(), PLENTY);
    assert_eq!(
        printed(sorted.as_bytes(), options(Format::Text)),
        printed_sorted(FAMILY.as_bytes(), options(Format::Text), 0)
    );
}

#[test]
fn a_series_may_be_single_lines() {
    let options = PrintOptions { time: TimeStyle::Relative, ..options(Format::SingleLine) };
    insta::assert_snapshot!(printed_sorted(fixture("retis/retis-nft.json").as_bytes(), options, 0));
}

#[test]
fn a_sorted_file_is_shown_as_sorting_shows_it() {
    for name in FILES {
        let file = fixture(name);
        for format in [Format::Text, Format::SingleLine] {
            let sorted = sorted_file(file.as_bytes(), PLENTY);
            for memory in [0, PLENTY] {
                let shown = printed_sorted(file.as_bytes(), options(format), memory);
                assert_eq!(printed(sorted.as_bytes(), options(format)), shown);
            }
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
    let event = reader.next_event().unwrap().unwrap();
    let error = printer.file_event(&event, &mut String::new()).unwrap_err();
    assert_eq!(error.to_string(), "the wall-clock time is unknown: no startup event before the first other event");
}

/// Two recordings, the second one in two parts; the machine was started anew between them.
const RECORDINGS: &str = concat!(
    r#"{"common":{"timestamp":5000000000},"startup":{"clock_monotonic_offset":{"sec":1000000000,"nsec":0}}}"#,
    "\n",
    r#"{"common":{"timestamp":6000000000}}"#,
    "\n",
    r#"{"common":{"timestamp":1000000000},"startup":{"clock_monotonic_offset":{"sec":2000000000,"nsec":7},"split_file":{"id":0}}}"#,
    "\n",
    r#"{"common":{"timestamp":1500000000}}"#,
    "\n",
    r#"{"common":{"timestamp":3000000000},"startup":{"clock_monotonic_offset":{"sec":2000000000,"nsec":7},"split_file":{"id":1}}}"#,
    "\n",
    r#"{"common":{"timestamp":1250000000}}"#,
    "\n",
);

#[test]
fn each_recording_in_a_file_has_its_own_clock() {
    let times = |text: String| text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    let options = |time| PrintOptions { time, ..options(Format::SingleLine) };
    let utc = times(printed(RECORDINGS.as_bytes(), options(TimeStyle::Utc)));
    let expected = [
        "2001-09-09T01:46:45.000000000Z",
        "2001-09-09T01:46:46.000000000Z",
        "2033-05-18T03:33:21.000000007Z",
        "2033-05-18T03:33:21.500000007Z",
        "2033-05-18T03:33:23.000000007Z",
        "2033-05-18T03:33:21.250000007Z",
    ];
    assert_eq!(utc, expected);
    let relative = times(printed(RECORDINGS.as_bytes(), options(TimeStyle::Relative)));
    assert_eq!(relative, ["0.000000000", "1.000000000", "0.000000000", "0.500000000", "2.000000000", "0.250000000"]);
    // Sorted, the parts of a recording become one, and recordings stay apart.
    let sorted = times(printed_sorted(RECORDINGS.as_bytes(), options(TimeStyle::Utc), PLENTY));
    assert_eq!(sorted, [0, 1, 2, 4, 5, 3].map(|index| expected[index]));
}
