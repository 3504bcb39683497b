// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer print`: the events of a file, in its order.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use tracer_core::error::Error;
use tracer_core::event::print::{EventPrinter, PrintError};
use tracer_core::event::reader::EventReader;
use tracer_core::event::section_table::SectionTable;

use crate::display::DisplayArgs;
use crate::follow;
use crate::input::{InputArgs, Source};
use crate::output;
use crate::progress::Progress;

/// The arguments of `tracer print`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PrintArgs {
    #[command(flatten)]
    input: InputArgs,
    /// When the file ends, wait for more, until Ctrl-C; a file that takes its place is shown too, as with `tail -F`
    #[arg(short = 'F', long)]
    follow: bool,
    #[command(flatten)]
    display: DisplayArgs,
}

/// Shows events on standard output.
pub(crate) struct Shown<'a> {
    source: &'a Source,
    printer: EventPrinter,
    text: String,
    out: &'a RefCell<BufWriter<File>>,
    count: u64,
}

/// A file, and standard output, which has shown all events from it when more is waited for.
pub(crate) struct TiedFile<'a> {
    file: File,
    out: &'a RefCell<BufWriter<File>>,
}

/// Runs `tracer print`.
pub(crate) fn run(args: &PrintArgs) -> anyhow::Result<()> {
    let (file, source) = args.input.open()?;
    let printer = EventPrinter::new(args.display.options(), SectionTable::registered()?);
    let out = output::stdout(&source)?;
    // The end of a pipe is final.
    let follow = args.follow && !source.is_live();
    let out_of_sight = output::is_out_of_sight(&out);
    let progress = if out_of_sight { Progress::bytes("reading", source.size()) } else { Progress::none() };
    let out = RefCell::new(out);
    let mut shown = Shown { source: &source, printer, text: String::new(), out: &out, count: 0 };
    if follow {
        return follow::show(file, &source, &mut shown);
    }
    let mut reader = shown.reader(file);
    let read = shown.all(&mut reader, progress, &AtomicBool::new(false));
    shown.end()?;
    read?;
    source.report_end(reader.truncated(), shown.count == 0);
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
        EventReader::new(TiedFile { file, out: self.out })
    }

    /// Shows what there is to read, until `stop` is set.
    pub(crate) fn all(
        &mut self,
        reader: &mut EventReader<TiedFile<'_>>,
        mut progress: Progress,
        stop: &AtomicBool,
    ) -> anyhow::Result<()> {
        while !stop.load(Ordering::Relaxed)
            && let Some(event) = reader.next_event().map_err(|error| self.source.error(error))?
        {
            self.text.clear();
            self.printer.file_event(&event, &mut self.text).map_err(|error| match error {
                PrintError::Event(error) => self.source.error(event.error(error)),
                error @ PrintError::Clock(_) => self.source.error(Error::from(error)),
            })?;
            self.out.borrow_mut().write_all(self.text.as_bytes()).map_err(output::stdout_error)?;
            self.count += 1;
            progress.at(reader.offset());
        }
        Ok(())
    }

    /// Ends what was begun, wherever reading has ended. What could not be written while more was read fails here again.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        self.text.clear();
        self.printer.end(&mut self.text);
        let mut out = self.out.borrow_mut();
        out.write_all(self.text.as_bytes()).and_then(|()| out.flush()).map_err(output::stdout_error)
    }
}
