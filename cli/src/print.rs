// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer print`: the events of a file, in its order.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write as _};

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
    out: BufWriter<File>,
    count: u64,
}

/// Runs `tracer print`.
pub(crate) fn run(args: &PrintArgs) -> anyhow::Result<()> {
    let (file, source) = args.input.open()?;
    let printer = EventPrinter::new(args.display.options(), SectionTable::registered()?);
    let out = output::stdout(&source)?;
    // The end of a pipe is final.
    let follow = args.follow && !source.is_live();
    let mut progress = match source.size() {
        Some(size) if !follow && !out.get_ref().is_terminal() => Progress::bytes("reading", Some(size)),
        _ => Progress::none(),
    };
    let mut shown = Shown { source: &source, printer, text: String::new(), out, count: 0 };
    if follow {
        return follow::show(file, &source, &mut shown);
    }
    let mut reader = EventReader::new(file);
    let read = shown.all(&mut reader, &mut progress);
    drop(progress);
    shown.end()?;
    read?;
    source.report_end(reader.truncated(), shown.count == 0);
    Ok(())
}

impl Shown<'_> {
    /// Shows what there is to read.
    pub(crate) fn all(&mut self, reader: &mut EventReader<File>, progress: &mut Progress) -> anyhow::Result<()> {
        while let Some(event) = reader.next_event().map_err(|error| self.source.error(error))? {
            self.text.clear();
            self.printer.file_event(&event, &mut self.text).map_err(|error| match error {
                PrintError::Event(error) => self.source.error(event.error(error)),
                error @ PrintError::Clock(_) => self.source.error(Error::from(error)),
            })?;
            self.out.write_all(self.text.as_bytes())?;
            self.count += 1;
            // Who waits for the next event shall have seen this one.
            if reader.may_wait() {
                self.out.flush()?;
            }
            progress.at(reader.offset());
        }
        Ok(())
    }

    /// Ends what was begun, wherever reading has ended.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        self.text.clear();
        self.printer.end(&mut self.text);
        self.out.write_all(self.text.as_bytes())?;
        Ok(self.out.flush()?)
    }
}
