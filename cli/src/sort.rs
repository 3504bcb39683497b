// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer sort`: the events of a file, packet by packet.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use tracer_core::error::Error;
use tracer_core::event::line::EventLine;
use tracer_core::event::print::{EventPrinter, Format};
use tracer_core::event::section_table::SectionTable;
use tracer_core::event::sort::{EventSorter, SortedEvents};

use crate::display::DisplayArgs;
use crate::input::{InputArgs, Source};
use crate::{output, report};

/// The arguments of `tracer sort`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SortArgs {
    #[command(flatten)]
    input: InputArgs,
    /// Write a sorted event file instead of showing the events
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    display: DisplayArgs,
}

/// Runs `tracer sort`.
pub(crate) fn run(args: &SortArgs) -> anyhow::Result<()> {
    let (mut reader, source) = args.input.open()?;
    if let Some(path) = &args.out {
        output::refuse_input(path, &source)?;
    }
    let mut sorter = EventSorter::new();
    sorter.reserve(source.size());
    while let Some(line) = reader.next_line().map_err(|error| source.error(error))? {
        for event in &line.events {
            sorter.push(event).map_err(|error| source.error(line.error(error)))?;
        }
    }
    if let Some(truncated) = reader.truncated() {
        report::warning(format_args!("{}: {truncated}", source.name()));
    }
    let sorted = sorter.sort();
    match &args.out {
        Some(path) => write_file(&sorted, path, &source),
        None => show(&sorted, args, &source),
    }
}

fn write_file(sorted: &SortedEvents, path: &Path, source: &Source) -> anyhow::Result<()> {
    let mut out = output::create(path, source)?;
    write_json(sorted, &mut out).map_err(|error| output::write_error(path, error))
}

fn write_json(sorted: &SortedEvents, out: &mut impl std::io::Write) -> std::io::Result<()> {
    let mut line = Vec::new();
    for series in sorted.series() {
        line.clear();
        series.write_json(&mut line);
        out.write_all(&line)?;
    }
    out.flush()
}

fn show(sorted: &SortedEvents, args: &SortArgs, source: &Source) -> anyhow::Result<()> {
    let mut out = output::stdout(source)?;
    let options = args.display.options();
    if options.format == Format::Json {
        return Ok(write_json(sorted, &mut out)?);
    }
    let mut printer = EventPrinter::new(options, SectionTable::registered()?);
    let mut text = String::new();
    for series in sorted.series() {
        text.clear();
        let events = series.events().map(EventLine::parse).collect::<Result<Vec<_>, _>>()?;
        printer.series(&events, &mut text).map_err(|error| source.error(Error::from(error)))?;
        out.write_all(text.as_bytes())?;
    }
    Ok(out.flush()?)
}
