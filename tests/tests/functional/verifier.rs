// SPDX-License-Identifier: Apache-2.0 OR MIT
//! On every kernel: the verifier takes every program, with every hook, and how much work that is for it.
//!
//! Cost: three sessions, 2 to 4 s each.

use anyhow::{Context as _, Result, ensure};
use clap::{ArgMatches, Command};
use tracer_core::collector::{self, Collector};
use tracer_core::kernel::Kernel;
use tracer_core::probe::ProbeSpec;
use tracer_core::session::{Options, Session};

/// The kernel's limit is a million; loading takes long before that. 5.10 does not tell: all are 0 there.
const MOST_VERIFIED: u32 = 200_000;

/// Every type of probe, and tracepoints of which no argument is read, or the first one, two, or four.
const PROBES: [&str; 7] = [
    "k:ip_rcv",
    "kr:ip_local_deliver",
    "k:tcp_v4_send_synack",
    "tp:sched:sched_process_exit",
    "tp:net:netif_receive_skb",
    "tp:tcp:tcp_retransmit_skb",
    "tp:qdisc:qdisc_dequeue",
];

/// The values of the collectors' own options.
pub(crate) fn matches(collectors: &[&'static Collector], arguments: &[&str]) -> Result<ArgMatches> {
    let own = collectors.iter().flat_map(|collector| (collector.arguments)());
    let command = Command::new("collect").no_binary_name(true).args(own);
    Ok(command.try_get_matches_from(arguments)?)
}

/// What sessions of the library are opened with.
pub(crate) fn options<'a>(
    collectors: &[&'static Collector],
    arguments: &'a ArgMatches,
    probes: &[&str],
) -> Result<Options<'a>> {
    Ok(Options {
        dispatcher: tracer_collectors::dispatcher(),
        collectors: collectors.iter().map(|&collector| (collector, true)).collect(),
        arguments,
        probes: probes.iter().map(|probe| probe.parse::<ProbeSpec>()).collect::<Result<_, _>>()?,
        ring_size: 1 << 20,
        table_size: 16_384,
        max_events_per_second: None,
    })
}

fn opens_with(arguments: &[&str]) -> Result<()> {
    opens_with_cap(arguments, None)
}

fn opens_with_cap(arguments: &[&str], max_events_per_second: Option<u32>) -> Result<()> {
    let collectors = collector::all()?;
    let arguments_matched = matches(&collectors, arguments)?;
    let kernel = Kernel::new("/");
    let options = options(&collectors, &arguments_matched, &PROBES)?;
    let session = Session::open(&kernel, Options { max_events_per_second, ..options })?;
    let running: Vec<&str> = session.collectors().map(|collector| collector.name).collect();
    let wanted: Vec<&str> = collectors.iter().map(|collector| collector.name).collect();
    assert_eq!(running, wanted, "{:?}", session.warnings());
    for (probe, outcome) in session.probes().iter().zip(&session.attach_table().outcomes) {
        ensure!(outcome.is_ok(), "{probe}: {outcome:?}");
    }
    let programs = session.programs();
    let mut report = format!("{:28} {:>12} {:>12}   {}", "program", "instructions", "verified", arguments.join(" "));
    for program in &programs {
        report += &format!("\n  {:28} {:12} {:12}", program.name, program.instructions, program.verified);
    }
    tracer_tests::note(report);
    for kind in
        ["kprobe_", "kretprobe_", "raw_tracepoint_0", "raw_tracepoint_1", "raw_tracepoint_2", "raw_tracepoint_4"]
    {
        programs.iter().find(|program| program.name.starts_with(kind)).with_context(|| format!("no {kind} program"))?;
    }
    let costly: Vec<_> = programs.iter().filter(|program| program.verified >= MOST_VERIFIED).collect();
    assert_eq!(costly, Vec::<&tracer_core::session::ProgramReport>::new(), "too much work for the verifier");
    Ok(())
}

#[test]
fn takes_every_program_with_short_packets() -> Result<()> {
    opens_with(&["--snaplen", "255"])
}

#[test]
fn takes_every_program_with_every_section() -> Result<()> {
    opens_with(&["--snaplen", "255", "--skb-sections", "all"])
}

#[test]
fn takes_every_program_with_the_longest_packets_and_every_section() -> Result<()> {
    opens_with(&["--snaplen", "65535", "--skb-sections", "all"])
}

#[test]
fn takes_every_program_with_a_cap_on_events() -> Result<()> {
    opens_with_cap(&["--snaplen", "255", "--skb-sections", "all"], Some(1000))
}
