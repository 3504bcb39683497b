// SPDX-License-Identifier: Apache-2.0 OR MIT
//! On a kernel that is locked down, which can't be undone: these tests have a boot of their own.
//!
//! Cost: six runs of the program, 1 to 3 s each.

use std::fs;

use anyhow::Result;
use tracer_tests::{Topology, Tracer};

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

#[test]
fn works_under_integrity_and_says_that_confidentiality_forbids_it() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    fs::write(LOCKDOWN, "integrity")?;
    let probes = ["-p", "k:ip_rcv", "-p", "kr:icmp_rcv", "-p", "tp:net:netif_rx"];
    let recorded = Tracer::collect(probes).during(|_| topology.red.ping("10.0.0.2", 5))?;
    let counts = recorded.events()?;
    for symbol in ["ip_rcv", "icmp_rcv", "net:netif_rx"] {
        assert_eq!(counts.at(symbol).count(), 10, "{symbol}: {}", recorded.ended.stderr);
    }
    assert!(Tracer::output(["inspect", "kernel"])?.contains("\n  lockdown                         integrity\n"));

    fs::write(LOCKDOWN, "confidentiality")?;
    let why = "this kernel is locked down (confidentiality): it lets nobody read its memory, not even root";
    for probe in ["k:ip_rcv", "tp:net:netif_rx"] {
        let ended = Tracer::run(["collect", "-p", probe, "--cmd", "true"])?;
        assert_eq!(ended.code(), 3, "{}", ended.stderr);
        let hint = "boot it with `lockdown=integrity` or without lockdown; it can't be lifted before";
        assert_eq!(ended.stderr, format!("error: {why}\nhint: {hint}\n"));
    }
    let overview = Tracer::output(["inspect", "kernel"])?;
    assert!(overview.contains("\n  lockdown                         confidentiality\n"), "{overview}");
    assert!(overview.contains(why), "{overview}");
    let ended = Tracer::run(["inspect", "probes", "ip_rcv"])?;
    assert!(ended.stdout.starts_with("kprobe:ip_rcv\n  int ip_rcv(struct sk_buff *skb, "), "{}", ended.stdout);
    assert!(ended.stderr.contains("available_filter_functions` can't be read"), "{}", ended.stderr);
    Ok(())
}
