// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program `tracer`: its arguments, its output, its exit codes. The only crate that prints.
//!
//! It knows no collector: the binary that calls [`main`] decides which are linked in.

mod collect;
mod display;
mod input;
mod output;
mod print;
mod report;
mod schema;
mod sort;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

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
    /// Write the JSON schema of an event
    Schema,
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let CommandLine { global, command } = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(error) => return report::command_line(&error),
    };
    let done = match command {
        Command::Collect(args) => collect::run(args, &global),
        Command::Print(args) => print::run(&args),
        Command::Sort(args) => sort::run(&args),
        Command::Schema => schema::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::failure(&error),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::CommandLine;

    #[test]
    fn the_command_line_is_well_defined() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn profiles_stand_before_the_subcommand() {
        let line = CommandLine::parse_from(["tracer", "-p", "a", "--profile", "b.yaml", "print", "x"]);
        assert_eq!(line.global.profile, ["a", "b.yaml"]);
    }
}
