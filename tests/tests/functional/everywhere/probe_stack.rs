// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--probe-stack`: functions in the stacks of recorded packets become probes.
//!
//! Cost: one topology and one session, 6 s.

use std::fs;

use anyhow::Result;
use tracer_tests::{Topology, Tracer, until};

/// Below the tracepoint, on the way out and in.
const CALLERS: [&str; 4] = ["__dev_queue_xmit", "ip_output", "ip_local_deliver_finish", "icmp_echo"];

#[test]
fn functions_in_stacks_become_probes_of_matching_packets_only() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let probes = ["-p", "tp:net:net_dev_start_xmit", "-p", "icmp_rcv"];
    let arguments = ["-c", "skb,skb-tracking", "-f", "icmp", "--probe-stack"].into_iter().chain(probes);
    let recorded = Tracer::collect(arguments).during(|recording| {
        let path = recording.file("events.json");
        until("the callers are probed", || {
            topology.red.ping("10.0.0.2", 1)?;
            // Nothing listens there: packets that don't match, on the same way.
            topology.red.run("bash", ["-c", "echo >/dev/udp/10.0.0.2/9 || true"])?;
            let events = fs::read_to_string(&path)?;
            Ok(CALLERS.iter().all(|caller| events.contains(&format!("\"symbol\":\"{caller}\""))))
        })
    })?;
    let events = recorded.events()?;
    for event in events.hits() {
        // Protocol 1, behind the Ethernet header that all of them have or are given.
        assert_eq!(event.packet().get(14 + 9), Some(&1), "{event:?}");
        let is_first = ["net:net_dev_start_xmit", "icmp_rcv"].contains(&event.symbol());
        assert_eq!(event.get("/kernel/stack_trace").is_array(), is_first, "what was added has no stack: {event:?}");
    }
    // The ICMP error about the datagram matches, and its sender was found in its stack, too. None is found twice.
    let added: Vec<&str> = recorded
        .ended
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("probes added: "))
        .flat_map(str::split_ascii_whitespace)
        .collect();
    let mut distinct = added.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), added.len(), "{added:?}");
    for caller in CALLERS {
        assert!(added.contains(&&*format!("kprobe:{caller}")), "{caller}: {added:?}");
    }
    // What is added stands in the summary of losses, and nothing was lost in so little.
    assert_eq!(recorded.summary()?.1, 0, "{}", recorded.ended.stderr);
    Ok(())
}
