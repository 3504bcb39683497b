// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer stats`: what is in an event file, in numbers.

mod text;

use std::env;
use std::fs::File;

use clap::{Args, ValueEnum};
use tracer_core::error::Error;
use tracer_core::event::line::EventLine;
use tracer_core::event::reader::{EventReader, FileEvent};
use tracer_core::event::section_table::SectionTable;
use tracer_core::event::selection::{Selection, SelectionError};
use tracer_core::event::statistics::{StatisticsBuilder, StatisticsError};

use crate::filter::FilterArgs;
use crate::input::{InputArgs, Source};
use crate::memory::MemoryArgs;
use crate::output;
use crate::packet_bytes::PacketBytes;
use crate::progress::Progress;

/// The arguments of `tracer stats`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// How many flows, probes, drops and losses are shown, those with the most. In JSON, it bounds the flows only
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    top: u32,
    /// The form in which the numbers are shown
    #[arg(long, value_enum, default_value_t)]
    format: FormatName,
    #[command(flatten)]
    memory: MemoryArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum FormatName {
    /// Tables
    #[default]
    Text,
    /// For programs: one JSON object, see docs/stats.md
    Json,
}

/// Runs `tracer stats`.
pub(crate) fn run(args: &StatsArgs) -> anyhow::Result<()> {
    let mut filter = args.filter.compile()?.map(|filter| (filter, Selection::new(&env::temp_dir())));
    let (file, source) = args.input.open()?;
    let mut counter = Counter {
        builder: StatisticsBuilder::new(args.memory.memory, &args.memory.folder()?, SectionTable::registered()?),
        bytes: PacketBytes::default(),
        source: &source,
    };
    let mut progress = Progress::bytes("reading", source.size());
    let mut reader: EventReader<File> = EventReader::new(file);
    let mut is_empty = true;
    while let Some(event) = reader.next_event().map_err(|error| source.error(error))? {
        is_empty = false;
        match &mut filter {
            None => counter.add(&event)?,
            Some((filter, selection)) => {
                let matches = filter.matches(&event.event).map_err(|error| source.error(event.error(error)))?;
                let passes = selection.passes(&event, matches).map_err(|error| match error {
                    SelectionError::Event(error) => source.error(event.error(error)),
                    error => Error::from(error).into(),
                })?;
                if passes {
                    while let Some(held) = selection.next_held().map_err(Error::from)? {
                        counter.add(&held)?;
                    }
                    counter.add(&event)?;
                }
            }
        }
        progress.at(reader.offset());
    }
    drop(progress);
    let statistics = counter.builder.finish(args.top as usize).map_err(Error::from)?;
    let shown = match args.format {
        FormatName::Json => format!("{}\n", serde_json::to_string_pretty(&statistics)?),
        FormatName::Text => text::text(&statistics, args.top as usize),
    };
    output::print(&shown)?;
    source.report_end(reader.truncated(), is_empty);
    if let Some((filter, _)) = &filter {
        filter.report_end(&source);
    }
    Ok(())
}

/// Hands events over to be counted.
struct Counter<'a> {
    builder: StatisticsBuilder,
    bytes: PacketBytes,
    source: &'a Source,
}

impl Counter<'_> {
    fn add(&mut self, event: &FileEvent<'_>) -> anyhow::Result<()> {
        let bytes = self.read_bytes(&event.event);
        let bytes = bytes.map(|length| (self.bytes.data(), length));
        self.builder.add(&event.event, bytes).map_err(|error| match error {
            StatisticsError::Event(error) => self.source.error(event.error(error)),
            error => Error::from(error).into(),
        })
    }

    /// The packet's length, if its bytes can be read: that they can't is no reason to count nothing.
    fn read_bytes(&mut self, event: &EventLine<'_>) -> Option<u32> {
        self.bytes.read(event).ok().flatten()
    }
}
