// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer sort`: the events of a file, packet by packet.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use tracer_core::error::Error;
use tracer_core::event::json::SeriesJson;
use tracer_core::event::print::{EventPrinter, Format};
use tracer_core::event::reader::EventReader;
use tracer_core::event::section_table::SectionTable;
use tracer_core::event::sort::{EventSorter, SortError};
use tracer_core::event::sorted_events::SortedEvents;

use crate::display::DisplayArgs;
use crate::filter::{EventFilter, FilterArgs};
use crate::input::{InputArgs, Source};
use crate::memory::MemoryArgs;
use crate::output;
use crate::progress::Progress;

/// The arguments of `tracer sort`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SortArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Write a sorted event file instead of showing the events
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    display: DisplayArgs,
}

/// Runs `tracer sort`.
pub(crate) fn run(args: &SortArgs) -> anyhow::Result<()> {
    let filter = args.filter.compile()?;
    let (file, source) = args.input.open()?;
    if let Some(path) = &args.out {
        output::refuse_input(path, &source)?;
    }
    let folder = args.memory.folder()?;
    let sorter = read(file, &source, filter, EventSorter::new(args.memory.memory, &folder))?;
    let mut progress = Progress::events("sorting", sorter.count());
    let sections = SectionTable::registered()?;
    let sorted = sorter.sort(sections, |done| progress.at(done)).map_err(Error::from)?;
    drop(progress);
    let progress = Progress::events("writing", sorted.count());
    let sorted = Output { events: sorted, progress };
    match &args.out {
        Some(path) => write_file(sorted, path, &source),
        None => show(sorted, args, &source),
    }
}

fn read(
    file: File,
    source: &Source,
    mut filter: Option<EventFilter>,
    mut sorter: EventSorter,
) -> anyhow::Result<EventSorter> {
    if filter.is_some() {
        sorter = sorter.only_matching();
    }
    let mut progress = Progress::bytes("reading", source.size());
    let mut reader = EventReader::new(file);
    let mut is_empty = true;
    while let Some(event) = reader.next_event().map_err(|error| source.error(error))? {
        is_empty = false;
        let matches = match &mut filter {
            Some(filter) => filter.matches(&event.event).map_err(|error| source.error(event.error(error)))?,
            None => true,
        };
        sorter.push(&event.event, matches).map_err(|error| match error {
            SortError::Event(error) => source.error(event.error(error)),
            error => Error::from(error).into(),
        })?;
        progress.at(reader.offset());
    }
    drop(progress);
    source.report_end(reader.truncated(), is_empty);
    if let Some(filter) = filter {
        filter.report_end(source);
    }
    Ok(sorter)
}

/// Sorted events on their way out.
struct Output {
    events: SortedEvents,
    progress: Progress,
}

fn write_file(sorted: Output, path: &Path, source: &Source) -> anyhow::Result<()> {
    let mut out = output::create(path, source)?;
    write_json(sorted, &mut out, |error| output::write_error(path, error))
}

fn write_json(
    mut sorted: Output,
    out: &mut BufWriter<File>,
    failed: impl Fn(io::Error) -> anyhow::Error,
) -> anyhow::Result<()> {
    let mut json = SeriesJson::default();
    let mut text = String::new();
    let mut count = 0;
    while let Some(event) = sorted.events.next_event().map_err(Error::from)? {
        text.clear();
        json.separate(event.place.idx, &mut text);
        event.write_json(&mut text);
        out.write_all(text.as_bytes()).map_err(&failed)?;
        count += 1;
        sorted.progress.at(count);
    }
    text.clear();
    json.end(&mut text);
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(&failed)
}

fn show(mut sorted: Output, args: &SortArgs, source: &Source) -> anyhow::Result<()> {
    let mut out = output::stdout(source)?;
    if !output::is_out_of_sight(&out) {
        sorted.progress = Progress::none();
    }
    let options = args.display.options();
    if options.format == Format::Json {
        return write_json(sorted, &mut out, output::stdout_error);
    }
    let mut printer = EventPrinter::new(options, SectionTable::registered()?);
    let mut text = String::new();
    let mut count = 0;
    while let Some(event) = sorted.events.next_event().map_err(Error::from)? {
        text.clear();
        let verdict = event.verdict.as_ref().map(|verdict| &*verdict.text);
        printer
            .series_event(&event.event, event.place, verdict, &mut text)
            .map_err(|error| source.error(Error::from(error)))?;
        out.write_all(text.as_bytes()).map_err(output::stdout_error)?;
        count += 1;
        sorted.progress.at(count);
    }
    out.flush().map_err(output::stdout_error)
}
