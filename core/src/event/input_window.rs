// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The part of an input that is in memory.

use std::io::{self, ErrorKind, Read};

/// What the window holds at first, in bytes. It grows when a single event needs more.
const SIZE: usize = 256 << 10;

/// Reads an input in large pieces and gives access to what was read and not yet consumed. The end of the input is not final:
/// more can be written to a file while it is read.
#[derive(Debug)]
pub(super) struct InputWindow<R> {
    input: R,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Where in the input `start` is.
    offset: u64,
}

impl<R: Read> InputWindow<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, bytes: vec![0; SIZE], start: 0, end: 0, offset: 0 }
    }

    /// What was read and not yet consumed.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The offset in the input, in bytes, of what comes next.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes on by `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
        debug_assert!(self.start <= self.end, "only what was read can be consumed");
    }

    /// The last `count` bytes that were consumed. They are there until more is read.
    pub(super) fn consumed(&self, count: usize) -> &[u8] {
        &self.bytes[self.start - count..self.start]
    }

    /// Reads more; false at the end of the input, for now.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        if self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.bytes.len() {
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
        }
        loop {
            match self.input.read(&mut self.bytes[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next byte, or `None` at the end of the input.
    pub(super) fn peek(&mut self) -> io::Result<Option<u8>> {
        if self.start == self.end && !self.fill()? {
            return Ok(None);
        }
        Ok(Some(self.bytes[self.start]))
    }
}
