// SPDX-License-Identifier: Apache-2.0 OR MIT
//! On every kernel: the verifier takes every program, with every hook, and how much work that is for it.
//!
//! Cost: five sessions, 2 to 4 s each.

mod filters;

use std::collections::BTreeMap;
use std::env;
use std::sync::LazyLock;

use anyhow::{Context as _, Result, ensure};
use clap::{ArgMatches, Command};
use tracer_core::collector::{self, Collector};
use tracer_core::filter::{Filter, FilterText, PacketPrograms};
use tracer_core::kernel::Kernel;
use tracer_core::kernel::features::Features;
use tracer_core::kernel::tunnels::TunnelPorts;
use tracer_core::probe::{PacketPlace, ProbeSpec, resolve};
use tracer_core::session::{Chosen, Options, Session};
use tracer_filters::packet::PacketFilter;
use tracer_tests::run;

use crate::everywhere::usdt;

/// The kernel's limit is a million; loading takes long before that. 5.10 does not tell: all are 0 there.
const MOST_VERIFIED: u32 = 200_000;

/// Every type of probe; tracepoints are chosen by how many of their arguments are read.
const PROBES: [&str; 3] = ["k:ip_rcv", "kr:ip_local_deliver", "k:tcp_v4_send_synack"];

/// Of the program that is made for tests.
const USDT_PROBE: &str = "usdt:usdt:tracer_test:forms";

/// One tracepoint for each number of arguments that are read at any tracepoint of this kernel.
static TRACEPOINTS: LazyLock<BTreeMap<u8, String>> = LazyLock::new(|| tracepoints().expect("there are tracepoints"));

fn tracepoints() -> Result<BTreeMap<u8, String>> {
    // They have tracepoints of which the third argument is read, and others.
    for module in ["bridge", "openvswitch", "cfg80211", "mac80211"] {
        run("modprobe", [module])?;
    }
    let kernel = Kernel::new("/");
    let all = kernel.tracefs().context("no tracefs")?.tracepoints();
    let specs = all.iter().map(|(group, name)| Ok(format!("tp:{group}:{name}").parse::<ProbeSpec>()?.suggested()));
    let mut chosen = BTreeMap::new();
    for probe in resolve(&kernel, &specs.collect::<Result<Vec<_>>>()?)?.probes {
        let last = match probe.packet {
            PacketPlace::Nowhere => probe.device_argument.max(probe.namespace_argument),
            PacketPlace::Argument(argument) | PacketPlace::Behind { argument, .. } => Some(argument),
        };
        chosen.entry(last.map_or(0, |last| last + 1)).or_insert(probe.to_string());
    }
    Ok(chosen)
}

/// All that this kernel can have.
pub(crate) fn collectors(kernel: &Kernel) -> Result<Vec<&'static Collector>> {
    run("modprobe", ["-a", "nf_tables", "openvswitch", "ip_tables", "ip6_tables"])?;
    let mut collectors = collector::all()?;
    // 5.10 does not describe its modules.
    if env::var("TRACER_VM_KERNEL").is_ok_and(|kernel| kernel == "5.10") {
        collectors.retain(|collector| collector.can_run(kernel).is_ok());
        ensure!(!collectors.is_empty(), "nothing can run");
    }
    Ok(collectors)
}

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
        collectors: collectors
            .iter()
            .map(|&collector| Chosen { collector, named: true, automatic: false, with_probes: true })
            .collect(),
        arguments,
        probes: probes.iter().map(|probe| probe.parse::<ProbeSpec>()).collect::<Result<_, _>>()?,
        stack: false,
        probe_stack: false,
        ring_size: 1 << 20,
        table_size: 16_384,
        filter: FilterText::default(),
        filters: Vec::new(),
        tunnel_ports: None,
        max_events_per_second: None,
        may_change_system: false,
    })
}

fn opens_with(arguments: &[&str]) -> Result<()> {
    opens(arguments, |_| Ok(()))
}

fn opens(arguments: &[&str], change: impl FnOnce(&mut Options<'_>) -> Result<()>) -> Result<()> {
    let kernel = Kernel::new("/");
    let collectors = collectors(&kernel)?;
    let arguments_matched = matches(&collectors, arguments)?;
    let mut probes: Vec<&str> = PROBES.into_iter().chain(TRACEPOINTS.values().map(String::as_str)).collect();
    let _program = usdt::program()?;
    // Not on 5.10.
    let has_usdt = Features::probe(&kernel)?.cookies;
    if has_usdt {
        probes.push(USDT_PROBE);
    }
    let mut options = options(&collectors, &arguments_matched, &probes)?;
    change(&mut options)?;
    let session = Session::open(&kernel, options)?;
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
    let tracepoints = TRACEPOINTS.keys().map(|number| format!("raw_tracepoint_{number}"));
    let usdt = has_usdt.then(|| "usdt_probe".to_owned());
    for kind in ["kprobe_".to_owned(), "kretprobe_".to_owned()].into_iter().chain(tracepoints).chain(usdt) {
        programs
            .iter()
            .find(|program| program.name.starts_with(&kind))
            .with_context(|| format!("no {kind} program"))?;
    }
    tracer_tests::note(format_args!("tracepoints by arguments that are read: {:?}", *TRACEPOINTS));
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
    opens(&["--snaplen", "255", "--skb-sections", "all"], |options| {
        options.max_events_per_second = Some(1000);
        Ok(())
    })
}

#[test]
fn takes_every_program_with_a_filter_that_looks_into_tunnels() -> Result<()> {
    opens(&["--snaplen", "255"], |options| {
        let text = "host 10.0.0.1 and tcp port 80 or ip6 and udp portrange 1000-2000";
        let packet = PacketFilter::compile(text)?;
        options.filter = FilterText { packet: Some(text.to_owned()), metadata: None };
        options.filters = vec![Filter {
            text: options.filter.clone(),
            packet: Some(PacketPrograms {
                ethernet: packet.ethernet().clone(),
                raw: packet.raw().cloned(),
                sees_vlan_tags: packet.sees_vlan_tags(),
            }),
            metadata: None,
        }];
        options.tunnel_ports = Some(TunnelPorts::well_known());
        Ok(())
    })
}
