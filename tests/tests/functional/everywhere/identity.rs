// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A packet stays itself, and nobody else becomes it.
//!
//! Cost: one topology and one session a test, 4 to 8 s; three tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::os::fd::{FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::{Event, Events, HitCounter, Namespace, Topology, Tracer, run, until};

/// A packet socket on a namespace's veth that nobody reads: it holds a clone of every packet.
fn tap(namespace: &Namespace) -> Result<OwnedFd> {
    namespace.enter(|| {
        let all = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: the call takes no pointers.
        let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from(all)) };
        ensure!(socket >= 0, "no packet socket: {}", std::io::Error::last_os_error());
        // SAFETY: it was just opened for us.
        Ok(unsafe { OwnedFd::from_raw_fd(socket) })
    })
}

#[test]
fn a_packet_keeps_its_identity_when_it_is_cloned_and_its_head_is_replaced() -> Result<()> {
    const PINGS: usize = 20;
    let topology = Topology::new()?;
    // The tag goes into the packet when it is sent. Where it arrives it is taken out, for which the packet is copied to a
    // new head: the tap's clone shares the old one.
    for namespace in [&topology.red, &topology.blue] {
        namespace.run("ethtool", ["-K", "veth0", "txvlan", "off"])?;
    }
    let taps = [tap(&topology.red)?, tap(&topology.blue)?];
    let probes = ["k:ip_output", "k:packet_rcv", "tp:net:netif_rx", "k:ip_rcv", "k:icmp_rcv"];
    let counter = HitCounter::new(&["pskb_expand_head"], &[])?;
    let before = counter.read()?["pskb_expand_head"];
    let recorded = Tracer::collect(probes.iter().flat_map(|probe| ["-p", probe]))
        .during(|_| topology.red.ping("10.0.100.2", PINGS as u32))?;
    let replaced = counter.read()?["pskb_expand_head"] - before;
    drop(taps);
    assert!(replaced >= 2 * PINGS as u64, "{replaced} heads were replaced: the test does not test");

    let events = recorded.events()?;
    let series = events.series();
    let pings: Vec<_> = series.values().filter(|series| series.iter().any(|e| e.symbol() == "ip_rcv")).collect();
    assert_eq!(pings.len(), 2 * PINGS);
    for series in pings {
        let symbols: Vec<&str> = series.iter().map(|event| event.symbol()).collect();
        // The tap sees it when it is sent, by a clone, and again where it arrives.
        for (symbol, least) in
            [("ip_output", 1), ("packet_rcv", 2), ("net:netif_rx", 1), ("ip_rcv", 1), ("icmp_rcv", 1)]
        {
            let count = symbols.iter().filter(|seen| **seen == symbol).count();
            assert!(count >= least, "{symbol}: {symbols:?}");
        }
        let numbers: Vec<u64> = series.iter().filter_map(|event| event.sequence()).collect();
        assert_eq!(numbers, (0..series.len() as u64).collect::<Vec<_>>(), "{symbols:?}");
        let flows: BTreeSet<_> = series.iter().filter_map(|event| event.flow()).collect();
        assert_eq!(flows.len(), 1, "one packet: {flows:?}");
    }
    Ok(())
}

/// The number that the test wrote into a datagram.
fn number(event: &Event) -> Option<u64> {
    let packet = event.packet();
    // Ethernet, IPv4, UDP.
    Some(u64::from_be_bytes(packet.get(42..50)?.try_into().ok()?))
}

/// The numbers of the datagrams that were taken for one packet, by identity.
fn numbers(events: &Events) -> BTreeMap<(u64, u64), BTreeSet<u64>> {
    let mut numbers: BTreeMap<_, BTreeSet<u64>> = BTreeMap::new();
    for event in events.hits() {
        if let (Some(identity), Some(number)) = (event.identity(), number(event)) {
            numbers.entry(identity).or_default().insert(number);
        }
    }
    numbers
}

fn sockets(topology: &Topology) -> Result<(UdpSocket, UdpSocket)> {
    let red = topology.red.enter(|| Ok(UdpSocket::bind("10.0.0.1:7001")?))?;
    let blue = topology.blue.enter(|| Ok(UdpSocket::bind("10.0.0.2:7002")?))?;
    red.connect(blue.local_addr()?)?;
    blue.connect(red.local_addr()?)?;
    Ok((red, blue))
}

#[test]
fn a_buffer_that_is_used_again_is_another_packet() -> Result<()> {
    const ROUNDS: u64 = 2000;
    let topology = Topology::ipv4_only()?;
    let (red, blue) = sockets(&topology)?;
    let recorded = Tracer::collect(["-p", "ip_output", "-p", "tp:net:netif_rx", "-p", "udp_rcv"]).during(|_| {
        let mut buffer = [0; 8];
        for round in 0..ROUNDS {
            red.send(&(2 * round).to_be_bytes())?;
            blue.recv(&mut buffer)?;
            blue.send(&(2 * round + 1).to_be_bytes())?;
            red.recv(&mut buffer)?;
        }
        Ok(())
    })?;
    let events = recorded.events()?;
    let numbers = numbers(&events);
    let mixed: Vec<_> = numbers.values().filter(|numbers| numbers.len() != 1).collect();
    assert!(mixed.is_empty(), "different packets with one identity: {mixed:?}");
    assert_eq!(numbers.len() as u64, 2 * ROUNDS, "a packet has two identities\n{}", recorded.ended.stderr);
    let heads: BTreeSet<u64> = numbers.keys().map(|(_, head)| *head).collect();
    assert!(heads.len() < numbers.len() / 2, "{} buffers: none was used again, the test does not test", heads.len());
    assert!(events.series().values().all(|series| series.len() == 3), "a series is not complete");
    Ok(())
}

/// The elements of a map of the session's.
fn elements(map: &str) -> Result<Vec<Value>> {
    let dump = run("bpftool", ["-j", "map", "dump", "name", map])?;
    let dump: Value = serde_json::from_str(&dump).with_context(|| format!("bpftool says `{dump}`"))?;
    Ok(dump.as_array().cloned().unwrap_or_default())
}

/// Buffers are looked up only where the counts say that there may be one. Those of packets that lost their place count, too.
fn counts_are_those_of_the_buffers() -> Result<bool> {
    let counted: u64 = elements("buffer_counts")?.iter().filter_map(|one| one["formatted"]["value"].as_u64()).sum();
    Ok(counted == elements("buffers")?.len() as u64)
}

#[test]
fn a_table_that_is_too_small_mixes_nothing_up_and_says_so() -> Result<()> {
    const DATAGRAMS: u64 = 200;
    let topology = Topology::ipv4_only()?;
    let (red, blue) = sockets(&topology)?;
    let arguments = ["-p", "ip_output", "-p", "udp_rcv", "-p", "skb_consume_udp", "--table-size", "16"];
    let recorded = Tracer::collect(arguments).during(|_| {
        let mut buffer = [0; 8];
        for round in 0..5 {
            // All of them wait in the socket: far more than the table has room for.
            for number in 0..DATAGRAMS {
                red.send(&(round * DATAGRAMS + number).to_be_bytes())?;
            }
            let kept = elements("buffers")?.len();
            ensure!(kept <= 16, "{kept} buffers are kept of 16 packets");
            for number in 0..DATAGRAMS {
                blue.recv(&mut buffer)?;
                ensure!(u64::from_be_bytes(buffer) == round * DATAGRAMS + number, "UDP did not deliver");
            }
            ensure!(!elements("buffer_counts")?.is_empty(), "nothing is counted");
            until("each buffer is counted once", counts_are_those_of_the_buffers)?;
        }
        Ok(())
    })?;
    let events = recorded.events()?;
    let mixed: Vec<_> = numbers(&events).into_values().filter(|numbers| numbers.len() != 1).collect();
    assert!(mixed.is_empty(), "different packets with one identity: {mixed:?}");
    for symbol in ["ip_output", "udp_rcv", "skb_consume_udp"] {
        let seen = events.at(symbol).filter(|event| number(event).is_some()).count() as u64;
        assert_eq!(seen, 5 * DATAGRAMS, "{symbol}: a hit is an event, tracked or not");
    }
    let evicted: u64 =
        events.losses().iter().filter(|((cause, _), _)| cause == "tracking_evicted").map(|(_, n)| n).sum();
    assert!(evicted >= DATAGRAMS - 16, "{evicted} evictions\n{}", recorded.ended.stderr);
    assert!(recorded.ended.stderr.contains("tracking_evicted"), "{}", recorded.ended.stderr);
    assert_eq!(recorded.summary()?.1, 0, "an eviction is no lost event\n{}", recorded.ended.stderr);
    Ok(())
}
