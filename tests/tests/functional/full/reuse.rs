// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Buffers that are used again, again and again, by two flows of which one is recorded: nothing of the other one may be.
//!
//! Cost: 20 s for 23,000 packets on a busy machine, twice; the table that is too small 15 s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tracer_tests::{Events, Identity, Namespace, PATIENCE, Snmp, Topology, Tracer, note, until};

use crate::everywhere::nic::card;

/// The port of the flow that is recorded, and that of the other one.
const WANTED: u16 = 7001;
const OTHER: u16 = 7002;

/// All datagrams are made of one number, again and again, so that every part of them tells which one it is. From here on they
/// are of the other flow.
const OTHER_NUMBERS: u64 = 1 << 32;

/// Sizes of datagrams: in a small buffer, in a large one, in page fragments, in three fragments of IP.
const SIZES: [usize; 5] = [16, 200, 800, 1400, 4000];

/// What is known of a packet by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    Datagram(u64),
    Segment { port: u16 },
}

/// Of a packet with an Ethernet header and IPv4.
fn content(packet: &[u8]) -> Option<Content> {
    let ip = packet.get(14..)?;
    let payload = ip.get(usize::from(ip.first()? & 0xf) * 4..)?;
    let port = |at: usize| Some(u16::from_be_bytes([*payload.get(at)?, *payload.get(at + 1)?]));
    match ip.get(9)? {
        6 => Some(Content::Segment {
            port: [port(0)?, port(2)?].into_iter().find(|port| [WANTED, OTHER].contains(port))?,
        }),
        17 => {
            let is_first = u16::from_be_bytes([ip[6], ip[7]]) & 0x1fff == 0;
            let numbers = if is_first { payload.get(8..)? } else { payload };
            Some(Content::Datagram(u64::from_be_bytes(numbers.get(..8)?.try_into().ok()?)))
        }
        _ => None,
    }
}

/// The values of a line of the file that are looked for: parsing all of it takes too long where there are hundreds of thousands.
fn read(line: &str) -> Result<Option<(Identity, Option<Content>)>> {
    let behind = |key: &str| line.split_once(key).map(|(_, rest)| rest);
    let (Some(tracking), Some(data)) = (behind(r#""skb-tracking":{"#), behind(r#""data":""#)) else { return Ok(None) };
    let number = |key: &str| -> Result<u64> {
        let (_, rest) = tracking.split_once(key).with_context(|| format!("no {key} in `{line}`"))?;
        Ok(rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse()?)
    };
    let data = data.split_once('"').context("no end of the data")?.0;
    // Four characters are three bytes.
    let packet = STANDARD.decode(&data[..data.len().min(96)])?;
    Ok(Some(((number(r#""timestamp":"#)?, number(r#""orig_head":"#)?), content(&packet))))
}

/// What each packet of a file was taken for.
fn contents(path: &Path) -> Result<BTreeMap<Identity, BTreeSet<Content>>> {
    let mut contents: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for line in BufReader::with_capacity(1 << 20, File::open(path)?).lines() {
        if let Some((identity, Some(content))) = read(&line?)? {
            contents.entry(identity).or_default().insert(content);
        }
    }
    Ok(contents)
}

/// Two hosts.
pub(crate) struct Hosts {
    red: Namespace,
    blue: Namespace,
    /// That of the blue one.
    address: &'static str,
}

impl Hosts {
    /// Joined by virtual Ethernet, with a receiver that merges packets.
    pub(crate) fn veth() -> Result<Self> {
        let topology = Topology::ipv4_only()?;
        topology.blue.run("ethtool", ["-K", "veth0", "gro", "on"])?;
        Ok(Self { red: topology.red, blue: topology.blue, address: "10.0.0.2" })
    }

    /// With a network card each.
    pub(crate) fn cards() -> Result<Self> {
        let (red, blue) = (card("red-cards", "eth0", "10.1.0.1/24")?, card("blue-cards", "eth1", "10.1.0.2/24")?);
        red.ping("10.1.0.2", 3)?;
        Ok(Self { red, blue, address: "10.1.0.2" })
    }
}

/// A receiver that takes what comes until all has been sent.
fn drain(socket: &UdpSocket, done: &AtomicBool) {
    let mut buffer = [0; 5000];
    while socket.recv(&mut buffer).is_ok() || !done.load(Ordering::Relaxed) {}
}

/// One flow: so many datagrams, and a stream beside them.
fn flow(hosts: &Hosts, port: u16, datagrams: u64, bytes: usize) -> Result<()> {
    let address = format!("{}:{port}", hosts.address);
    let server = hosts.blue.enter(|| Ok(UdpSocket::bind(&address)?))?;
    server.set_read_timeout(Some(Duration::from_millis(100)))?;
    let client = hosts.red.enter(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
    client.connect(&address)?;
    let listener = hosts.blue.enter(|| Ok(TcpListener::bind(&address)?))?;
    let mut sender = hosts.red.enter(|| Ok(TcpStream::connect(&address)?))?;
    let mut receiver = listener.accept()?.0;
    receiver.set_read_timeout(Some(PATIENCE))?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| drain(&server, &done));
        let stream = scope.spawn(move || sender.write_all(&vec![b'x'; bytes]));
        let received = scope.spawn(move || -> Result<usize> {
            let (mut buffer, mut all) = (vec![0; 1 << 16], 0);
            loop {
                match receiver.read(&mut buffer)? {
                    0 => return Ok(all),
                    length => all += length,
                }
            }
        });
        let first = if port == WANTED { 0 } else { OTHER_NUMBERS };
        let sent = (first..first + datagrams).try_for_each(|number| {
            let size = SIZES[number as usize % SIZES.len()];
            client.send(&number.to_be_bytes().repeat(size / 8)).map(drop)
        });
        done.store(true, Ordering::Relaxed);
        let panicked = "a thread of the test panicked";
        stream.join().expect(panicked)?;
        ensure!(received.join().expect(panicked)? == bytes, "TCP did not deliver");
        sent.context("a datagram can't be sent")
    })
}

/// Both flows at once, in at least so many packets: every event's bytes tell whose it is.
pub(crate) fn torture(hosts: &Hosts, packets: u64) -> Result<()> {
    let start = std::time::Instant::now();
    let probes = ["tp:net:net_dev_start_xmit", "tp:net:netif_receive_skb", "udp_rcv", "tcp_v4_rcv"];
    let filter = format!("port {WANTED}");
    let arguments = probes.iter().flat_map(|probe| ["-p", probe]);
    let arguments = arguments.chain(["-c", "skb,skb-tracking", "--ring-size", "64M", "-f", &filter]);
    // One datagram in five is three packets.
    let datagrams = packets * 5 / 7 / 2;
    let bytes = packets as usize * 20;
    let recorded = Tracer::collect(arguments).during(|_| {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| flow(hosts, OTHER, datagrams, bytes));
            flow(hosts, WANTED, datagrams, bytes)?;
            other.join().expect("a thread of the test panicked")
        })
    })?;
    let traffic = start.elapsed();
    let contents = contents(&recorded.path())?;
    let is_other = |content: &Content| match content {
        Content::Datagram(number) => *number >= OTHER_NUMBERS,
        Content::Segment { port } => *port == OTHER,
    };
    let others: Vec<_> = contents.iter().filter(|(_, contents)| contents.iter().any(is_other)).collect();
    assert!(others.is_empty(), "of the other flow: {} packets: {:?}", others.len(), &others[..others.len().min(10)]);
    let mixed: Vec<_> = contents.iter().filter(|(_, contents)| contents.len() != 1).collect();
    assert!(mixed.is_empty(), "several in one: {} packets: {:?}", mixed.len(), &mixed[..mixed.len().min(10)]);
    let heads: BTreeSet<u64> = contents.keys().map(|(_, head)| *head).collect();
    let sent = Snmp::read(&hosts.red)?;
    let sent = sent.get("IpOutRequests") + sent.get("IpFragCreates") + Snmp::read(&hosts.blue)?.get("IpOutRequests");
    note(format_args!(
        "{sent} packets, {} of them recorded in {} buffers; {traffic:.1?}, and {:.1?} to look at them\n{}",
        contents.len(),
        heads.len(),
        start.elapsed() - traffic,
        recorded.ended.stderr
    ));
    assert!(heads.len() < contents.len() / 2, "no buffer was used again: the test does not test");
    Ok(())
}

#[test]
fn nothing_of_another_flow_is_recorded_at_veth() -> Result<()> {
    torture(&Hosts::veth()?, 20_000)
}

#[test]
fn nothing_of_another_flow_is_recorded_at_a_network_card() -> Result<()> {
    torture(&Hosts::cards()?, 20_000)
}

/// Many more packets are alive than there are places, and most of them came out of others.
#[test]
fn a_table_that_is_too_small_links_nothing_to_what_it_did_not_come_out_of() -> Result<()> {
    const DATAGRAMS: u64 = 300;
    let hosts = Hosts::veth()?;
    let probes = ["ip_output", "tp:net:net_dev_start_xmit", "tp:net:netif_receive_skb", "udp_rcv", "skb_consume_udp"];
    let arguments = probes.iter().flat_map(|probe| ["-p", probe]).chain(["--table-size", "64"]);
    let address = format!("{}:{WANTED}", hosts.address);
    let recorded = Tracer::collect(arguments).during(|_| {
        let server = hosts.blue.enter(|| Ok(UdpSocket::bind(&address)?))?;
        server.set_nonblocking(true)?;
        let client = hosts.red.enter(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
        client.connect(&address)?;
        let (mut buffer, mut received) = ([0; 5000], 0);
        for round in 0..4 {
            // They wait in the socket: in as much memory as it may have.
            for number in round * DATAGRAMS..(round + 1) * DATAGRAMS {
                let size = SIZES[number as usize % SIZES.len()];
                client.send(&number.to_be_bytes().repeat(size / 8))?;
            }
            until("every datagram is received or had no room", || {
                while server.recv(&mut buffer).is_ok() {
                    received += 1;
                }
                Ok(received + Snmp::read(&hosts.blue)?.get("UdpRcvbufErrors") == (round + 1) * DATAGRAMS)
            })?;
        }
        Ok(())
    })?;
    let events = recorded.events()?;
    let mut contents: BTreeMap<Identity, BTreeSet<Content>> = BTreeMap::new();
    for event in events.hits() {
        if let (Some(identity), Some(content)) = (event.identity(), content(&event.packet())) {
            contents.entry(identity).or_default().insert(content);
        }
    }
    let mixed: Vec<_> = contents.values().filter(|contents| contents.len() != 1).collect();
    assert!(mixed.is_empty(), "different packets with one identity: {mixed:?}");
    let mut links = BTreeMap::new();
    for (link, identity) in events.hits().filter_map(|event| Some((event.link()?, event.identity()?))) {
        *links.entry(link.kind.clone()).or_insert(0) += 1;
        let (here, there) = (contents.get(&identity), contents.get(&link.parent));
        assert!(there.is_none() || here == there, "{link:?}: {here:?} is linked to {there:?}");
    }
    let evicted = evictions(&events);
    note(format_args!("{} packets, {evicted} evictions, {links:?}", contents.len()));
    assert!(links.contains_key("fragment") && links.contains_key("reassembly"), "{links:?}");
    assert!(evicted >= 64, "{evicted} evictions\n{}", recorded.ended.stderr);
    Ok(())
}

fn evictions(events: &Events) -> u64 {
    events.losses().iter().filter(|((cause, _), _)| cause == "tracking_evicted").map(|(_, count)| count).sum()
}
