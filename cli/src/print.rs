// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer print`: the events of a file, in its order.

use std::io::Write as _;

use clap::Args;
use tracer_core::error::Error;
use tracer_core::event::print::{EventPrinter, PrintError};
use tracer_core::event::section_table::SectionTable;

use crate::display::DisplayArgs;
use crate::input::InputArgs;
use crate::{output, report};

/// The arguments of `tracer print`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PrintArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    display: DisplayArgs,
}

/// Runs `tracer print`.
pub(crate) fn run(args: &PrintArgs) -> anyhow::Result<()> {
    let (mut reader, source) = args.input.open()?;
    let mut out = output::stdout(&source)?;
    let mut printer = EventPrinter::new(args.display.options(), SectionTable::registered()?);
    let mut text = String::new();
    while let Some(line) = reader.next_line().map_err(|error| source.error(error))? {
        text.clear();
        printer.line(&line, &mut text).map_err(|error| match error {
            PrintError::Event(error) => source.error(line.error(error)),
            error @ PrintError::Clock(_) => source.error(Error::from(error)),
        })?;
        out.write_all(text.as_bytes())?;
        if source.is_live() {
            out.flush()?;
        }
    }
    out.flush()?;
    if let Some(truncated) = reader.truncated() {
        report::warning(format_args!("{}: {truncated}", source.name()));
    }
    Ok(())
}
