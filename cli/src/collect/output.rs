// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where collected events go: a file, standard output, or both.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use anyhow::Context as _;
use tracer_core::event::core_sections::{CommonSection, StartupSection};
use tracer_core::event::json::EventJson;
use tracer_core::event::line::EventLine;
use tracer_core::event::print::EventPrinter;
use tracer_core::event::section_table::SectionTable;
use tracer_core::session::{Sink, now};

use super::arguments::CollectArgs;
use crate::output;

const BUFFER: usize = 256 << 10;

/// Writes events to where the user wants them.
pub(super) struct EventOutput {
    file: Option<(PathBuf, BufWriter<File>)>,
    shown: Option<Shown>,
}

/// Events on standard output.
struct Shown {
    printer: EventPrinter,
    text: String,
    out: BufWriter<File>,
}

impl EventOutput {
    /// Opens the file, so that a name that can't be written is found before anything else happens. What it holds stays until
    /// collection begins.
    pub(super) fn open(args: &CollectArgs) -> anyhow::Result<Self> {
        let file = match &args.out {
            None => None,
            Some(path) => Some((path.clone(), BufWriter::with_capacity(BUFFER, output::open(path)?))),
        };
        let shown = if file.is_none() || args.print {
            let stdout = io::stdout().as_fd().try_clone_to_owned().context("cannot write to standard output")?;
            Some(Shown {
                printer: EventPrinter::new(args.display.options(), SectionTable::registered()?),
                text: String::new(),
                out: BufWriter::with_capacity(BUFFER, File::from(stdout)),
            })
        } else {
            None
        };
        Ok(Self { file, shown })
    }

    /// Writes the first event of every file.
    pub(super) fn startup(&mut self, startup: &StartupSection<'_>) -> anyhow::Result<()> {
        let mut json = EventJson::new();
        json.begin();
        json.section(&CommonSection { timestamp: now(), smp_id: None, task: None })?;
        json.section(startup)?;
        let emptied = self.file.as_ref().map_or(Ok(()), |(_, file)| output::empty(file.get_ref()));
        let written = emptied.and_then(|()| self.event(json.finish())).and_then(|()| self.flush());
        written.map_err(|error| self.error(error))
    }

    /// Writes what is still in memory.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }

    /// An error of writing, with what was written to.
    pub(super) fn error(&self, error: io::Error) -> anyhow::Error {
        match &self.file {
            Some((path, _)) if error.kind() != io::ErrorKind::BrokenPipe => output::write_error(path, error),
            _ => anyhow::Error::new(error).context("cannot write events"),
        }
    }
}

impl Sink for EventOutput {
    fn event(&mut self, line: &[u8]) -> io::Result<()> {
        if let Some((_, file)) = &mut self.file {
            file.write_all(line)?;
        }
        match &mut self.shown {
            Some(shown) => shown.event(line),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some((_, file)) = &mut self.file {
            file.flush()?;
        }
        match &mut self.shown {
            Some(shown) => shown.out.flush(),
            None => Ok(()),
        }
    }
}

impl Shown {
    fn event(&mut self, line: &[u8]) -> io::Result<()> {
        let line = std::str::from_utf8(line).map_err(io::Error::other)?;
        let event = EventLine::parse(line.trim_end()).map_err(io::Error::other)?;
        self.text.clear();
        self.printer.event(&event, &mut self.text).map_err(io::Error::other)?;
        self.out.write_all(self.text.as_bytes())
    }
}
