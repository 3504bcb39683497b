// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer inspect`: what can be traced on this machine. Nothing is collected for it.

mod kernel;
mod probes;

use clap::{Args, Subcommand, ValueEnum};
use tracer_core::kernel::Kernel;
use tracer_core::probe::ProbeSpec;

/// The arguments of `tracer inspect`.
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true, args_conflicts_with_subcommands = true)]
pub(crate) struct InspectArgs {
    #[command(subcommand)]
    what: Option<What>,
    /// What `inspect probes` does, under the name that Retis has for it
    #[arg(short, long = "probe", value_name = "PATTERN", num_args = 0..=1, hide = true)]
    probe: Option<Option<ProbeSpec>>,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Show what can be probed: prototype, where the packet is, which collectors have something to say; or why not
    #[command(
        after_help = "Without a pattern, all functions and tracepoints that have a packet are shown; with one, all that it fits."
    )]
    Probes(ProbesArgs),
    /// Show what this machine offers to trace with, and what this process may use of it
    Kernel(KernelArgs),
}

#[derive(Args, Clone, Debug, Default)]
struct ProbesArgs {
    /// Places as for `collect -p`: `[TYPE:]TARGET`, where `*` stands for anything
    #[arg(value_name = "PATTERN")]
    patterns: Vec<ProbeSpec>,
    /// The form in which they are shown
    #[arg(long, value_enum, default_value_t)]
    format: FormatName,
}

#[derive(Args, Clone, Debug)]
struct KernelArgs {
    /// The form in which it is shown
    #[arg(long, value_enum, default_value_t)]
    format: FormatName,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum FormatName {
    /// For people
    #[default]
    Text,
    /// For programs: see docs/inspect.md
    Json,
}

/// Runs `tracer inspect`.
pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let kernel = Kernel::new("/");
    match (&args.what, &args.probe) {
        (Some(What::Kernel(args)), _) => kernel::run(&kernel, args.format),
        (Some(What::Probes(args)), _) => probes::run(&kernel, &args.patterns, args.format),
        (None, pattern) => {
            let patterns: Vec<ProbeSpec> = pattern.clone().flatten().into_iter().collect();
            probes::run(&kernel, &patterns, FormatName::Text)
        }
    }
}
