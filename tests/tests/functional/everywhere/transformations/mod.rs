// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A packet is followed through everything that the kernel does to it: real traffic of many kinds, and of each packet the whole
//! series, from its first event to its last.
//!
//! The session has a filter that a packet matches in the form in which it is sent: by its port. What becomes of it (a fragment, a
//! packet in a tunnel, an encrypted one, one with other ports) does not match, so what is recorded of it was followed.
//!
//! Cost: one session for all of it, 15 s; fourteen namespaces and what is in them, 55 s on a busy machine. The tests themselves read.

mod copies;
mod encapsulation;
mod forwarding;
mod fragments;
mod nat;
mod places;
mod retransmission;
mod segments;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use places::Places;
use tracer_tests::{Event, Events, HitCounter, Identity, Link, Namespace, PATIENCE, Recorded, Series, Tracer, note};

/// Where packets are looked at.
const PROBES: [&str; 18] = [
    "ip_output",
    "ip_mc_output",
    "ip6_output",
    "tp:net:net_dev_start_xmit",
    "tp:net:netif_rx",
    "tp:net:napi_gro_receive_entry",
    "tp:net:netif_receive_skb",
    "packet_rcv",
    "ip_rcv",
    "ipv6_rcv",
    "ip_forward",
    "ip6_forward",
    "ip_local_deliver",
    "ip6_input",
    "udp_rcv",
    "udpv6_rcv",
    "tcp_v4_rcv",
    "xfrm4_output",
];

/// Ports of the traffic, 7000 and up: what is sent to or from one of them is recorded.
const FILTER: &str = "udp portrange 7000-7999 or tcp portrange 7000-7999 or src host 10.0.1.99";

/// The last byte of that address, from which tests send what they make by themselves.
const SELDOM: u8 = 99;

/// A kind of traffic.
struct Scene {
    name: &'static str,
    /// What it needs, before the session begins.
    prepare: fn(&Places) -> Result<()>,
    play: fn(&Places) -> Result<()>,
}

/// All that is played, in this order. The last ones leave devices as others don't want them.
const SCENES: [&[Scene]; 7] = [
    &copies::SCENES,
    &encapsulation::SCENES,
    &forwarding::SCENES,
    &fragments::SCENES,
    &nat::SCENES,
    &retransmission::SCENES,
    &segments::SCENES,
];

struct Recording {
    recorded: Recorded,
    events: Events,
    /// What went wrong with a scene.
    failures: BTreeMap<&'static str, String>,
}

static RECORDING: LazyLock<Recording> = LazyLock::new(|| record().expect("the traffic is recorded"));

fn record() -> Result<Recording> {
    let start = Instant::now();
    let places = Places::new()?;
    let mut failures = BTreeMap::new();
    let mut note_failure = |scene: &Scene, result: Result<()>| {
        if let Err(error) = result {
            failures.insert(scene.name, format!("{error:?}"));
        }
    };
    let scenes = || SCENES.into_iter().flatten();
    scenes().for_each(|scene| note_failure(scene, (scene.prepare)(&places)));
    let arguments = PROBES.iter().flat_map(|probe| ["-p", probe]).chain(["-f", FILTER]);
    let (made, mut ready, mut played) = (start.elapsed(), Duration::ZERO, Duration::ZERO);
    let recorded = Tracer::collect(arguments).during(|recording| {
        ready = recording.ready_after;
        scenes().for_each(|scene| note_failure(scene, (scene.play)(&places)));
        played = start.elapsed() - made - ready;
        Ok(())
    })?;
    let stopped = start.elapsed() - made - ready - played;
    note(format_args!(
        "made in {made:.1?}, ready after {ready:.1?}, played in {played:.1?}, stopped after {stopped:.1?}"
    ));
    Ok(Recording { events: recorded.events()?, recorded, failures })
}

/// What was recorded.
struct Seen(BTreeMap<Identity, Series<'static>>);

/// What was recorded; an error when this scene went wrong.
fn seen(scene: &'static str) -> Result<Seen> {
    match RECORDING.failures.get(scene) {
        Some(failure) => Err(anyhow!("{scene}: {failure}")),
        None => Ok(Seen(RECORDING.events.series())),
    }
}

impl Seen {
    /// The packets that were sent to a port and came out of no other, in the order of time.
    fn sent_to(&self, port: u16) -> Vec<&Series<'static>> {
        let to = format!(":{port}");
        let is_wanted = |series: &&Series<'_>| {
            series[0].link().is_none() && series[0].flow().is_some_and(|flow| flow.ends_with(&to))
        };
        self.0.values().filter(is_wanted).collect()
    }

    /// So many packets that were sent to a port, and came out of no other.
    #[track_caller]
    fn all<const COUNT: usize>(&self, port: u16) -> [&Series<'static>; COUNT] {
        let sent = self.sent_to(port);
        let count = sent.len();
        sent.try_into().unwrap_or_else(|_| panic!("{count} packets to {port}, not {COUNT}\n{}", self.describe(port)))
    }

    /// The packets that came out of this one, in the order of time.
    fn children(&self, parent: &[&Event]) -> Vec<&Series<'static>> {
        let parent = parent[0].identity();
        let comes_out = |link: Link| is_origin(&link) && Some(link.parent) == parent;
        self.0.values().filter(|series| series[0].link().is_some_and(comes_out)).collect()
    }

    /// The packets that this one took in, in the order in which it did.
    fn absorbed(&self, packet: &[&Event]) -> Vec<&Series<'static>> {
        let links = packet.iter().filter_map(|event| event.link()).filter(|link| !is_origin(link));
        links.map(|link| &self.0[&link.parent]).collect()
    }

    /// That a packet took in these, in this order.
    #[track_caller]
    fn assert_took_in(&self, packet: &[&Event], others: &[&Series<'static>]) {
        let names = |packets: &[&Series<'_>]| packets.iter().map(|series| series[0].identity()).collect::<Vec<_>>();
        assert_eq!(names(&self.absorbed(packet)), names(others), "\n{}", describe(packet));
    }

    /// Everything that has to do with a port, for messages.
    fn describe(&self, port: u16) -> String {
        let port = format!(":{port}");
        let mut wanted: BTreeSet<Identity> = BTreeSet::new();
        loop {
            let before = wanted.len();
            for (identity, series) in &self.0 {
                let links: Vec<Identity> = series.iter().filter_map(|event| Some(event.link()?.parent)).collect();
                if series.iter().any(|event| event.flow().is_some_and(|flow| flow.contains(&port)))
                    || links.iter().any(|link| wanted.contains(link))
                {
                    wanted.insert(*identity);
                    wanted.extend(links);
                }
            }
            if wanted.len() == before {
                break;
            }
        }
        let lines = wanted.iter().filter_map(|identity| Some((identity, self.0.get(identity)?)));
        lines.map(|(identity, series)| format!("{identity:?}:\n{}", describe(series))).collect()
    }
}

/// Whether a packet came out of the other one, and did not take it in.
fn is_origin(link: &Link) -> bool {
    !["merge", "reassembly"].contains(&link.kind.as_str())
}

/// The side where an event is, without what tells the namespaces of the scenes from each other.
fn side(event: &Event) -> &str {
    let name = event.namespace();
    let name = name.split_once('-').map_or(name, |(_, side)| side).trim_end_matches(|c: char| c.is_ascii_digit());
    if name.is_empty() { "-" } else { name }
}

/// An event in words: where, at which probe, at which device, and its link.
fn words(event: &Event) -> String {
    let link = event.link().map(|link| format!(" [{}]", link.kind)).unwrap_or_default();
    let symbol = event.symbol().split_once(':').map_or(event.symbol(), |(_, name)| name);
    let device = event.device();
    let device = if device.is_empty() { "-" } else { device };
    format!("{} {symbol} {device}{link}", side(event))
}

fn describe(series: &[&Event]) -> String {
    let line = |event: &&Event| {
        let flow = event.flow().unwrap_or_default();
        let length = event.get("/packet/len");
        format!("    {:?} {} len {length} {flow} {:?}\n", event.sequence(), words(event), event.link())
    };
    series.iter().map(line).collect()
}

/// Red sends, by way of a router or not.
const SENT: &str = "
    red ip_output -
    red net_dev_start_xmit veth0
";
/// The router between red and blue.
const ROUTED: &str = "
    middle netif_rx left
    middle netif_receive_skb left
    middle ip_rcv left
    middle ip_forward left
    middle ip_output left
    middle net_dev_start_xmit right
";
const ARRIVED: &str = "
    blue netif_rx veth0
    blue netif_receive_skb veth0
    blue ip_rcv veth0
    blue ip_local_deliver veth0
";
const TAKEN: &str = "
    blue udp_rcv veth0
";

/// Compares a series, from the first event to the last, with lines of words.
#[track_caller]
fn assert_story<const PARTS: usize>(series: &[&Event], expected: [&str; PARTS]) {
    let seen: Vec<String> = series.iter().map(|event| words(event)).collect();
    assert_eq!(seen, lines(&expected.concat()), "\n{}", describe(series));
}

/// Compares the events of a series in one namespace. Where a packet goes several ways at once, only these have an order.
#[track_caller]
fn assert_at_side(series: &[&Event], wanted: &str, expected: &str) {
    let seen: Vec<String> = series.iter().filter(|event| side(event) == wanted).map(|event| words(event)).collect();
    assert_eq!(seen, lines(expected), "\n{}", describe(series));
}

fn lines(text: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(words).filter(|line| !line.is_empty()).collect()
}

/// The functions of IPv6 in the places of those of IPv4.
fn for_ipv6(text: &str) -> String {
    let names = [
        ("ip_output", "ip6_output"),
        ("ip_rcv", "ipv6_rcv"),
        ("ip_forward", "ip6_forward"),
        ("ip_local_deliver", "ip6_input"),
        ("udp_rcv", "udpv6_rcv"),
    ];
    names.iter().fold(text.to_owned(), |text, (old, new)| text.replace(old, new))
}

/// What a packet was, one after the other: without what can't be told.
fn forms(series: &[&Event]) -> Vec<String> {
    let mut forms: Vec<String> = series.iter().filter_map(|event| event.flow()).collect();
    forms.dedup();
    forms
}

/// Sends a datagram and waits until it has arrived.
fn deliver(from: &Namespace, to: &Namespace, address: &str, payload: &[u8]) -> Result<()> {
    let server = receiver(to, address)?;
    sender(from, address)?.send(payload)?;
    receive(&server, payload)
}

/// A socket that waits for datagrams to this address.
fn receiver(namespace: &Namespace, address: &str) -> Result<UdpSocket> {
    let socket = namespace.enter(|| UdpSocket::bind(address).with_context(|| address.to_owned()))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// A socket that sends datagrams to this address.
fn sender(namespace: &Namespace, address: &str) -> Result<UdpSocket> {
    let address: SocketAddr = address.parse()?;
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = namespace.enter(|| Ok(UdpSocket::bind(any)?))?;
    socket.connect(address)?;
    Ok(socket)
}

/// Both ends of a TCP connection.
fn connect(from: &Namespace, to: &Namespace, address: &str) -> Result<(TcpStream, TcpStream)> {
    let listener = to.enter(|| TcpListener::bind(address).with_context(|| address.to_owned()))?;
    let client = from.enter(|| Ok(TcpStream::connect(address)?))?;
    let server = listener.accept()?.0;
    server.set_read_timeout(Some(PATIENCE))?;
    Ok((client, server))
}

/// Sees to it that the traffic makes the kernel call one of these functions. Somebody else than `tracer` counts.
fn calling(functions: &[&str], traffic: impl FnOnce() -> Result<()>) -> Result<()> {
    let counter = HitCounter::new(functions, &[])?;
    let before = counter.read()?;
    traffic()?;
    ensure!(counter.read()? != before, "{functions:?}: not called, the test does not test");
    Ok(())
}

fn receive(socket: &UdpSocket, payload: &[u8]) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let length = socket.recv(&mut buffer).context("no datagram comes")?;
    ensure!(buffer[..length] == *payload, "another datagram came, of {length} bytes");
    Ok(())
}

#[test]
fn every_scene_is_played_and_nothing_of_it_is_lost() -> Result<()> {
    assert_eq!(RECORDING.failures, BTreeMap::new());
    assert_eq!(RECORDING.recorded.summary()?.1, 0, "{}", RECORDING.recorded.ended.stderr);
    Ok(())
}

#[test]
fn the_events_of_every_packet_are_numbered_without_holes() {
    for (identity, series) in RECORDING.events.series() {
        let numbers: Vec<u64> = series.iter().filter_map(|event| event.sequence()).collect();
        assert_eq!(numbers, (0..series.len() as u64).collect::<Vec<_>>(), "{identity:?}:\n{}", describe(&series));
    }
}

#[test]
fn every_link_leads_to_a_packet_that_was_seen_and_its_root() {
    let all = RECORDING.events.series();
    let origin = |identity: &Identity| all.get(identity)?[0].link().filter(is_origin);
    for (identity, series) in &all {
        for (number, event) in series.iter().enumerate() {
            let Some(link) = event.link() else { continue };
            assert!(all.contains_key(&link.parent), "{identity:?}: {link:?}\n{}", describe(series));
            assert_ne!(link.parent, *identity, "a packet is linked to itself:\n{}", describe(series));
            if is_origin(&link) {
                assert_eq!(number, 0, "where a packet came from is told by its first event:\n{}", describe(series));
                let mut root = link.parent;
                while let Some(above) = origin(&root) {
                    root = above.parent;
                }
                assert_eq!(link.root, Some(root), "{identity:?}:\n{}", describe(series));
            } else {
                assert_eq!(event.probe_type(), "kretprobe", "{identity:?}:\n{}", describe(series));
            }
        }
    }
}
