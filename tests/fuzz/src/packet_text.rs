// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as a packet: its text may say what it likes, but not panic, grow without bounds, or take more than a line. The bytes
//! come in through an event, as from a file.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
// Collectors register themselves.
use tracer_collectors as _;
use tracer_core::event::line::EventLine;
use tracer_core::event::print::{EventPrinter, Format, PrintOptions};
use tracer_core::event::section_table::SectionTable;
use tracer_core::event::text::TextOptions;

// The input: how much longer the packet was than what is left of it (two bytes), and what is left.
fuzz_target!(|input: &[u8]| {
    let Some((cut_off, packet)) = input.split_first_chunk::<2>() else {
        return;
    };
    let length = packet.len() + usize::from(u16::from_be_bytes(*cut_off));
    let event = format!(
        r#"{{"common":{{"timestamp":1}},"packet":{{"len":{length},"capture_len":{},"data":"{}"}}}}"#,
        packet.len(),
        STANDARD.encode(packet)
    );
    let event = EventLine::parse(&event).expect("it was made as events are");
    for link_layer in [false, true] {
        let options =
            PrintOptions { format: Format::SingleLine, text: TextOptions { link_layer }, ..PrintOptions::default() };
        let sections = SectionTable::registered().expect("sections have different names");
        let mut text = String::new();
        EventPrinter::new(options, sections).event(&event, &mut text).expect("no wall clock is needed");
        assert!(text.len() < 4096 + 64 * packet.len(), "too much text: {text}");
        assert!(text.trim_end_matches('\n').chars().all(|c| !c.is_control()), "not one line: {text}");
        assert!(!text.contains("(unexpected:"), "the section was not read: {text}");
    }
});
