// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer collect`: attach to the kernel and record events.

mod arguments;
mod command;
mod control;
mod filters;
mod leave;
mod output;
mod profile;
mod stream;
mod summary;

use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::Instant;

use clap::ArgMatches;
use tracer_core::collector;
use tracer_core::error::{Error, ErrorKind};
use tracer_core::event::core_sections::{ClockOffset, Machine, StartupSection};
use tracer_core::kernel::Kernel;
use tracer_core::session::{Chosen, Options, Session, Summary, is_lost_event};

use crate::report;

pub(crate) use arguments::{CollectArgs, augment};
pub(crate) use profile::{expand, refused};

use arguments::Choice;
use control::{Control, End, Phase};
use output::EventOutput;

/// The level of the event format, as the readers of `startup` know it.
const FORMAT_LEVEL: &str = "v1.7.0";

/// Runs `tracer collect`. `matches` holds the values of the collectors' own options. What goes wrong once collection has begun is
/// said in here, and only its exit code is returned.
pub(crate) fn run(args: &CollectArgs, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    // Whatever can be wrong on our side is found before the kernel is touched.
    let (sender, receiver) = channel();
    let mut control = Control::new(sender.clone(), receiver)?;
    let collectors = selected(args)?;
    let mut output = EventOutput::open(args)?;
    let is_shown = output.is_shown();

    let start = Instant::now();
    let kernel = Kernel::new("/");
    let probes = args.probes();
    let filter = args.filter();
    let filters = filters::translate(&filter, &probes, &kernel)?;
    let tunnel_ports = filters::tunnel_ports(args, &filters, &kernel)?;
    let options = Options {
        dispatcher: tracer_collectors::dispatcher(),
        collectors,
        arguments: matches,
        probes,
        stack: args.stack || args.probe_stack,
        probe_stack: args.probe_stack,
        ring_size: args.ring_size,
        table_size: args.table_size,
        filter,
        filters,
        tunnel_ports,
        max_events_per_second: args.max_events_per_second,
        may_change_system: args.allow_system_changes,
    };
    let mut session = Session::open(&kernel, options)?;
    output.startup(&startup(&kernel))?;
    summary::warnings(&session);

    let ended = move || {
        // Nobody listens any more when collection is ending anyway.
        let _ = sender.send(End::Writer);
    };
    let ready = summary::ready(&session, start.elapsed());
    let mut outcome = Ok(());
    let collected = session.run(&mut output, args.stop_after, &ended, |collection| {
        control.enter(Phase::Collecting);
        report::line(&ready);
        outcome = control.wait(args, is_shown, collection);
    });
    let result = collected.map_err(anyhow::Error::from).and_then(|summary| finish(args, &mut output, summary, outcome));
    // Said before detaching, which can take long and be interrupted.
    let code = result.map_or_else(|error| report::failure(&error), |()| ExitCode::SUCCESS);
    control.enter(Phase::Detaching);
    summary::detaching(&session);
    let end = Instant::now();
    session.detach();
    summary::detached(end.elapsed());
    Ok(code)
}

/// Writes what is still in memory, and says what was collected. `outcome`: what went wrong while it was.
fn finish(
    args: &CollectArgs,
    output: &mut EventOutput,
    mut summary: Summary,
    outcome: anyhow::Result<()>,
) -> anyhow::Result<()> {
    let write_error = summary.write_error.take();
    let finished = write_error.map_or_else(|| output.finish(), Err);
    summary::print(&summary);
    finished.map_err(|error| output.error(error))?;
    outcome?;
    if args.strict && summary.losses.keys().any(|key| is_lost_event(key.cause)) {
        return Err(Error::new(ErrorKind::EventsLost, "events were lost").into());
    }
    Ok(())
}

/// The collectors that the user, the profiles or the default name. Whoever says where to look, and not what to record, does not
/// want to look elsewhere, too: then collectors bring no probes.
fn selected(args: &CollectArgs) -> anyhow::Result<Vec<Chosen>> {
    let all = collector::all()?;
    let find = |name: &str| collector::find(&all, name);
    let mut selected: Vec<Chosen> = Vec::new();
    for choice in args.collectors() {
        let automatic = matches!(choice, Choice::Auto);
        let (chosen, named, with_probes) = match choice {
            Choice::Auto => (all.clone(), false, !args.says_where()),
            Choice::Named(name) => (vec![find(name)?], true, true),
            Choice::Suggested(name) => (vec![find(name)?], false, true),
        };
        for collector in chosen {
            match selected.iter_mut().find(|known| known.collector.name == collector.name) {
                Some(known) => {
                    known.named |= named;
                    known.automatic &= automatic;
                    known.with_probes |= with_probes;
                }
                None => selected.push(Chosen { collector, named, automatic, with_probes }),
            }
        }
    }
    selected.sort_by_key(|chosen| chosen.collector.name);
    Ok(selected)
}

fn startup(kernel: &Kernel) -> StartupSection<'static> {
    let release = kernel.release();
    // The offset between the two clocks, as exact as two readings one after the other allow.
    let wall =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos() as i128;
    let offset = wall - i128::from(tracer_core::session::now());
    let second = 1_000_000_000;
    StartupSection {
        retis_version: FORMAT_LEVEL.into(),
        tracer_version: Some(env!("CARGO_PKG_VERSION").into()),
        cmdline: std::env::args().collect::<Vec<_>>().join(" ").into(),
        clock_monotonic_offset: ClockOffset {
            sec: offset.div_euclid(second) as i64,
            nsec: offset.rem_euclid(second) as i64,
        },
        machine: Machine {
            kernel_release: release.release.into(),
            kernel_version: release.version.into(),
            hardware_name: release.machine.into(),
        },
        split_file: None,
    }
}
