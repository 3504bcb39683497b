// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What it may still do once everything is attached: nothing, and that is enough.
//!
//! Cost: one or two topologies and one session a test, 3 s; two tests.

use std::fs;

use anyhow::{Context as _, Result};
use tracer_tests::{Topology, Tracer, until, until_detached};

/// A line of a `status` file of /proc.
fn value(status: &str, name: &str) -> Result<String> {
    let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(found.with_context(|| format!("no {name} in {status}"))?.trim().to_owned())
}

const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

#[test]
fn no_thread_keeps_a_privilege_and_collecting_goes_on() -> Result<()> {
    let recording = Tracer::collect(["-p", "tp:net:netif_rx/stack", "-p", "ip_rcv", "-p", "kr:icmp_rcv"]).start()?;
    // Said right behind `ready`.
    until("all threads have given up their privileges", || {
        Ok(recording
            .process
            .threads()?
            .iter()
            .all(|status| value(status, "CapEff").is_ok_and(|set| !set.contains(|c| c != '0'))))
    })?;
    for status in recording.process.threads()? {
        for set in SETS {
            assert_eq!(value(&status, set)?.trim_matches('0'), "", "{set} of {status}");
        }
        assert_eq!(value(&status, "NoNewPrivs")?, "1", "{status}");
    }
    // Names of new namespaces, of functions in stacks, and the counters: all as before.
    let topology = Topology::ipv4_only()?;
    topology.red.ping("10.0.0.2", 100)?;
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    assert_eq!(recorded.summary()?, (600, 0), "{}", recorded.ended.stderr);
    let events = recorded.events()?;
    for event in events.at("net:netif_rx") {
        assert!([topology.red.name(), topology.blue.name()].contains(&event.namespace()), "{event:?}");
        let stack = event.get("/kernel/stack_trace").to_string();
        assert!(stack.contains("netif_rx"), "{stack}");
    }
    until_detached()
}

#[test]
fn the_command_may_do_what_the_user_may() -> Result<()> {
    let own = value(&fs::read_to_string("/proc/self/status")?, "CapEff")?;
    let recording =
        Tracer::collect(["-p", "ip_rcv", "--cmd", "grep CapEff: /proc/self/status; read -r line < /dev/zero"])
            .start()?;
    let line = recording.process.stderr_line("its capabilities", |line| line.starts_with("CapEff"))?;
    assert_eq!(value(&line, "CapEff")?, own);
    // To end a command that runs as somebody else.
    const KILL: u64 = 1 << 5;
    until("all threads have given up their privileges", || {
        let sets =
            recording.process.threads()?.iter().map(|status| value(status, "CapPrm")).collect::<Result<Vec<_>>>()?;
        Ok(sets.iter().all(|set| u64::from_str_radix(set, 16).is_ok_and(|set| set & !KILL == 0)))
    })?;
    assert_eq!(recording.stop(libc::SIGINT)?.ended.code(), 0);
    Ok(())
}
