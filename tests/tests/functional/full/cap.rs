// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--max-events-per-second`: a flood is thinned out packet by packet, and every hit is accounted for.
//!
//! Cost: one topology and one session a test; 3 to 10 s of traffic; four tests.

use std::collections::BTreeMap;
use std::net::UdpSocket;

use anyhow::{Result, ensure};
use tracer_tests::{Events, HitCounter, Recorded, Topology, Tracer};

/// On the way of every packet from one namespace to the other, and of every echo and datagram.
const FUNCTIONS: [&str; 3] = ["ip_output", "ip_rcv", "ip_local_deliver"];
const TRACEPOINTS: [&str; 3] = ["net:net_dev_queue", "net:net_dev_start_xmit", "net:netif_rx"];
/// What may come on top of the cap, of it: a twentieth is let in at once, and packets can have more events than expected.
const MARGIN: f64 = 0.1;

fn arguments(limit: &'static str) -> Vec<&'static str> {
    let mut arguments = vec!["--max-events-per-second", limit, "--strict"];
    FUNCTIONS.iter().chain(&TRACEPOINTS).for_each(|probe| arguments.extend(["-p", probe]));
    arguments
}

/// Sends as many datagrams as asked for, as fast as can be.
fn blast(topology: &Topology, count: u32) -> Result<()> {
    let sink = topology.blue.enter(|| Ok(UdpSocket::bind("10.0.0.2:7000")?))?;
    let source = topology.red.enter(|| Ok(UdpSocket::bind("10.0.0.1:7001")?))?;
    for number in 0..count {
        source.send_to(&number.to_ne_bytes(), sink.local_addr()?)?;
    }
    Ok(())
}

/// The most events that fall into one second, wherever that begins.
fn busiest_second(events: &Events) -> usize {
    let mut times: Vec<u64> = events.hits().map(|event| event.timestamp()).collect();
    times.sort_unstable();
    let within = |first: usize| times.partition_point(|&time| time < times[first] + 1_000_000_000) - first;
    (0..times.len()).map(within).max().unwrap_or(0)
}

/// Events, hits left out and hits lost make up what the kernel counted.
fn accounts(recorded: &Recorded, counted: &BTreeMap<String, u64>) -> Result<()> {
    let events = recorded.events()?;
    let (stored, losses) = (events.counts(), events.losses());
    let stderr = &recorded.ended.stderr;
    let uncounted = stderr.contains("does not count the hits of kprobes that it skips");
    for (symbol, &hits) in counted {
        let at_it = |probe: &str| probe.split_once(':').is_some_and(|(_, target)| target == symbol);
        let missing: u64 = losses.iter().filter(|((_, probe), _)| at_it(probe)).map(|(_, count)| count).sum();
        let found = stored.get(&**symbol).copied().unwrap_or(0) + missing;
        // Where the kernel skips kprobes without counting, a few may be missing.
        let slack = if uncounted { hits / 100 } else { 0 };
        ensure!(found <= hits && found + slack >= hits, "{symbol}: {found} of {hits}: {losses:?}\n{stderr}");
    }
    Ok(())
}

fn left_out(events: &Events) -> u64 {
    events.losses().iter().filter(|((cause, _), _)| cause == "sampled_out").map(|(_, count)| count).sum()
}

#[test]
fn a_flood_is_thinned_out_to_whole_packets_and_accounted_for() -> Result<()> {
    const LIMIT: usize = 1000;
    let topology = Topology::ipv4_only()?;
    let counter = HitCounter::new(&FUNCTIONS, &TRACEPOINTS)?;
    let before = counter.read()?;
    let recorded = Tracer::collect(arguments("1000")).during(|recording| {
        assert!(recording.ready.contains("at most 1000 events a second"), "{}", recording.ready);
        topology.red.ping("10.0.0.2", 20_000)?;
        blast(&topology, 50_000)
    })?;
    let after = counter.read()?;
    let counted: BTreeMap<_, _> = after.iter().map(|(name, count)| (name.clone(), count - before[name])).collect();
    accounts(&recorded, &counted)?;

    let events = recorded.events()?;
    let (busiest, total) = (busiest_second(&events), events.hits().count());
    let left_out = left_out(&events);
    tracer_tests::note(format_args!("{total} events, {left_out} left out, {busiest} in the busiest second"));
    assert!(busiest as f64 <= LIMIT as f64 * (1.0 + MARGIN), "{busiest} events in one second");
    assert!(total >= LIMIT / 2, "the cap leaves room for more than {total} events");
    assert!(left_out > 100_000, "{left_out}");
    assert!(recorded.ended.stderr.contains("left out, to record at most 1000 events"), "{}", recorded.ended.stderr);

    // All events of a packet or none.
    let mut flows: BTreeMap<String, u64> = BTreeMap::new();
    for series in events.series().values() {
        let numbers: Vec<Option<u64>> = series.iter().map(|event| event.sequence()).collect();
        assert_eq!(numbers, (0..series.len() as u64).map(Some).collect::<Vec<_>>());
        let Some(flow) = series[0].flow() else { continue };
        let symbols: Vec<&str> = series.iter().map(|event| event.symbol()).collect();
        let way = ["ip_output", TRACEPOINTS[0], TRACEPOINTS[1], TRACEPOINTS[2], "ip_rcv", "ip_local_deliver"];
        assert_eq!(symbols, way, "{flow}");
        *flows.entry(flow.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ').to_owned()).or_default() += 1;
    }
    // A sample: requests and the replies that follow at once have the same chance.
    let share = |from: &str| flows.iter().filter(|(flow, _)| flow.contains(from)).map(|(_, count)| count).sum::<u64>();
    let (requests, replies) = (share("request"), share("reply"));
    assert!(requests * 3 > replies && replies * 3 > requests, "{flows:?}");
    assert!(share("udp4") > 0, "{flows:?}");
    Ok(())
}

#[test]
fn below_the_cap_nothing_is_left_out() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recorded = Tracer::collect(arguments("1000000")).during(|_| topology.red.ping("10.0.0.2", 100))?;
    let events = recorded.events()?;
    assert_eq!(events.at("ip_rcv").count(), 200);
    assert_eq!(left_out(&events), 0);
    assert!(recorded.ended.stderr.contains("nothing was left out"), "{}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn events_without_a_packet_are_capped_too() -> Result<()> {
    const CALLS: u64 = 200_000;
    let arguments = ["-p", "__x64_sys_getppid", "--max-events-per-second", "500", "-c", "dev"];
    let recorded = Tracer::collect(arguments).during(|_| {
        for _ in 0..CALLS {
            // SAFETY: it takes nothing and cannot fail.
            unsafe { libc::getppid() };
        }
        Ok(())
    })?;
    let events = recorded.events()?;
    let stored = events.hits().count() as u64;
    assert!(stored > 0 && busiest_second(&events) <= 550, "{stored} events, {}", busiest_second(&events));
    assert!(stored + left_out(&events) >= CALLS, "{stored} of {CALLS}: {}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn packets_are_whole_although_their_identity_is_not_recorded() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let arguments = ["-c", "skb", "-p", "ip_output", "-p", "kr:ip_rcv", "-p", "ip_rcv", "-p", "icmp_rcv"];
    let recorded = Tracer::collect(arguments.into_iter().chain(["--max-events-per-second", "500"]))
        .during(|_| topology.red.ping("10.0.0.2", 5000))?;
    let events = recorded.events()?;
    assert!(left_out(&events) > 20_000, "{}", recorded.ended.stderr);
    assert!(busiest_second(&events) <= 550, "{} in a second", busiest_second(&events));
    let at = |symbol, kind| -> Vec<_> {
        events.at(symbol).filter(|event| event.probe_type() == kind).map(tracer_tests::Event::flow).collect()
    };
    assert!(at("ip_output", "kprobe").len() > 10);
    assert_eq!(at("ip_output", "kprobe"), at("ip_rcv", "kprobe"));
    assert_eq!(at("ip_output", "kprobe"), at("icmp_rcv", "kprobe"));
    assert_eq!(at("ip_rcv", "kretprobe").len(), at("ip_rcv", "kprobe").len());
    Ok(())
}
