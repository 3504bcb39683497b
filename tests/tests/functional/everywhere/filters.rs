// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What filters decide where packets are not whole yet, or not any more what they were; filters of single probes and of returns.
//!
//! Cost: one topology and one session a test, 4 s; nine sessions at a time in one of them, 20 s.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

use anyhow::{Result, ensure};
use tracer_tests::{Event, HitCounter, Recorded, Recording, Series, Snmp, Topology, Tracer, until};

/// Where TCP's packets have no IP header yet, and one where they have everything.
const EARLY: [&str; 3] = ["__tcp_transmit_skb", "__ip_queue_xmit", "inet6_csk_xmit"];
const WHOLE: &str = "net:net_dev_start_xmit";

/// Some bytes there and back, and an orderly end.
fn converse(topology: &Topology, to: &str, listen: &str) -> Result<()> {
    let (to, listen): (SocketAddr, SocketAddr) = (to.parse()?, listen.parse()?);
    let listener = topology.blue.enter(|| Ok(TcpListener::bind(listen)?))?;
    let mut client = topology.red.enter(|| Ok(TcpStream::connect(to)?))?;
    let mut server = listener.accept()?.0;
    let mut received = [0; 1000];
    for _ in 0..3 {
        client.write_all(&[b'q'; 1000])?;
        server.read_exact(&mut received)?;
        server.write_all(&[b'a'; 500])?;
        client.read_exact(&mut received[..500])?;
    }
    client.shutdown(Shutdown::Write)?;
    ensure!(server.read(&mut received)? == 0, "the connection does not end");
    server.shutdown(Shutdown::Write)?;
    ensure!(client.read(&mut received)? == 0, "the connection does not end");
    Ok(())
}

fn converse_all(topology: &Topology) -> Result<()> {
    converse(topology, "10.0.0.2:7001", "10.0.0.2:7001")?;
    converse(topology, "10.0.0.2:7002", "10.0.0.2:7002")?;
    converse(topology, "[fd00::2]:7001", "[fd00::2]:7001")?;
    // IPv4 between IPv6 sockets.
    converse(topology, "[::ffff:10.0.0.2]:7003", "[::]:7003")?;
    until("every TCP segment has arrived", || {
        let (red, blue) = (Snmp::read(&topology.red)?, Snmp::read(&topology.blue)?);
        Ok(red.get("TcpOutSegs") == blue.get("TcpInSegs") && blue.get("TcpOutSegs") == red.get("TcpInSegs"))
    })
}

/// How many events each probe has.
fn counts<'a>(events: impl IntoIterator<Item = &'a &'a Event>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    events.into_iter().for_each(|event| *counts.entry(event.symbol().to_owned()).or_default() += 1);
    counts
}

/// What a packet is, as one of its events knows.
fn flow(series: &Series<'_>) -> String {
    series.iter().find_map(|event| event.flow()).unwrap_or_default()
}

#[test]
fn packets_without_headers_are_decided_on_by_what_their_sockets_say() -> Result<()> {
    let topology = Topology::new()?;
    /// A text, and which flows it takes.
    type Case = (&'static str, fn(&str) -> bool);
    let cases: [Case; 8] = [
        ("tcp port 7001", |flow| flow.contains(":7001")),
        ("src port 7002", |flow| flow.contains(":7002 >")),
        ("dst host 10.0.0.2 and tcp", |flow| flow.contains("> 10.0.0.2:")),
        ("tcp port 7003 and ip", |flow| flow.contains(":7003")),
        ("ip6 src host fd00::1 and tcp", |flow| flow.starts_with("tcp6 fd00::1:")),
        ("ip6 and tcp and not port 7001", |_| false),
        ("ip proto 6 and src net 10.0.0.0/31", |flow| flow.starts_with("tcp4 10.0.0.1:")),
        ("udp", |_| false),
    ];
    let probes: Vec<String> = EARLY.iter().map(|name| format!("k:{name}")).chain([format!("tp:{WHOLE}")]).collect();
    let start = |filter: Option<&str>| -> Result<Recording> {
        let arguments =
            probes.iter().flat_map(|probe| ["-p", probe]).chain(filter.into_iter().flat_map(|text| ["-f", text]));
        Tracer::collect(arguments).start()
    };
    let all = start(None)?;
    let filtered = cases.iter().map(|(text, _)| start(Some(text))).collect::<Result<Vec<_>>>()?;
    let counter = HitCounter::new(&EARLY, &[])?;
    let before = counter.read()?;
    converse_all(&topology)?;
    let after = counter.read()?;

    let stop = |recording: Recording| -> Result<Recorded> {
        let recorded = recording.stop(libc::SIGINT)?;
        ensure!(recorded.ended.code() == 0 && recorded.summary()?.1 == 0, "{}", recorded.ended.stderr);
        Ok(recorded)
    };
    let events = stop(all)?.events()?;
    for symbol in EARLY {
        let hits = (after[symbol] - before[symbol]) as usize;
        assert!(hits > 0, "{symbol} was not hit");
        assert_eq!(events.at(symbol).count(), hits, "without a filter all are reported");
    }
    let series = events.series();
    for ((text, takes), recording) in cases.iter().zip(filtered) {
        let wanted: Vec<&Event> =
            series.values().filter(|series| takes(&flow(series))).flat_map(|series| series.iter().copied()).collect();
        let recorded = stop(recording)?;
        let found = recorded.events()?;
        let found: Vec<&Event> = found.hits().collect();
        assert_eq!(counts(&found), counts(&wanted), "{text}");
        assert!(!recorded.ended.stderr.contains("has no meaning"), "{text}: {}", recorded.ended.stderr);
    }
    Ok(())
}

#[test]
fn a_text_about_ethernet_matches_from_the_ethernet_header_on_and_that_is_said() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let probes = EARLY[..2].iter().map(|name| format!("k:{name}")).chain([format!("tp:{WHOLE}")]).collect::<Vec<_>>();
    let arguments = probes.iter().flat_map(|probe| ["-p", probe]).chain(["-f", "ether src 02:00:00:00:00:01"]);
    let recorded = Tracer::collect(arguments).during(|_| converse(&topology, "10.0.0.2:7001", "10.0.0.2:7001"))?;
    let stderr = &recorded.ended.stderr;
    assert_eq!(stderr.matches("has no meaning without an Ethernet header").count(), 1, "{stderr}");
    let events = recorded.events()?;
    assert!(events.at(WHOLE).count() > 5, "{:?}", events.counts());
    for event in events.hits() {
        // Data that is sent again from the same buffer has matched before.
        assert!(event.symbol() == WHOLE || event.sequence() > Some(0), "{event:?}");
        assert!(
            event.symbol() != WHOLE || event.flow().is_some_and(|flow| flow.starts_with("tcp4 10.0.0.1:")),
            "{event:?}"
        );
    }
    Ok(())
}

/// Datagrams from red to an address, as many as blue gets.
fn datagrams(topology: &Topology, to: &str, number: usize) -> Result<()> {
    let blue = topology.blue.enter(|| Ok(UdpSocket::bind("10.0.0.2:7000")?))?;
    let red = topology.red.enter(|| Ok(UdpSocket::bind("10.0.0.1:0")?))?;
    let mut buffer = [0; 100];
    for _ in 0..number {
        red.send_to(&[7; 50], to)?;
        ensure!(blue.recv(&mut buffer)? == 50);
    }
    Ok(())
}

#[test]
fn a_packet_that_matched_is_followed_when_its_address_is_translated() -> Result<()> {
    const DATAGRAMS: usize = 10;
    let topology = Topology::ipv4_only()?;
    topology.red.run("ip", "neighbour add 10.0.0.99 lladdr 02:00:00:00:00:02 dev veth0 nud permanent".split(' '))?;
    let translate = "table ip nat { chain arriving { type nat hook prerouting priority -100; ip daddr 10.0.0.99 dnat to 10.0.0.2; }; }";
    topology.blue.run("nft", [translate])?;
    let arguments = ["-p", "tp:net:netif_receive_skb", "-p", "k:ip_local_deliver", "-p", "k:udp_rcv"];
    let recorded = Tracer::collect(arguments.into_iter().chain(["-f", "dst host 10.0.0.99"])).during(|_| {
        topology.red.ping("10.0.0.2", 5)?;
        datagrams(&topology, "10.0.0.2:7000", DATAGRAMS)?;
        datagrams(&topology, "10.0.0.99:7000", DATAGRAMS)
    })?;
    let events = recorded.events()?;
    let series = events.series();
    assert_eq!(series.len(), DATAGRAMS, "{:?}", events.flows());
    for series in series.values() {
        let seen: Vec<(&str, bool)> = series
            .iter()
            .map(|event| (event.symbol(), event.flow().is_some_and(|flow| flow.ends_with("> 10.0.0.99:7000"))))
            .collect();
        assert_eq!(seen, [("net:netif_receive_skb", true), ("ip_local_deliver", false), ("udp_rcv", false)]);
        assert!(series[2].flow().is_some_and(|flow| flow.ends_with("> 10.0.0.2:7000")), "{series:?}");
    }
    Ok(())
}

#[test]
fn a_probe_with_a_filter_of_its_own_follows_no_other() -> Result<()> {
    const DATAGRAMS: usize = 10;
    let topology = Topology::ipv4_only()?;
    let arguments = [
        "-p",
        "k:ip_rcv",
        "-p",
        "k:ip_local_deliver/filter=icmp",
        "-p",
        "k:ip_output/filter=ip[9] = 1/meta=sk_buff.len > 20000",
    ];
    let recorded = Tracer::collect(arguments.into_iter().chain(["-f", "udp port 7000"])).during(|_| {
        topology.red.ping("10.0.0.2", 5)?;
        datagrams(&topology, "10.0.0.2:7000", DATAGRAMS)
    })?;
    let events = recorded.events()?;
    assert_eq!(events.counts(), BTreeMap::from([("ip_rcv", DATAGRAMS as u64), ("ip_local_deliver", 10)]));
    let of = |symbol: &'static str, protocol: &'static str| {
        events.at(symbol).all(|event| event.flow().is_some_and(|flow| flow.starts_with(protocol)))
    };
    assert!(of("ip_rcv", "udp4") && of("ip_local_deliver", "icmp4"), "{:?}", events.flows());
    Ok(())
}

#[test]
fn returns_are_events_only_of_calls_that_the_filter_took() -> Result<()> {
    const DATAGRAMS: usize = 50;
    let topology = Topology::ipv4_only()?;
    let arguments = ["-p", "kr:ip_rcv", "-p", "kr:ip_local_deliver", "-p", "k:ip_rcv", "-f", "udp dst port 7000"];
    let recorded = Tracer::collect(arguments).during(|_| {
        topology.red.ping("10.0.0.2", 500)?;
        datagrams(&topology, "10.0.0.2:7000", DATAGRAMS)?;
        topology.blue.ping("10.0.0.1", 500)
    })?;
    let events = recorded.events()?;
    let kinds: Vec<(&str, &str)> = events.hits().map(|event| (event.probe_type(), event.symbol())).collect();
    for kind in [("kprobe", "ip_rcv"), ("kretprobe", "ip_rcv"), ("kretprobe", "ip_local_deliver")] {
        assert_eq!(
            kinds.iter().filter(|seen| **seen == kind).count(),
            DATAGRAMS,
            "{kind:?}: {}",
            recorded.ended.stderr
        );
    }
    assert_eq!(kinds.len(), 3 * DATAGRAMS);
    assert_eq!(recorded.summary()?.1, 0, "{}", recorded.ended.stderr);
    assert!(events.losses().is_empty(), "{:?}", events.losses());
    Ok(())
}
