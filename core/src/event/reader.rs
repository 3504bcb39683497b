// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading event files, an event at a time.

use std::io::{self, Read};

use super::foreign::{self, Foreign};
use super::input_window::InputWindow;
use super::line::{EventError, EventLine};
use crate::error::{Error, ErrorKind};

/// The longest event, in bytes. A thousand times what the largest real one takes: it only keeps
/// something that is no event file from filling the memory.
const EVENT_LIMIT: usize = 16 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads an event file as a stream; only one event is in memory, also of a series.
#[derive(Debug)]
pub struct EventReader<R> {
    window: InputWindow<R>,
    /// Whether the beginning of the file was looked at.
    begun: bool,
    /// The number of the current line, from 1, and where in the file it begins.
    line: u64,
    line_start: u64,
    state: State,
    truncated: Option<Truncated>,
}

/// What comes next. The numbers are those of an event in a line of a sorted file.
#[derive(Clone, Copy, Debug)]
enum State {
    LineBegins,
    SeriesBegins,
    BeforeEvent(u64),
    BehindEvent(u64),
    SeriesEnded,
}

/// An event of a file.
#[derive(Clone, Debug)]
pub struct FileEvent<'a> {
    /// The event.
    pub event: EventLine<'a>,
    /// Its number in its line, from 0, when the file is a sorted one: a line has all events of a packet, oldest first.
    pub idx: Option<u64>,
    pub(super) place: FilePlace,
}

/// Where in a file something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} (offset {offset})")]
pub struct FilePlace {
    /// The number of the line, from 1.
    pub line: u64,
    /// How many bytes of the file are before it.
    pub offset: u64,
}

/// The last line of the file is incomplete, as in the file of a tracer that was killed. What is cut off was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line} is cut off after {bytes} bytes{}; {} skipped",
    if *.followed_by_nul { ", and NUL bytes follow as after a crash" } else { "" },
    if *.in_series { "its last event is" } else { "it is" }
)]
pub struct Truncated {
    /// The number of the line, from 1.
    pub line: u64,
    /// How many bytes of it are there.
    pub bytes: u64,
    /// Whether it is a line of a sorted file, of which other events may have been read.
    pub in_series: bool,
    /// Whether the file has nothing but NUL bytes in the place of the rest: room that was made, and never written to.
    pub followed_by_nul: bool,
}

impl FileEvent<'_> {
    /// An error about this event.
    pub fn error(&self, error: EventError) -> ReadError {
        ReadError::BadEvent { place: self.place, error }
    }
}

impl<R: Read> EventReader<R> {
    /// Reads events from `input`.
    pub fn new(input: R) -> Self {
        Self {
            window: InputWindow::new(input),
            begun: false,
            line: 1,
            line_start: 0,
            state: State::LineBegins,
            truncated: None,
        }
    }

    /// The next event, or `None` at the end of the file. A last line that is cut off is skipped: see
    /// [`truncated`](Self::truncated). When the file has grown, more can be read after its end, and what was cut off is read again.
    ///
    /// # Errors
    /// When the input cannot be read, or when something is not what it should be.
    pub fn next_event(&mut self) -> Result<Option<FileEvent<'_>>, ReadError> {
        self.truncated = None;
        self.begin_file()?;
        let idx = loop {
            let Some(byte) = self.skip_blank()? else {
                if !matches!(self.state, State::LineBegins | State::SeriesEnded) {
                    self.truncated = Some(self.truncated_after(0, false));
                }
                return Ok(None);
            };
            match (self.state, byte) {
                (State::LineBegins, b'{') => break None,
                (State::SeriesBegins, b'{') => break Some(0),
                (State::BeforeEvent(idx), b'{') => break Some(idx),
                (_, 0) => return self.skip_nul(0).map(|()| None),
                (State::LineBegins, b'[') => self.step(State::SeriesBegins),
                (State::SeriesBegins | State::BehindEvent(_), b']') => self.step(State::SeriesEnded),
                (State::BehindEvent(idx), b',') => self.step(State::BeforeEvent(idx + 1)),
                (state, byte) => return Err(self.unexpected(state, byte)),
            }
        };

        let length = if idx.is_some() { self.object_length()? } else { self.line_length()? };
        let behind = self.window.rest().get(length);
        if matches!(behind, None | Some(0))
            && parse(&self.window.rest()[..length]).is_err_and(|error| is_cut_off(&error))
        {
            if behind.is_some() {
                self.skip_nul(length)?;
            } else {
                self.truncated = Some(self.truncated_after(length, false));
            }
            return Ok(None);
        }
        let place = self.place();
        self.window.consume(length);
        if let Some(idx) = idx {
            self.state = State::BehindEvent(idx);
        }
        match parse(self.window.consumed(length)) {
            Ok(event) => Ok(Some(FileEvent { event, idx, place })),
            Err(error) => Err(ReadError::BadEvent { place, error }),
        }
    }

    /// The warning that the last line was incomplete. Known once [`next_event`](Self::next_event) returned `None`.
    pub fn truncated(&self) -> Option<Truncated> {
        self.truncated
    }

    /// How many bytes of the file were dealt with.
    pub fn offset(&self) -> u64 {
        self.window.offset()
    }

    /// Looks what kind of file it is.
    fn begin_file(&mut self) -> Result<(), ReadError> {
        if self.begun || self.window.offset() > 0 {
            return Ok(());
        }
        while self.window.rest().len() < foreign::LOOKED_AT && self.window.fill().map_err(ReadError::Io)? {}
        let start = self.window.rest();
        if let Some(foreign) = foreign::recognize(start) {
            return Err(ReadError::Foreign(foreign));
        }
        // A file that is only beginning to be written is looked at again.
        self.begun = start.len() >= foreign::LOOKED_AT;
        if start.starts_with(BYTE_ORDER_MARK) {
            self.window.consume(BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    /// Goes on to the next byte that means something; a newline inside a series does.
    fn skip_blank(&mut self) -> Result<Option<u8>, ReadError> {
        loop {
            let byte = self.window.peek().map_err(ReadError::Io)?;
            match (byte, self.state) {
                (Some(b' ' | b'\t' | b'\r'), _) => self.window.consume(1),
                (Some(b'\n'), State::LineBegins | State::SeriesEnded) => {
                    self.step(State::LineBegins);
                    self.line += 1;
                    self.line_start = self.window.offset();
                }
                _ => return Ok(byte),
            }
        }
    }

    fn step(&mut self, state: State) {
        self.window.consume(1);
        self.state = state;
    }

    fn place(&self) -> FilePlace {
        FilePlace { line: self.line, offset: self.window.offset() }
    }

    fn truncated_after(&self, bytes: usize, followed_by_nul: bool) -> Truncated {
        Truncated {
            line: self.line,
            bytes: self.window.offset() - self.line_start + bytes as u64,
            in_series: !matches!(self.state, State::LineBegins),
            followed_by_nul,
        }
    }

    fn unexpected(&self, state: State, byte: u8) -> ReadError {
        let error = match state {
            _ if byte == b'\n' => EventError::SeriesNotClosed,
            State::LineBegins => EventError::NotJson,
            State::SeriesBegins | State::BeforeEvent(_) => EventError::NotInSeries,
            State::BehindEvent(_) => EventError::NotSeparated,
            State::SeriesEnded => EventError::BehindSeries,
        };
        ReadError::BadEvent { place: self.place(), error }
    }

    /// Deals with NUL bytes `length` bytes from here. They are where a file system made room for what was not written any more.
    fn skip_nul(&mut self, length: usize) -> Result<(), ReadError> {
        let truncated = self.truncated_after(length, true);
        self.window.consume(length);
        let place = self.place();
        loop {
            match self.window.peek().map_err(ReadError::Io)? {
                Some(0) => self.window.consume(1),
                Some(_) => return Err(ReadError::BadEvent { place, error: EventError::Nul }),
                None => break,
            }
        }
        self.truncated = Some(truncated);
        Ok(())
    }

    /// How far it is to the end of the line, or of the file.
    fn line_length(&mut self) -> Result<usize, ReadError> {
        self.scan(|byte| if matches!(byte, b'\n' | 0) { Scan::Before } else { Scan::On })
    }

    /// How far it is to the end of the object that begins here, or to where its line or the file ends too early. Whether it is one
    /// is up to the parser.
    fn object_length(&mut self) -> Result<usize, ReadError> {
        let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
        self.scan(move |byte| {
            match byte {
                b'\n' | 0 => return Scan::Before,
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Scan::Behind;
                    }
                }
                _ => {}
            }
            Scan::On
        })
    }

    /// Asks `look` about one byte after the other; returns how many bytes come before the place where it stops, or the file ends.
    fn scan(&mut self, mut look: impl FnMut(u8) -> Scan) -> Result<usize, ReadError> {
        let mut length = 0;
        loop {
            for byte in &self.window.rest()[length..] {
                match look(*byte) {
                    Scan::On => length += 1,
                    Scan::Before => return self.within_limit(length),
                    Scan::Behind => return self.within_limit(length + 1),
                }
            }
            self.within_limit(length)?;
            if !self.window.fill().map_err(ReadError::Io)? {
                return Ok(length);
            }
        }
    }

    fn within_limit(&self, length: usize) -> Result<usize, ReadError> {
        if length > EVENT_LIMIT { Err(ReadError::LongEvent { place: self.place() }) } else { Ok(length) }
    }
}

/// How a scan goes on after a byte.
enum Scan {
    On,
    /// It stops in front of the byte.
    Before,
    /// It stops behind it.
    Behind,
}

fn parse(text: &[u8]) -> Result<EventLine<'_>, EventError> {
    match std::str::from_utf8(text) {
        Ok(text) => EventLine::parse(text),
        Err(error) => {
            let cut_off = error.error_len().is_none();
            Err(EventError::NotUtf8 { valid_up_to: error.valid_up_to(), cut_off })
        }
    }
}

/// Whether an error is one that an event has because its end is missing.
fn is_cut_off(error: &EventError) -> bool {
    match error {
        EventError::Json(error) => error.is_cut_off(),
        EventError::NotUtf8 { cut_off, .. } => *cut_off,
        _ => false,
    }
}

/// Why an event file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input failed.
    #[error("the input cannot be read")]
    Io(#[source] io::Error),
    /// Something is no event.
    #[error("{place} is no event: {error}")]
    BadEvent {
        /// Where it begins.
        place: FilePlace,
        /// What is wrong with it.
        error: EventError,
    },
    /// Something is longer than an event can be.
    #[error("{place} is no event: it is longer than {} MiB", EVENT_LIMIT >> 20)]
    LongEvent {
        /// Where it begins.
        place: FilePlace,
    },
    /// It is no event file at all.
    #[error("it is no event file, but {}", .0.what)]
    Foreign(Foreign),
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        let hint = match &error {
            ReadError::Io(_) => return Self::new(ErrorKind::Failure, error),
            ReadError::BadEvent { place, .. } | ReadError::LongEvent { place } => match place.line - 1 {
                0 => "an event file has a JSON object a line, as `tracer collect -o FILE` writes it".to_owned(),
                lines => format!("the events before it can be read: `head -n {lines} FILE | tracer print -`"),
            },
            ReadError::Foreign(foreign) => foreign.hint.to_owned(),
        };
        Self::new(ErrorKind::BadEventFile, error).with_hint(hint)
    }
}

#[cfg(test)]
mod tests;
