// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ping, TCP and UDP over IPv4 and IPv6, and ping in a VLAN, between two namespaces: one session, which all tests here read.
//!
//! Cost: one topology and one session, 4 s; each command that reads the file less than 1 s.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::LazyLock;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::{Event, Events, Recorded, Series, Snmp, Topology, Tracer, python, until};

/// Along the way of a packet: on the sender's side, then on the receiver's.
const SENDING: [&str; 4] = ["ip_output", "ip6_output", "net:net_dev_queue", "net:net_dev_start_xmit"];
const RECEIVING: [&str; 12] = [
    "net:netif_rx",
    "net:netif_receive_skb",
    "ip_rcv",
    "ipv6_rcv",
    "ip_local_deliver",
    "ip6_input",
    "icmp_rcv",
    "icmpv6_rcv",
    "udp_rcv",
    "udpv6_rcv",
    "tcp_v4_rcv",
    "tcp_v6_rcv",
];

struct Walk {
    recorded: Recorded,
    events: Events,
    /// Names of the namespaces.
    red: String,
    blue: String,
    /// What the kernel counted in both namespaces together.
    counted: BTreeMap<&'static str, u64>,
}

static WALK: LazyLock<Walk> = LazyLock::new(|| record().expect("the traffic is recorded"));

fn record() -> Result<Walk> {
    let topology = Topology::new()?;
    let mut arguments = vec!["-c", "auto"];
    SENDING.iter().chain(&RECEIVING).for_each(|probe| arguments.extend(["-p", probe]));
    let recorded = Tracer::collect(arguments).during(|_| {
        topology.red.ping("10.0.0.2", 5)?;
        topology.red.ping("fd00::2", 5)?;
        topology.blue.ping("10.0.100.1", 5)?;
        for (red, blue) in [("10.0.0.1:0", "10.0.0.2:7000"), ("[fd00::1]:0", "[fd00::2]:7000")] {
            udp(&topology, red, blue)?;
            tcp(&topology, blue)?;
        }
        // The last packet of a connection is nobody's answer: it may still be on its way.
        until("every TCP segment has arrived", || {
            let (red, blue) = (Snmp::read(&topology.red)?, Snmp::read(&topology.blue)?);
            Ok(red.get("TcpOutSegs") == blue.get("TcpInSegs") && blue.get("TcpOutSegs") == red.get("TcpInSegs"))
        })
    })?;
    let sides = [Snmp::read(&topology.red)?, Snmp::read(&topology.blue)?];
    let counters = [
        "IcmpInMsgs",
        "Icmp6InEchos",
        "Icmp6InEchoReplies",
        "TcpInSegs",
        "UdpInDatagrams",
        "Udp6InDatagrams",
        "IpInReceives",
    ];
    Ok(Walk {
        events: recorded.events()?,
        recorded,
        red: topology.red.name().to_owned(),
        blue: topology.blue.name().to_owned(),
        counted: counters.iter().map(|&name| (name, sides.iter().map(|side| side.get(name)).sum())).collect(),
    })
}

/// Ten datagrams there and back.
fn udp(topology: &Topology, red: &str, blue: &str) -> Result<()> {
    let blue = topology.blue.enter(|| Ok(UdpSocket::bind(blue)?))?;
    let red = topology.red.enter(|| Ok(UdpSocket::bind(red)?))?;
    let (mut buffer, to, back) = ([0; 100], blue.local_addr()?, red.local_addr()?);
    for number in 0..10 {
        red.send_to(&[number; 50], to)?;
        ensure!(blue.recv(&mut buffer)? == 50);
        blue.send_to(&[number; 60], back)?;
        ensure!(red.recv(&mut buffer)? == 60);
    }
    Ok(())
}

/// A connection, some bytes there and back, and its orderly end.
fn tcp(topology: &Topology, blue: &str) -> Result<()> {
    let listener = topology.blue.enter(|| Ok(TcpListener::bind(blue)?))?;
    let mut client = topology.red.enter(|| Ok(TcpStream::connect(listener.local_addr()?)?))?;
    let mut server = listener.accept()?.0;
    let mut received = [0; 1000];
    for _ in 0..5 {
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

/// Where a packet of this flow must be seen.
fn expected(flow: &str) -> Vec<&'static str> {
    let (protocol, addresses) = flow.split_once(' ').expect("a flow begins with its protocol");
    let vlan = addresses.starts_with("10.0.100.");
    let device = ["net:net_dev_queue", "net:net_dev_start_xmit"];
    let mut path = vec![if protocol.ends_with('6') { "ip6_output" } else { "ip_output" }];
    path.extend(device);
    if vlan {
        // First on the VLAN's device, then on the one below.
        path.extend(device);
    }
    path.extend(["net:netif_rx", "net:netif_receive_skb"]);
    path.extend(if protocol.ends_with('6') { ["ipv6_rcv", "ip6_input"] } else { ["ip_rcv", "ip_local_deliver"] });
    path.push(match protocol {
        "icmp4" => "icmp_rcv",
        "icmp6" => "icmpv6_rcv",
        "udp4" => "udp_rcv",
        "udp6" => "udpv6_rcv",
        "tcp4" => "tcp_v4_rcv",
        "tcp6" => "tcp_v6_rcv",
        other => panic!("{other} was not sent"),
    });
    path
}

/// The packets that the test sent: flow and series.
fn packets() -> Vec<(String, Series<'static>)> {
    let packets: Vec<_> =
        WALK.events.series().into_values().filter_map(|series| Some((series[0].flow()?, series))).collect();
    assert!(!packets.is_empty(), "no packet was recorded");
    packets
}

fn describe(series: &[&Event]) -> String {
    let lines = series.iter().map(|event| {
        let place = format!("{:24} {} {}", event.symbol(), event.namespace(), event.device());
        format!("  {:?} {} {place} {:?}", event.sequence(), event.timestamp(), event.flow())
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn sees_every_packet_at_every_probe_on_its_way_in_order() {
    for (flow, series) in packets() {
        let symbols: Vec<&str> = series.iter().map(|event| event.symbol()).collect();
        assert_eq!(symbols, expected(&flow), "{flow}:\n{}", describe(&series));
        assert!(series.is_sorted_by_key(|event| event.timestamp()), "{flow}:\n{}", describe(&series));
        assert_eq!(series[0].timestamp(), series[0].identity().unwrap().0, "an identity begins with the first event");
    }
}

#[test]
fn numbers_the_events_of_a_packet_without_holes() {
    for (flow, series) in packets() {
        let numbers: Vec<Option<u64>> = series.iter().map(|event| event.sequence()).collect();
        let holeless: Vec<Option<u64>> = (0..series.len() as u64).map(Some).collect();
        assert_eq!(numbers, holeless, "{flow}:\n{}", describe(&series));
    }
}

#[test]
fn shows_the_same_packet_at_every_probe() {
    for (flow, series) in packets() {
        for event in &series {
            assert_eq!(event.flow().as_ref(), Some(&flow), "{}", describe(&series));
        }
        // At ip_output a made-up Ethernet header stands in for the one that is not there yet.
        let (first, last) = (series[0].packet(), series[series.len() - 1].packet());
        let length = first.len().min(last.len());
        assert_eq!(first[14..length], last[14..length], "{flow}");
    }
}

#[test]
fn knows_on_which_side_of_a_veth_pair_a_packet_is() {
    for (flow, series) in packets() {
        let source = flow.split_whitespace().nth(1).unwrap();
        let source = if flow.starts_with("icmp") { source } else { source.rsplit_once(':').unwrap().0 };
        let from_red = ["10.0.0.1", "10.0.100.1", "fd00::1"].contains(&source);
        let (sender, receiver) = if from_red { (&WALK.red, &WALK.blue) } else { (&WALK.blue, &WALK.red) };
        for event in &series {
            let side = if SENDING.contains(&event.symbol()) { sender } else { receiver };
            assert_eq!(event.namespace(), side, "{flow} at {}:\n{}", event.symbol(), describe(&series));
        }
    }
}

#[test]
fn sees_as_many_packets_as_the_kernel_counted() {
    let at = |symbols: &[&str]| symbols.iter().map(|symbol| WALK.events.at(symbol).count() as u64).sum::<u64>();
    let flows = |prefix: &str| packets().iter().filter(|(flow, _)| flow.starts_with(prefix)).count() as u64;
    let counted = |name: &str| WALK.counted[name];
    assert_eq!(at(&["icmp_rcv"]), counted("IcmpInMsgs"));
    assert_eq!(at(&["ip_rcv"]), counted("IpInReceives"));
    assert_eq!(at(&["tcp_v4_rcv", "tcp_v6_rcv"]), counted("TcpInSegs"));
    assert_eq!(flows("tcp"), counted("TcpInSegs"));
    assert_eq!((flows("icmp4"), flows("udp4"), flows("udp6")), (20, 20, 20));
    assert_eq!(flows("icmp6"), counted("Icmp6InEchos") + counted("Icmp6InEchoReplies"));
    assert_eq!(flows("icmp6"), 10);
    assert_eq!((counted("UdpInDatagrams"), counted("Udp6InDatagrams")), (20, 20));
}

#[test]
fn shows_the_tag_of_a_vlan_that_the_device_is_to_insert() {
    for (flow, series) in packets() {
        let in_vlan = flow.contains(" 10.0.100.");
        for (index, event) in series.iter().enumerate() {
            // From the device below the VLAN's to the one below the VLAN's on the other side.
            let tagged = in_vlan && (3..=6).contains(&index);
            let vid = event.get("/skb/vlan_accel/vid");
            assert_eq!(*vid, if tagged { Value::from(100) } else { Value::Null }, "{flow}:\n{}", describe(&series));
            let device = match (in_vlan, tagged) {
                (true, false) => "vlan100",
                _ => "veth0",
            };
            // At ip_output no device is chosen yet.
            assert!(index == 0 || event.device() == device, "{flow} at {index}:\n{}", describe(&series));
        }
    }
}

#[test]
fn sorts_its_own_file_into_the_same_series() -> Result<()> {
    let sorted = WALK.recorded.file("sorted.json");
    Tracer::output(["sort".as_ref(), WALK.recorded.path().as_os_str(), "-o".as_ref(), sorted.as_os_str()])?;
    let text = std::fs::read_to_string(&sorted)?;
    let lines: Vec<Vec<Value>> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(lines[0].len(), 1);
    assert!(lines[0][0].get("startup").is_some(), "{:?}", lines[0]);
    assert_eq!(lines.iter().map(Vec::len).sum::<usize>(), WALK.events.0.len(), "events were lost or doubled");
    let own = WALK.events.series();
    let mut seen = BTreeSet::new();
    for line in &lines[1..] {
        let events: Vec<Event> = line.iter().cloned().map(Event).collect();
        let Some(identity) = events[0].identity() else {
            assert_eq!(events.len(), 1, "events of no packet stand alone: {line:?}");
            continue;
        };
        assert!(seen.insert(identity), "two series of one packet");
        let series: Vec<u64> = own[&identity].iter().map(|event| event.timestamp()).collect();
        assert_eq!(events.iter().map(Event::timestamp).collect::<Vec<_>>(), series);
        let indices: Vec<u64> = events.iter().map(|event| event.get("/tracking/idx").as_u64().unwrap()).collect();
        assert_eq!(indices, (0..series.len() as u64).collect::<Vec<_>>());
    }
    assert_eq!(seen.len(), own.len());
    let first: Vec<u64> = lines[1..].iter().map(|line| line[0]["common"]["timestamp"].as_u64().unwrap()).collect();
    assert!(first.is_sorted(), "series are in the order of their first events");
    Ok(())
}

#[test]
fn prints_every_event_and_every_series_as_text() -> Result<()> {
    let path = WALK.recorded.path();
    let headers = |text: &str| text.lines().filter(|line| line.contains("[tp]") || line.contains("[k]")).count();
    let printed = Tracer::output(["print".as_ref(), path.as_os_str()])?;
    let sorted = Tracer::output(["sort".as_ref(), path.as_os_str()])?;
    let hits = WALK.events.hits().count();
    assert_eq!(headers(&printed), hits, "{printed}");
    assert_eq!(headers(&sorted), hits, "{sorted}");
    // All events of a packet but the first stand behind an arrow.
    let later: usize = WALK.events.series().values().map(|series| series.len() - 1).sum();
    assert_eq!(sorted.lines().filter(|line| line.starts_with("  ↳ ")).count(), later, "{sorted}");
    for words in ["10.0.0.1 > 10.0.0.2", "fd00::1", "ICMP", "ICMPv6", "TCP", "UDP", "vlan", &format!("({})", WALK.red)]
    {
        assert!(sorted.to_lowercase().contains(&words.to_lowercase()), "`{words}` is not in:\n{sorted}");
    }
    Ok(())
}

#[test]
fn the_reader_of_retis_finds_the_same_events_and_series() -> Result<()> {
    let sorted = WALK.recorded.file("sorted-for-retis.json");
    Tracer::output(["sort".as_ref(), WALK.recorded.path().as_os_str(), "-o".as_ref(), sorted.as_os_str()])?;
    let own = WALK.events.series();
    let mut lengths: Vec<u64> = own.values().map(|series| series.len() as u64).collect();
    lengths.resize(lengths.len() + WALK.events.0.len() - lengths.iter().sum::<u64>() as usize, 1);
    lengths.sort_unstable();
    for (path, is_sorted) in [(WALK.recorded.path(), false), (sorted, true)] {
        let found: Value = serde_json::from_str(&python("read_with_retis.py", [&path])?).context("not JSON")?;
        assert_eq!(found["sorted"], is_sorted, "{found}");
        assert_eq!(found["events"], WALK.events.0.len(), "{found}");
        assert_eq!(found["packets"], own.len(), "{found}");
        let with = |name: &str| WALK.events.0.iter().filter(|event| event.0.get(name).is_some()).count();
        for section in ["common", "kernel", "packet", "skb-tracking", "netns", "dev", "skb"] {
            // The reader's names are Python's.
            assert_eq!(found["sections"][section.replace('-', "_")], with(section), "{section}: {found}");
        }
        if is_sorted {
            let mut series: Vec<u64> = serde_json::from_value(found["series"].clone())?;
            series.sort_unstable();
            assert_eq!(series, lengths);
        }
    }
    Ok(())
}
