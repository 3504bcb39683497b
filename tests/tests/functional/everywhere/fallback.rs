// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What still works when something is missing.
//!
//! Cost: one topology and one session a test, 4 s; five tests.

use std::{fs, io};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tracer_core::collector::{Collector, Hook};
use tracer_core::kernel::Kernel;
use tracer_core::session::{Session, Sink};
use tracer_tests::{Topology, Tracer};

use crate::verifier::{collectors, matches, options};

/// Collectors, each with what takes the place of its hook; the verifier refuses it.
const REFUSED: [(&str, &[u8]); 2] = [
    ("dev", include_bytes!(concat!(env!("OUT_DIR"), "/refused_dev.bpf.o"))),
    ("ns", include_bytes!(concat!(env!("OUT_DIR"), "/refused_ns.bpf.o"))),
];

/// Starts a program in a mount namespace of its own, so that the other tests keep tracefs.
const WITHOUT_TRACEFS: [&str; 7] = [
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    "umount -R /sys/kernel/tracing && umount -R /sys/kernel/debug && \
     test ! -e /sys/kernel/tracing/events && test ! -e /sys/kernel/debug/tracing && exec \"$0\" \"$@\"",
];

#[test]
fn named_probes_work_without_tracefs() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let collect = Tracer::collect(["-p", "k:ip_rcv", "-p", "kr:icmp_rcv", "-p", "tp:net:netif_rx"]);
    let recorded = collect.by(WITHOUT_TRACEFS).during(|_| topology.red.ping("10.0.0.2", 10))?;
    let events = recorded.events()?;
    let counts = events.counts();
    for symbol in ["ip_rcv", "icmp_rcv", "net:netif_rx"] {
        assert_eq!(counts.get(symbol), Some(&20), "{counts:?}\n{}", recorded.ended.stderr);
    }
    Ok(())
}

#[test]
fn a_wildcard_works_without_tracefs_although_some_of_its_functions_can_not_be_probed() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    // Which of them can be probed is not known beforehand; `dst_*` has some that can't.
    let collect = Tracer::collect(["-p", "k:ip_*", "-p", "k:dst_*"]).by(WITHOUT_TRACEFS);
    let recorded = collect.during(|_| topology.red.ping("10.0.0.2", 10))?;
    let stderr = &recorded.ended.stderr;
    assert_eq!(recorded.events()?.at("ip_rcv").count(), 20, "{stderr}");
    assert!(stderr.contains("not attached: "), "{stderr}");
    Ok(())
}

#[test]
fn filters_work_where_the_kernel_interprets_programs() -> Result<()> {
    let jit = "/proc/sys/net/core/bpf_jit_enable";
    let topology = Topology::ipv4_only()?;
    fs::write(jit, "0")?;
    let collect = Tracer::collect(["-p", "k:ip_rcv", "-f", "icmp"]);
    let recorded = collect.during(|_| topology.red.ping("10.0.0.2", 10));
    // For the other tests.
    fs::write(jit, "1")?;
    let recorded = recorded?;
    assert_eq!(recorded.events()?.at("ip_rcv").count(), 20, "{}", recorded.ended.stderr);
    Ok(())
}

/// Keeps events in memory.
#[derive(Default)]
struct Memory(Vec<Value>);

impl Sink for Memory {
    fn event(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.push(serde_json::from_slice(line)?);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn goes_on_without_the_hook_that_the_verifier_refuses() -> Result<()> {
    goes_on_without(&REFUSED[..1])
}

#[test]
fn goes_on_without_two_hooks_that_the_verifier_refuses() -> Result<()> {
    goes_on_without(&REFUSED)
}

fn goes_on_without(refused: &[(&str, &'static [u8])]) -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let kernel = Kernel::new("/");
    let mut collectors = collectors(&kernel)?;
    for &(name, object) in refused {
        let own = collectors.iter_mut().find(|collector| collector.name == name).context("no such collector")?;
        *own = Box::leak(Box::new(Collector {
            name: own.name,
            about: own.about,
            sections: own.sections,
            hook: Hook { number: own.hook.number, object },
            subjects: own.subjects,
            arguments: own.arguments,
            start: own.start,
        }));
    }
    let arguments = matches(&collectors, &[])?;
    let mut options = options(&collectors, &arguments, &["k:ip_rcv"])?;
    for chosen in &mut options.collectors {
        (chosen.named, chosen.with_probes) = (false, false);
    }
    let mut session = Session::open(&kernel, options)?;

    let is_refused = |name: &str| refused.iter().any(|(refused, _)| *refused == name);
    let running: Vec<&str> = session.collectors().map(|collector| collector.name).collect();
    let others: Vec<&str> =
        collectors.iter().map(|collector| collector.name).filter(|name| !is_refused(name)).collect();
    assert_eq!(running, others);
    for (name, _) in refused {
        let warning = session.warnings().iter().find(|warning| warning.contains(&format!("`{name}`")));
        let warning = warning.with_context(|| format!("nothing is said about `{name}`: {:?}", session.warnings()))?;
        // The verifier's words.
        assert!(warning.contains("invalid mem access"), "{warning}");
    }

    let mut memory = Memory::default();
    let mut sent = Ok(());
    session.run(&mut memory, None, &|| (), |_| sent = topology.red.ping("10.0.0.2", 10))?;
    sent?;
    assert_eq!(memory.0.len(), 20, "{:?}", memory.0);
    let sections = [
        ("packet", "skb"),
        ("skb-tracking", "skb-tracking"),
        ("dev", "dev"),
        ("netns", "ns"),
        ("common", "-"),
        ("kernel", "-"),
    ];
    for event in &memory.0 {
        for (section, collector) in sections {
            assert_eq!(event.get(section).is_some(), !is_refused(collector), "{section}: {event}");
        }
    }
    Ok(())
}
