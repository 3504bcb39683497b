// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Events as text: what `--print`, `print` and `sort` show.
//!
//! There is one way to text: an event's JSON, read by the types of its sections. What is shown live is therefore what
//! is shown of the stored file.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;

use super::clock::{Clock, ClockError, Delta, TimeStyle};
use super::core_sections::{CommonSection, KernelSection, PacketKey, TrackingSection, UserspaceSection};
use super::json::SeriesJson;
use super::line::{EventError, EventLine, JsonError, RawSection, SeriesPlace};
use super::reader::FileEvent;
use super::section::{Place, Section, SectionError};
use super::section_table::SectionTable;
use super::text::{Escaped, TextOptions};
use super::verdict_section::VerdictSection;
use crate::error::{Error, ErrorKind};

/// The form in which events are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A header line and an indented line for each section.
    #[default]
    Text,
    /// One line for each event.
    SingleLine,
    /// As it stands in the file.
    Json,
}

/// What the user chose about how events are shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrintOptions {
    /// The form.
    pub format: Format,
    /// How times are shown (not in JSON).
    pub time: TimeStyle,
    /// What sections show.
    pub text: TextOptions,
}

/// Turns events into text, one after the other.
#[derive(Debug)]
pub struct EventPrinter {
    options: PrintOptions,
    sections: SectionTable,
    clock: Clock,
    series: Series,
    json: SeriesJson,
    piece: String,
}

/// The series of which the last event was shown.
#[derive(Debug, Default)]
struct Series {
    /// Whether there is one.
    shown: bool,
    /// The packet that its family is named after, unless it is no packet's.
    family: Option<PacketKey>,
    is_branch: bool,
    /// The time of its last event.
    previous: Option<u64>,
}

/// The place of an event in the series that it is shown in.
#[derive(Clone, Copy)]
struct Position {
    idx: u64,
    /// Nanoseconds since the event before.
    delta: Option<u64>,
    parent_idx: Option<u64>,
    /// A verdict is shown behind it.
    has_verdict: bool,
}

/// How the lines of an event begin.
#[derive(Clone, Copy)]
struct Indent {
    header: &'static str,
    lines: &'static str,
    frames: &'static str,
}

const FLUSH: Indent = Indent { header: "", lines: "  ", frames: "    " };
const LATER: Indent = Indent { header: "  ↳ ", lines: "      ", frames: "        " };
const BRANCH: Indent = Indent { header: "  ├ ", lines: "  │   ", frames: "  │     " };
const IN_BRANCH: &str = "  │ ";
const LATER_IN_BRANCH: Indent = Indent { header: "  │   ↳ ", lines: "  │       ", frames: "  │         " };

#[derive(Deserialize)]
struct Stack<'a> {
    #[serde(borrow, default)]
    stack_trace: Vec<Cow<'a, str>>,
}

impl EventPrinter {
    /// A printer that knows `sections`.
    pub fn new(options: PrintOptions, sections: SectionTable) -> Self {
        let (clock, piece) = (Clock::default(), String::new());
        Self { options, sections, clock, series: Series::default(), json: SeriesJson::default(), piece }
    }

    /// Appends an event that stands for itself.
    ///
    /// # Errors
    /// When a wall-clock time is wanted and unknown.
    pub fn event(&mut self, event: &EventLine<'_>, out: &mut String) -> Result<(), PrintError> {
        if self.options.format == Format::Json {
            out.push_str(event.text());
            out.push('\n');
            return Ok(());
        }
        self.clock.learn(event);
        self.write_event(event, None, FLUSH, out)
    }

    /// Appends an event of a file.
    ///
    /// # Errors
    /// When a wall-clock time is wanted and unknown, or when the event belongs to an unreadable packet.
    pub fn file_event(&mut self, event: &FileEvent<'_>, out: &mut String) -> Result<(), PrintError> {
        let FileEvent { event, idx, .. } = event;
        match *idx {
            None => {
                self.json.end(out);
                self.event(event, out)
            }
            Some(idx) if self.options.format == Format::Json => {
                self.json.separate(idx, out);
                out.push_str(event.text());
                Ok(())
            }
            Some(idx) => self.series_event(event, event.place(idx), event.verdict().as_deref(), out),
        }
    }

    /// Appends what is missing when the file ended, or could not be read on, in the middle of a series.
    pub fn end(&mut self, out: &mut String) {
        self.json.end(out);
    }

    /// Appends an event of a packet as text, also when the format is JSON: JSON is written by who has it. A packet that came out of
    /// another is shown as a branch of its family, when something of that was shown right before. The `verdict` about the packet
    /// stands behind its last event.
    ///
    /// # Errors
    /// When a wall-clock time is wanted and unknown, or when the event belongs to an unreadable packet.
    pub fn series_event(
        &mut self,
        event: &EventLine<'_>,
        place: SeriesPlace,
        verdict: Option<&str>,
        out: &mut String,
    ) -> Result<(), PrintError> {
        let SeriesPlace { idx, lost, parent_idx } = place;
        let packet = event.packet()?;
        if idx == 0 {
            let family = packet.map(|packet| event.branch().map_or(packet.key(), |link| link.root()));
            let is_branch = family.is_some() && family == self.series.family;
            if self.series.shown && !is_branch && self.options.format == Format::Text {
                out.push('\n');
            }
            self.series = Series { shown: true, family, is_branch, previous: None };
        }
        self.clock.learn(event);
        let indent = match (self.series.is_branch, idx) {
            (false, 0) => FLUSH,
            (false, _) => LATER,
            (true, 0) => BRANCH,
            (true, _) => LATER_IN_BRANCH,
        };
        if lost > 0 {
            let plural = if lost == 1 { "" } else { "s" };
            let _ = writeln!(out, "{}lost {lost} event{plural} of this packet", indent.header);
        }
        let timestamp = event.timestamp();
        let delta = self.series.previous.map(|previous| timestamp.saturating_sub(previous));
        self.series.previous = Some(timestamp);
        let position = packet.map(|_| Position { idx, delta, parent_idx, has_verdict: verdict.is_some() });
        self.write_event(event, position, indent, out)?;
        if let Some(verdict) = verdict {
            if self.options.format == Format::SingleLine {
                out.truncate(out.trim_end_matches('\n').len());
                out.push_str(" | ");
            } else {
                out.push_str(if self.series.is_branch { IN_BRANCH } else { "" });
                out.push_str("  ");
            }
            let _ = writeln!(out, "⇒ {}", Escaped(verdict));
        }
        Ok(())
    }

    fn write_event(
        &mut self,
        event: &EventLine<'_>,
        position: Option<Position>,
        indent: Indent,
        out: &mut String,
    ) -> Result<(), PrintError> {
        let single_line = self.options.format == Format::SingleLine;
        out.push_str(indent.header);
        self.clock.write(event.timestamp(), self.options.time, out)?;
        let mut header: Vec<(u8, &RawSection<'_>)> = event
            .sections()
            .iter()
            .filter(|section| self.place(section) == Place::Header)
            .map(|section| (header_rank(&section.name), section))
            .filter(|(rank, _)| position.is_none() || *rank != TRACKING_RANK)
            .collect();
        header.sort_by_key(|(rank, _)| *rank);
        for (_, section) in header {
            self.write_section(section, " ", out);
        }
        if let Some(Position { idx, delta, parent_idx, .. }) = position {
            let _ = write!(out, " n {idx}");
            if let Some(parent_idx) = parent_idx {
                let _ = write!(out, " (branches off at n {parent_idx})");
            }
            if let Some(delta) = delta {
                let _ = write!(out, " {}", Delta(delta));
            }
        }
        let line = if single_line { " | ".to_owned() } else { format!("\n{}", indent.lines) };
        let has_verdict = position.is_some_and(|position| position.has_verdict);
        let mut where_begun = false;
        for place in [Place::Packet, Place::Namespace, Place::Device, Place::Line] {
            let says_where = matches!(place, Place::Namespace | Place::Device);
            for section in event.sections() {
                if self.place(section) != place || has_verdict && section.name == VerdictSection::NAME {
                    continue;
                }
                let before = if says_where && where_begun { " " } else { &line };
                let shown = self.write_section(section, before, out);
                where_begun |= says_where && shown;
            }
        }
        self.write_stack(event, &line, indent, out);
        out.push('\n');
        Ok(())
    }

    /// Where a section is shown; one that nobody knows gets a line.
    fn place(&self, section: &RawSection<'_>) -> Place {
        self.sections.get(&section.name).map_or(Place::Line, |known| known.place)
    }

    /// Appends `before` and a section's text; neither when the section has nothing to say.
    fn write_section(&mut self, section: &RawSection<'_>, before: &str, out: &mut String) -> bool {
        self.piece.clear();
        let known = self.sections.get(&section.name);
        let written = known.map(|known| (known.write_text)(section.json, &mut self.piece, &self.options.text));
        match written {
            Some(Ok(())) => {}
            None => {
                let _ = write!(self.piece, "+ {} {}", Escaped(&section.name), Escaped(section.json));
            }
            // A newer writer may put in what this reader has no type for: show what is there.
            Some(Err(error)) => {
                self.piece.clear();
                let reason = match error {
                    SectionError::Json(error) => JsonError::from(error).to_string(),
                    SectionError::Write(_) => error.to_string(),
                };
                let (name, json) = (Escaped(&section.name), Escaped(section.json));
                let _ = write!(self.piece, "+ {name} {json} (unexpected: {})", Escaped(&reason));
            }
        }
        let text = self.piece.trim_end_matches(' ');
        if text.is_empty() {
            return false;
        }
        out.push_str(before);
        out.push_str(text);
        true
    }

    /// Appends the kernel stack, a line for each frame.
    fn write_stack(&self, event: &EventLine<'_>, line: &str, indent: Indent, out: &mut String) {
        // An unreadable kernel section is shown whole already.
        let Ok(Some(Stack { stack_trace })) = event.light(KernelSection::NAME) else {
            return;
        };
        for (number, frame) in stack_trace.iter().enumerate() {
            match (self.options.format, number) {
                (Format::SingleLine, 0) => {
                    out.push_str(line);
                    out.push_str("stack ");
                }
                (Format::SingleLine, _) => out.push_str(" < "),
                _ => {
                    out.push('\n');
                    out.push_str(indent.frames);
                }
            }
            let _ = write!(out, "{}", Escaped(frame));
        }
    }
}

const TRACKING_RANK: u8 = 3;

/// The order on the header line, whatever the order in the file.
fn header_rank(name: &str) -> u8 {
    match name {
        CommonSection::NAME => 0,
        KernelSection::NAME | UserspaceSection::NAME => 1,
        TrackingSection::NAME => TRACKING_RANK,
        _ => 2,
    }
}

/// Why events could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// Their time is unknown.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// Something that a series needs is unreadable.
    #[error(transparent)]
    Event(#[from] EventError),
}

impl From<PrintError> for Error {
    fn from(error: PrintError) -> Self {
        let hint = match &error {
            PrintError::Clock(_) => Some("without `--utc` and `--local`, monotonic times are shown"),
            PrintError::Event(_) => None,
        };
        let error = Self::new(ErrorKind::BadEventFile, error);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}
