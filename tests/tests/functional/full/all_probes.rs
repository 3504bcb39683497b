// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every function that takes a packet, at once.
//!
//! Cost: on kernels that attach many functions in one call 10 s a test, on 6.1 three minutes in all. Three tests.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::{
    HitCounter, Process, Setting, Topology, Tracer, kprobes, note, until, until_detached, until_kprobes,
};

/// In KiB: the largest memory that a process has had.
fn most_memory(process: &Process) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[test]
fn survives_a_flood_and_counts_what_it_loses() -> Result<()> {
    const FUNCTIONS: [&str; 3] = ["ip_output", "ip_rcv", "icmp_rcv"];
    let _unhurried = Setting::unhurried()?;
    let topology = Topology::ipv4_only()?;
    let beside = Tracer::collect(["-p", "ip_output", "-p", "tp:net:netif_rx"]).start()?;
    let recording = Tracer::collect(["--snaplen", "64"]).profile("all-skb").start()?;
    let attached = recording.ready.strip_prefix("ready: ").and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    let attached = attached.with_context(|| recording.ready.clone())?;
    ensure!(attached > 1200, "{}", recording.ready);
    let counter = HitCounter::new(&FUNCTIONS, &[])?;
    topology.red.ping("10.0.0.2", 2000)?;
    let counted = counter.read()?;
    drop(counter);
    let memory = most_memory(&recording.process)?;

    recording.process.signal(libc::SIGINT)?;
    recording.process.stderr_line("a summary", |line| line.contains(" events, "))?;
    if recording.ready.contains("by kprobe)") {
        // What was recorded is safe already.
        recording.process.stderr_line("why it takes a while", |line| line.starts_with("detaching "))?;
        // All but what was attached beside it.
        until_kprobes(1)?;
    }
    let recorded = recording.wait()?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    let (stored, lost) = recorded.summary()?;
    let detached = recorded.ended.stderr.lines().find(|line| line.starts_with("detached in "));
    note(format_args!(
        "{attached} probes: {stored} events, {lost} lost, {memory} KiB; {}",
        detached.context("no end")?
    ));
    // Events wait in the ring and in the queue behind it, which have a size; the symbols take what is left.
    ensure!(memory < 200 << 10, "{memory} KiB");

    let events = recorded.events()?;
    let losses = events.losses();
    assert_eq!(events.hits().count() as u64, stored);
    let kernel_counts = !recorded.ended.stderr.contains("does not count the hits of kprobes");
    let missed: u64 = losses.iter().filter(|((cause, _), _)| cause == "missed").map(|(_, count)| count).sum();
    for function in FUNCTIONS {
        let lost: u64 = losses
            .iter()
            .filter(|((_, probe), _)| *probe == format!("kprobe:{function}"))
            .map(|(_, count)| count)
            .sum();
        let known = events.at(function).count() as u64 + lost;
        ensure!(known <= counted[function], "{function}: {known} of {}", counted[function]);
        ensure!(!kernel_counts || known + missed >= counted[function], "{function}: {known} of {}", counted[function]);
    }

    // The other one goes on.
    topology.red.ping("10.0.0.2", 10)?;
    let recorded = beside.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    let (stored, lost) = recorded.summary()?;
    let hits = 2 * 2 * 2010;
    ensure!(stored + lost <= hits, "{}", recorded.ended.stderr);
    ensure!(!kernel_counts || stored + lost == hits, "{hits} hits: {}", recorded.ended.stderr);
    until_detached()
}

#[test]
fn ctrl_c_while_attaching_ends_it_at_once() -> Result<()> {
    ctrl_c_while_attaching()
}

#[test]
fn a_signal_ends_it_while_it_detaches() -> Result<()> {
    signal_while_detaching()
}

pub(crate) fn ctrl_c_while_attaching() -> Result<()> {
    let _unhurried = Setting::unhurried()?;
    let process = Process::start(&mut Tracer::command(["--profile", "all-skb", "collect"])?)?;
    let files = format!("/proc/{}/fd", process.id());
    until("the first program is attached", || {
        let mut targets = fs::read_dir(&files)?.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        // Tracking's programs, which are attached before all others: links, or raw tracepoints as older kernels call them.
        Ok(targets.any(|target| {
            let target = target.to_string_lossy();
            ["bpf-link", "bpf_link", "bpf-tracing-prog", "bpf-tracing-link"].iter().any(|kind| target.contains(kind))
        }))
    })?;
    process.signal(libc::SIGINT)?;
    let ended = process.wait()?;
    assert_eq!(ended.code(), 128 + libc::SIGINT, "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("interrupted before collection began"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("ready"), "{}", ended.stderr);
    until_detached()
}

pub(crate) fn signal_while_detaching() -> Result<()> {
    let _unhurried = Setting::unhurried()?;
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "k:ip_*", "-p", "k:tcp_*"]).start()?;
    topology.red.ping("10.0.0.2", 10)?;
    if !recording.ready.contains("by kprobe)") {
        // Many at once are detached too soon for a signal.
        let recorded = recording.stop(libc::SIGINT)?;
        assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
        return until_detached();
    }
    recording.process.signal(libc::SIGINT)?;
    recording.process.stderr_line("that it detaches", |line| line.starts_with("detaching "))?;
    ensure!(kprobes()? > 0, "all were detached already");
    let recorded = recording.stop(libc::SIGTERM)?;
    assert_eq!(recorded.ended.code(), 128 + libc::SIGTERM, "{}", recorded.ended.stderr);
    // All had been written, and the kernel goes on alone.
    assert_eq!(recorded.events()?.at("ip_rcv").count(), 20, "{}", recorded.ended.stderr);
    until_detached()
}
