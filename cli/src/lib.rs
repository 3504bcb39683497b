// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program `tracer`: its arguments, its output, its exit codes. The only crate that prints.
//!
//! It knows no collector: the binary that calls [`main`] decides which are linked in.

mod collect;
mod display;
mod filter;
mod follow;
mod input;
mod inspect;
mod memory;
mod output;
mod packet_bytes;
mod print;
mod progress;
mod report;
mod schema;
mod size;
mod sort;
mod stats;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// Show the way of packets through the Linux network stack.
#[derive(Debug, Parser)]
#[command(name = "tracer", version, arg_required_else_help = true, max_term_width = 120)]
struct CommandLine {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

/// Options that stand before the subcommand.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct GlobalArgs {
    /// Use the options that a profile sets: the name of one, or a YAML file. May be given several times
    #[arg(short, long, value_name = "NAME|FILE")]
    pub(crate) profile: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Attach to the kernel and record events
    Collect(collect::CollectArgs),
    /// Show the events of a file, in its order
    Print(print::PrintArgs),
    /// Show the events of a file packet by packet, or write them so to another file
    Sort(sort::SortArgs),
    /// Show what is in a file, in numbers: events by probe, packets, drops, losses, who talks with whom
    Stats(stats::StatsArgs),
    /// Show what can be traced on this machine, and why the rest can't
    Inspect(inspect::InspectArgs),
    /// Write the JSON schema of an event
    Schema,
    /// What a collector starts beside itself
    #[command(hide = true)]
    Companion {
        /// Which one
        name: String,
    },
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    match run(std::env::args_os().collect()) {
        Ok(code) => code,
        Err(error) => match error.downcast_ref::<clap::Error>() {
            Some(error) => report::command_line(error),
            None => report::failure(&error),
        },
    }
}

fn run(arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let collectors = tracer_core::collector::all()?;
    let command = CommandLine::command().mut_subcommand("collect", |command| collect::augment(command, &collectors));
    let mut matches = command.clone().try_get_matches_from(&arguments)?;
    let mut parsed = CommandLine::from_arg_matches(&matches)?;
    if matches!(parsed.command, Command::Collect(_)) && !parsed.global.profile.is_empty() {
        let profiles = std::mem::take(&mut parsed.global.profile);
        let expanded = collect::expand(arguments, &profiles)?;
        // The user's own arguments were understood a moment ago.
        matches = command.try_get_matches_from(expanded).map_err(|error| collect::refused(&error, &profiles))?;
        parsed = CommandLine::from_arg_matches(&matches)?;
    }
    match &parsed.command {
        Command::Collect(args) => {
            let own = matches.subcommand_matches("collect").context("the arguments of `collect` are gone")?;
            return collect::run(args, own);
        }
        Command::Print(args) => print::run(args),
        Command::Sort(args) => sort::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Schema => schema::run(),
        Command::Companion { name } => tracer_core::companion::run(name).map_err(anyhow::Error::from),
    }
    .map(|()| ExitCode::SUCCESS)
}
