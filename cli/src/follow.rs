// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer print --follow`: waiting for what is still being written to a file.
//!
//! The file is looked at a few times a second: that works on every file system, also where the kernel does not tell about
//! changes.

use std::fs::{self, File, Metadata};
use std::io::{self, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tracer_core::event::reader::EventReader;

use crate::input::Source;
use crate::print::{Shown, TiedFile};
use crate::progress::Progress;
use crate::report;

const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// How much of a file's beginning is remembered, in bytes: enough to tell one startup event from another.
const BEGINNING: usize = 256;

/// What became of the file since it was last looked at, other than that it may have grown.
enum Change {
    Nothing,
    /// It was emptied, and may have been written anew.
    Emptied,
    /// Another file has its name.
    Replaced(File),
}

/// A file that is followed by its name, if it has one.
struct Followed<'a> {
    source: &'a Source,
    file: File,
    beginning: Vec<u8>,
    is_gone: bool,
}

/// Shows all events and then those that come, until a signal comes or nobody reads the output any more.
pub(crate) fn show(file: File, source: &Source, shown: &mut Shown<'_>) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one does not wait until the output can be written.
        flag::register_conditional_shutdown(signal, 0, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen to signals")?;
    }
    let read = show_until(&stop, file, source, shown);
    shown.end()?;
    read?;
    shown.report_end();
    Ok(())
}

fn show_until(stop: &AtomicBool, file: File, source: &Source, shown: &mut Shown<'_>) -> anyhow::Result<()> {
    let failed = || format!("cannot read {}", source.name());
    let mut followed = Followed { source, file, beginning: Vec::new(), is_gone: false };
    let mut reader = followed.reader(shown).with_context(failed)?;
    loop {
        let read = shown.all(&mut reader, Progress::none(), stop);
        if stop.load(Ordering::Relaxed) || read.is_ok() && !wait_and_see_reader()? {
            return read;
        }
        match followed.look().with_context(failed)? {
            Change::Nothing => {
                read?;
                continue;
            }
            // While it was read, perhaps: then it was no event where the old file went on.
            Change::Emptied => {
                report::warning(format_args!("{} was emptied; what is new in it follows", source.name()))
            }
            Change::Replaced(file) => {
                read?;
                // Since it was last read, more may have been written to the old one.
                shown.all(&mut reader, Progress::none(), stop)?;
                followed.file = file;
                report::warning(format_args!("{} is another file now, which follows", source.name()));
            }
        }
        source.report_end(reader.truncated(), false);
        reader = followed.reader(shown).with_context(failed)?;
    }
}

impl Followed<'_> {
    /// Reads the file from its beginning.
    fn reader<'s>(&mut self, shown: &Shown<'s>) -> io::Result<EventReader<TiedFile<'s>>> {
        self.file.rewind()?;
        self.beginning = self.read_beginning()?;
        // Both handles have the same position.
        Ok(shown.reader(self.file.try_clone()?))
    }

    fn look(&mut self) -> io::Result<Change> {
        let now = self.file.metadata()?;
        match self.other_file(&now) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !self.is_gone {
                    report::warning(format_args!("{} is gone; a new one is waited for", self.source.name()));
                }
                self.is_gone = true;
            }
            Err(error) => return Err(error),
            Ok(None) => self.is_gone = false,
            Ok(Some(file)) => {
                self.is_gone = false;
                return Ok(Change::Replaced(file));
            }
        }
        let beginning = self.read_beginning()?;
        let emptied = now.len() < self.file.stream_position()? || !beginning.starts_with(&self.beginning);
        self.beginning = beginning;
        Ok(if emptied { Change::Emptied } else { Change::Nothing })
    }

    /// Another file than the one that is followed, if it has its name now.
    fn other_file(&self, followed: &Metadata) -> io::Result<Option<File>> {
        let Some(path) = self.source.path() else {
            return Ok(None);
        };
        let named = fs::metadata(path)?;
        // Opening a pipe would wait for its writer.
        if !named.is_file() || (named.dev(), named.ino()) == (followed.dev(), followed.ino()) {
            return Ok(None);
        }
        File::open(path).map(Some)
    }

    fn read_beginning(&self) -> io::Result<Vec<u8>> {
        let mut beginning = vec![0; BEGINNING];
        let read = self.file.read_at(&mut beginning, 0)?;
        beginning.truncate(read);
        Ok(beginning)
    }
}

/// Waits a moment, or until a signal comes; false when nobody can read standard output any more.
fn wait_and_see_reader() -> anyhow::Result<bool> {
    let stdout = io::stdout();
    let mut descriptors = [PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())];
    match poll(&mut descriptors, Some(&LOOK_EVERY)) {
        Ok(_) => Ok(!descriptors[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)),
        Err(Errno::INTR) => Ok(true),
        Err(error) => Err(io::Error::from(error)).context("cannot wait for events"),
    }
}
