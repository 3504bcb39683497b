// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer print`: the events of a file, in its order.

use std::cell::RefCell;
use std::env;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use tracer_core::error::Error;
use tracer_core::event::print::{EventPrinter, PrintError};
use tracer_core::event::reader::{EventReader, FileEvent};
use tracer_core::event::section_table::SectionTable;
use tracer_core::event::selection::{Selection, SelectionError};

use crate::display::DisplayArgs;
use crate::filter::{EventFilter, FilterArgs};
use crate::follow;
use crate::input::{InputArgs, Source};
use crate::output;
use crate::progress::Progress;

/// The arguments of `tracer print`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PrintArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// When the file ends, wait for more, until Ctrl-C; a file that takes its place is shown too, as with `tail -F`
    #[arg(short = 'F', long)]
    follow: bool,
    #[command(flatten)]
    display: DisplayArgs,
}

/// Shows events on standard output, those that are wanted.
pub(crate) struct Shown<'a> {
    filter: Option<(EventFilter, Selection)>,
    screen: Screen<'a>,
    is_empty: bool,
}

/// Standard output, as events are written to it.
struct Screen<'a> {
    source: &'a Source,
    printer: EventPrinter,
    text: String,
    out: &'a RefCell<BufWriter<File>>,
}

/// A file, and standard output, which has shown all events from it when more is waited for.
pub(crate) struct TiedFile<'a> {
    file: File,
    out: &'a RefCell<BufWriter<File>>,
}

/// Runs `tracer print`.
pub(crate) fn run(args: &PrintArgs) -> anyhow::Result<()> {
    let filter = args.filter.compile()?.map(|filter| (filter, Selection::new(&env::temp_dir())));
    let (file, source) = args.input.open()?;
    let printer = EventPrinter::new(args.display.options(), SectionTable::registered()?);
    let out = output::stdout(&source)?;
    // The end of a pipe is final.
    let follow = args.follow && !source.is_live();
    let out_of_sight = output::is_out_of_sight(&out);
    let progress = if out_of_sight { Progress::bytes("reading", source.size()) } else { Progress::none() };
    let out = RefCell::new(out);
    let screen = Screen { source: &source, printer, text: String::new(), out: &out };
    let mut shown = Shown { filter, screen, is_empty: true };
    if follow {
        return follow::show(file, &source, &mut shown);
    }
    let mut reader = shown.reader(file);
    let read = shown.all(&mut reader, progress, &AtomicBool::new(false));
    shown.end()?;
    read?;
    source.report_end(reader.truncated(), shown.is_empty);
    shown.report_end();
    Ok(())
}

impl Read for TiedFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.out.borrow_mut().flush()?;
        self.file.read(buffer)
    }
}

impl<'a> Shown<'a> {
    /// A reader of `file`, the events of which are to be shown.
    pub(crate) fn reader(&self, file: File) -> EventReader<TiedFile<'a>> {
        EventReader::new(TiedFile { file, out: self.screen.out })
    }

    /// Shows what there is to read, until `stop` is set.
    pub(crate) fn all(
        &mut self,
        reader: &mut EventReader<TiedFile<'_>>,
        mut progress: Progress,
        stop: &AtomicBool,
    ) -> anyhow::Result<()> {
        while !stop.load(Ordering::Relaxed)
            && let Some(event) = reader.next_event().map_err(|error| self.screen.source.error(error))?
        {
            self.is_empty = false;
            match &mut self.filter {
                Some((filter, selection)) => self.screen.write_selected(&event, filter, selection)?,
                None => self.screen.write(&event)?,
            }
            progress.at(reader.offset());
        }
        Ok(())
    }

    /// Ends what was begun, wherever reading has ended. What could not be written while more was read fails here again.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        self.screen.end()
    }

    /// Tells the user when there was nothing that the filter could look at.
    pub(crate) fn report_end(&self) {
        if let Some((filter, _)) = &self.filter {
            filter.report_end(self.screen.source);
        }
    }
}

impl Screen<'_> {
    /// Writes an event if it passes the filter, and before it those of its series that were held back until then.
    fn write_selected(
        &mut self,
        event: &FileEvent<'_>,
        filter: &mut EventFilter,
        selection: &mut Selection,
    ) -> anyhow::Result<()> {
        let matches = filter.matches(&event.event).map_err(|error| self.source.error(event.error(error)))?;
        let passes = selection.passes(event, matches).map_err(|error| match error {
            SelectionError::Event(error) => self.source.error(event.error(error)),
            error => Error::from(error).into(),
        })?;
        if passes {
            while let Some(held) = selection.next_held().map_err(Error::from)? {
                self.write(&held)?;
            }
            self.write(event)?;
        }
        Ok(())
    }

    fn write(&mut self, event: &FileEvent<'_>) -> anyhow::Result<()> {
        self.text.clear();
        self.printer.file_event(event, &mut self.text).map_err(|error| match error {
            PrintError::Event(error) => self.source.error(event.error(error)),
            error @ PrintError::Clock(_) => self.source.error(Error::from(error)),
        })?;
        self.out.borrow_mut().write_all(self.text.as_bytes()).map_err(output::stdout_error)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        self.text.clear();
        self.printer.end(&mut self.text);
        let mut out = self.out.borrow_mut();
        out.write_all(self.text.as_bytes()).and_then(|()| out.flush()).map_err(output::stdout_error)
    }
}
