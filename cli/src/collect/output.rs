// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where collected events go: a file, standard output, or both.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tracer_core::event::core_sections::{CommonSection, StartupSection};
use tracer_core::event::json::EventJson;
use tracer_core::event::line::EventLine;
use tracer_core::event::print::EventPrinter;
use tracer_core::event::section_table::SectionTable;
use tracer_core::session::{Sink, now};

use super::arguments::CollectArgs;
use super::stream::EventStream;
use crate::{output, report};

/// Writes events to where the user wants them.
pub(super) struct EventOutput {
    path: Option<PathBuf>,
    /// Of the path. `None`: it is made when there is something to write.
    file: Option<EventStream>,
    shown: Option<Shown>,
    /// Why events are no longer shown beside the file.
    not_shown: Option<io::Error>,
}

/// Events on standard output.
struct Shown {
    printer: EventPrinter,
    text: String,
    out: EventStream,
}

impl EventOutput {
    /// Finds out whether the file can be written, before anything else happens. Until collection begins nothing is written, so
    /// that a failure leaves a file as it was, and no file where none was.
    pub(super) fn open(args: &CollectArgs) -> anyhow::Result<Self> {
        let path = args.out.clone();
        let file = path.as_deref().map(output::open_existing).transpose()?.flatten().map(EventStream::new);
        let shown = if path.is_none() || args.print {
            let stdout = io::stdout().as_fd().try_clone_to_owned().context("cannot write to standard output")?;
            Some(Shown {
                printer: EventPrinter::new(args.display.options(), SectionTable::registered()?),
                text: String::new(),
                out: EventStream::new(File::from(stdout)),
            })
        } else {
            None
        };
        Ok(Self { path, file, shown, not_shown: None })
    }

    /// Whether standard output is where events are seen.
    pub(super) fn is_shown(&self) -> bool {
        self.shown.is_some()
    }

    /// Writes the first event of every file.
    pub(super) fn startup(&mut self, startup: &StartupSection<'_>) -> anyhow::Result<()> {
        let mut json = EventJson::new();
        json.begin();
        json.section(&CommonSection { timestamp: now(), smp_id: None, task: None })?;
        json.section(startup)?;
        if let (Some(path), None) = (&self.path, &self.file) {
            self.file = Some(EventStream::new(output::open(path)?));
        }
        let emptied = self.file.as_ref().map_or(Ok(()), |stream| output::empty(stream.file()));
        let written = emptied.and_then(|()| self.event(json.finish())).and_then(|()| self.flush());
        written.map_err(|error| self.error(error))
    }

    /// Writes what is still in memory.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if let (Some(path), Some(stream)) = (&self.path, &mut self.file) {
            stream.finish()?;
            warn_when_moved(path, stream.file());
        }
        self.flush()
    }

    /// An error of writing, with what was written to.
    pub(super) fn error(&self, error: io::Error) -> anyhow::Error {
        match &self.path {
            Some(path) if error.kind() != io::ErrorKind::BrokenPipe => output::write_error(path, error),
            _ => anyhow::Error::new(error).context("cannot write events"),
        }
    }
}

impl Sink for EventOutput {
    fn event(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(stream) = &mut self.file else {
            return self.shown.as_mut().map_or(Ok(()), |shown| shown.event(line));
        };
        stream.event(line)?;
        // The event is in the file, so this is not its failure; flush() tells it.
        if let Some(Err(error)) = self.shown.as_mut().map(|shown| shown.event(line)) {
            self.shown = None;
            self.not_shown = Some(error);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(stream) = &mut self.file {
            stream.flush()?;
        }
        if let Some(error) = self.not_shown.take() {
            return Err(error);
        }
        self.shown.as_mut().map_or(Ok(()), |shown| shown.out.flush())
    }

    fn take_unwritten(&mut self) -> usize {
        match (&mut self.file, &mut self.shown) {
            (Some(stream), _) => stream.take_unwritten(),
            (None, Some(shown)) => shown.out.take_unwritten(),
            (None, None) => 0,
        }
    }
}

impl Shown {
    fn event(&mut self, line: &[u8]) -> io::Result<()> {
        let line = std::str::from_utf8(line).map_err(io::Error::other)?;
        let event = EventLine::parse(line.trim_end()).map_err(io::Error::other)?;
        self.text.clear();
        self.printer.event(&event, &mut self.text).map_err(io::Error::other)?;
        self.out.event(self.text.as_bytes())
    }
}

/// Says that events are not, or not only, where the user will look for them.
fn warn_when_moved(path: &Path, file: &File) {
    let Ok(written) = file.metadata() else { return };
    let is_there = fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (written.dev(), written.ino()));
    if written.is_file() && !is_there {
        let what = if written.nlink() == 0 { "deleted: its events are gone" } else { "moved: its events are there" };
        report::warning(format_args!("`{}` was {what}", path.display()));
    }
}
