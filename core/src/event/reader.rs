// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading event files, a line at a time.

use std::io::{self, BufRead, Read};

use super::line::{EventError, EventLine, parse_series};
use crate::error::{Error, ErrorKind};

/// The longest line with one event, in bytes. A thousand times what the largest real event takes: it only keeps
/// something that is no event file from filling the memory.
const EVENT_LIMIT: usize = 16 << 20;

/// The longest line of a sorted file, in bytes: a series holds all events of a packet.
const SERIES_LIMIT: usize = 1 << 30;

/// Reads an event file as a stream; only one line is in memory.
#[derive(Debug)]
pub struct EventReader<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    truncated: Option<Truncated>,
}

/// A line of an event file.
#[derive(Clone, Debug)]
pub struct FileLine<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// Its text, without the newline.
    pub text: &'a str,
    /// Whether it is a line of a sorted file: all events of a packet, oldest first.
    pub is_series: bool,
    /// Its events; one unless it is a series.
    pub events: Vec<EventLine<'a>>,
}

impl FileLine<'_> {
    /// An error about something in this line.
    pub fn error(&self, error: EventError) -> ReadError {
        ReadError::BadLine { line: self.number, error }
    }
}

/// The last line of the file is incomplete, as in the file of a tracer that was killed. It was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is cut off after {bytes} bytes; it is skipped")]
pub struct Truncated {
    /// The number of the line, from 1.
    pub line: u64,
    /// How many bytes of it are there.
    pub bytes: usize,
}

impl<R: BufRead> EventReader<R> {
    /// Reads events from `input`.
    pub fn new(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0, truncated: None }
    }

    /// The next line with events, or `None` at the end. Empty lines are skipped, and so is a last line that is cut off:
    /// see [`truncated`](Self::truncated).
    ///
    /// # Errors
    /// When the input cannot be read, or when a line is not what it should be.
    pub fn next_line(&mut self) -> Result<Option<FileLine<'_>>, ReadError> {
        let ended = loop {
            if !self.read_line()? {
                return Ok(None);
            }
            if first_byte(&self.line).is_some() {
                break self.line.pop_if(|byte| *byte == b'\n').is_some();
            }
        };
        let number = self.number;
        match parse(&self.line) {
            Ok((is_series, text, events)) => Ok(Some(FileLine { number, text, is_series, events })),
            Err(error) if !ended && is_cut_off(&error) => {
                self.truncated = Some(Truncated { line: number, bytes: self.line.len() });
                Ok(None)
            }
            Err(error) => Err(ReadError::BadLine { line: number, error }),
        }
    }

    /// The warning that the last line was incomplete. Known once [`next_line`](Self::next_line) returned `None`.
    pub fn truncated(&self) -> Option<Truncated> {
        self.truncated
    }

    /// Reads up to and with the next newline; false at the end of the input.
    fn read_line(&mut self) -> Result<bool, ReadError> {
        self.line.clear();
        self.number += 1;
        for limit in [EVENT_LIMIT, SERIES_LIMIT] {
            let room = limit - self.line.len();
            let mut input = self.input.by_ref().take(room as u64);
            let read = input.read_until(b'\n', &mut self.line).map_err(ReadError::Io)?;
            if read < room || self.line.ends_with(b"\n") {
                break;
            }
            if limit == SERIES_LIMIT || first_byte(&self.line) != Some(b'[') {
                return Err(ReadError::LongLine { line: self.number, limit });
            }
        }
        Ok(!self.line.is_empty())
    }
}

/// The first byte that is no white space.
fn first_byte(line: &[u8]) -> Option<u8> {
    line.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

fn parse(line: &[u8]) -> Result<(bool, &str, Vec<EventLine<'_>>), EventError> {
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => {
            let cut_off = error.error_len().is_none();
            return Err(EventError::NotUtf8 { valid_up_to: error.valid_up_to(), cut_off });
        }
    };
    match first_byte(line) {
        Some(b'{') => Ok((false, text, vec![EventLine::parse(text)?])),
        Some(b'[') => Ok((true, text, parse_series(text)?)),
        _ => Err(EventError::NotJson),
    }
}

/// Whether an error is one that a line has because its end is missing.
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
    /// A line holds no event.
    #[error("line {line} is no event: {error}")]
    BadLine {
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        error: EventError,
    },
    /// A line is longer than an event can be.
    #[error("line {line} is no event: it is longer than {} MiB", .limit >> 20)]
    LongLine {
        /// The number of the line, from 1.
        line: u64,
        /// The longest line that is read, in bytes.
        limit: usize,
    },
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        let kind = match &error {
            ReadError::Io(_) => ErrorKind::Failure,
            ReadError::BadLine { .. } | ReadError::LongLine { .. } => ErrorKind::BadEventFile,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor, Read};

    use super::{EventReader, ReadError, Truncated};
    use crate::error::{Error, ErrorKind};

    const ONE: &str = r#"{"common":{"timestamp":1}}"#;
    const TWO: &str = r#"{"common":{"timestamp":2,"task":{"comm":"ü"}}}"#;

    /// The timestamps of all lines, and the warning.
    fn read(file: &[u8]) -> Result<(Vec<Vec<u64>>, Option<Truncated>), ReadError> {
        let mut reader = EventReader::new(BufReader::with_capacity(7, file));
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line()? {
            assert_eq!(line.number as usize, lines.len() + 1);
            lines.push(line.events.iter().map(|event| event.timestamp()).collect());
        }
        Ok((lines, reader.truncated()))
    }

    #[test]
    fn reads_events_and_series() {
        let file = format!("{ONE}\n[{ONE},{TWO}]\n{TWO}");
        assert_eq!(read(file.as_bytes()).unwrap(), (vec![vec![1], vec![1, 2], vec![2]], None));
        assert_eq!(read(b"").unwrap(), (vec![], None));
    }

    #[test]
    fn skips_a_last_line_that_is_cut_off_anywhere() {
        for end in 1..TWO.len() {
            let mut file = format!("{ONE}\n").into_bytes();
            file.extend_from_slice(&TWO.as_bytes()[..end]);
            let warning = Some(Truncated { line: 2, bytes: end });
            assert_eq!(read(&file).unwrap(), (vec![vec![1]], warning));
        }
    }

    #[test]
    fn a_bad_line_is_an_error_with_its_number() {
        let message = |file: &[u8]| {
            let error = Error::from(read(file).unwrap_err());
            assert_eq!(error.kind(), ErrorKind::BadEventFile);
            error.to_string()
        };
        let cut_off_in_the_middle = format!("{ONE}\n{}\n{ONE}\n", &TWO[..9]);
        assert_eq!(
            message(cut_off_in_the_middle.as_bytes()),
            "line 2 is no event: EOF while parsing an object at column 9"
        );
        assert_eq!(message(b"x"), "line 1 is no event: neither a JSON object nor an array of them");
        assert_eq!(message(b"{\"a\":\"\xff\"}"), "line 1 is no event: not UTF-8 from byte 7 on");
        assert_eq!(message(b"{}"), "line 1 is no event: no section `common`");
    }

    #[test]
    fn gives_up_on_a_line_without_end() {
        let endless = Cursor::new(b"{").chain(std::io::repeat(b' '));
        let error = EventReader::new(BufReader::new(endless)).next_line().unwrap_err();
        assert_eq!(error.to_string(), "line 1 is no event: it is longer than 16 MiB");
    }
}
