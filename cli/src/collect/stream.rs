// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Events on their way to a file, a pipe or a terminal: whole ones, whatever happens to the writing.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;

const BUFFER: usize = 256 << 10;

/// A buffer of whole events before a file descriptor.
pub(super) struct EventStream {
    file: File,
    buffer: Vec<u8>,
    /// Where each event in the buffer ends.
    ends: Vec<usize>,
    /// Events that were taken, and lost when writing failed.
    unwritten: usize,
}

impl EventStream {
    pub(super) fn new(file: File) -> Self {
        Self { file, buffer: Vec::with_capacity(BUFFER), ends: Vec::new(), unwritten: 0 }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Takes an event, or a text that is to be whole, and writes what there is when it is much.
    pub(super) fn event(&mut self, event: &[u8]) -> io::Result<()> {
        if self.buffer.len() + event.len() > BUFFER {
            self.flush()?;
        }
        self.buffer.extend_from_slice(event);
        self.ends.push(self.buffer.len());
        Ok(())
    }

    /// Writes all that was taken. When that fails, what was written of an event that is not whole is taken back from the file.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let (written, result) = write(&mut self.file, &self.buffer);
        if result.is_err() {
            let whole = self.ends.partition_point(|&end| end <= written);
            let end = whole.checked_sub(1).map_or(0, |last| self.ends[last]);
            self.unwritten += self.ends.len() - whole;
            // When this fails too, readers skip the part of an event at the end. The first error is the one to tell.
            let _ = take_back(&mut self.file, (written - end) as u64);
        }
        self.buffer.clear();
        self.ends.clear();
        result
    }

    /// Events that [`EventStream::event`] took and that were not written since this was last asked.
    pub(super) fn take_unwritten(&mut self) -> usize {
        std::mem::take(&mut self.unwritten)
    }

    /// Writes all that was taken, and sees that it arrives: some file systems tell only now that there is no room for it.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        if self.file.metadata()?.is_file() { self.file.sync_all() } else { Ok(()) }
    }
}

/// Writes `bytes` and says how many of them were, also on failure. Waits where a descriptor does not (O_NONBLOCK is a property
/// of what it stands for: another process may have set it on our standard output).
fn write(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
                // SAFETY: `poll` is one entry, as said, and writable. Whatever comes out of it, writing is tried again.
                unsafe { libc::poll(&raw mut poll, 1, -1) };
            }
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Takes back the last `count` bytes that were written to a file. Only where nobody else has written behind them.
fn take_back(file: &mut File, count: u64) -> io::Result<()> {
    let metadata = file.metadata()?;
    if count == 0 || !metadata.is_file() {
        return Ok(());
    }
    let end = file.stream_position()?;
    if metadata.len() == end && count <= end {
        file.set_len(end - count)?;
        file.seek(SeekFrom::Start(end - count))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::io::{Read as _, Write as _};
    use std::os::fd::{AsRawFd as _, OwnedFd};

    use super::{EventStream, take_back};

    #[test]
    fn a_full_device_is_told_and_what_it_did_not_take_is_counted() {
        let mut stream = EventStream::new(OpenOptions::new().write(true).open("/dev/full").unwrap());
        stream.event(b"one\n").unwrap();
        stream.event(b"two\n").unwrap();
        assert_eq!(stream.flush().unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(stream.take_unwritten(), 2);
        assert_eq!(stream.take_unwritten(), 0);
        stream.flush().unwrap();
    }

    #[test]
    fn a_part_of_an_event_is_taken_back() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        take_back(&mut file, 2).unwrap();
        file.write_all(b"three\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\nthree\n");
    }

    #[test]
    fn what_others_wrote_behind_is_left_alone() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let mut file = File::create(&path).unwrap();
        file.write_all(b"tw").unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"other").unwrap();
        take_back(&mut file, 2).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"twother");
    }

    #[test]
    fn waits_for_a_pipe_that_does_not_block() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let writer = OwnedFd::from(writer);
        // SAFETY: the descriptor is open, and the flag is one of its kind.
        assert_eq!(unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }, 0);
        let mut stream = EventStream::new(File::from(writer));
        let events = 100_000;
        let reading = std::thread::spawn(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).map(|_| read)
        });
        for _ in 0..events {
            stream.event(b"0123456789\n").unwrap();
        }
        stream.flush().unwrap();
        drop(stream);
        assert_eq!(reading.join().unwrap().unwrap().len(), events * 11);
    }
}
