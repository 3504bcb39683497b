// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--filter-inner`: a packet is found by what it is inside a tunnel, before it is taken out and after it was put in.
//!
//! A packet that has matched once passes everywhere. So there is one probe a session, which sees each packet inside the tunnel
//! before it sees it outside, or never sees it outside: what is recorded there is what the filter itself has found.
//!
//! Cost: one topology with many tunnels, four sessions with the same traffic, 20 s.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use anyhow::{Context as _, Result, ensure};
use tempfile::NamedTempFile;
use tracer_tests::{Event, Events, Namespace, Recorded, Topology, Tracer, run};

/// Only veth devices: packets come here when they are in the tunnel already.
const TRANSMIT: &str = "kprobe:veth_xmit";
/// All devices, that of the tunnel after the one below it.
const RECEIVE: &str = "tp:net:netif_receive_skb";

/// The packets that are wanted. Those between 10.65.0.0/16 and fd65::/16 take the same ways.
const FILTER: &str = "(icmp and net 10.64.0.0/16) or (icmp6 and net fd64::/16)";

/// What the kernel's tunnels are made with: devices on both sides, for which `OWN` and `OTHER` stand for the ends of addresses.
const TUNNELS: [&str; 18] = [
    "vxlan id 1 local 10.0.0.OWN remote 10.0.0.OTHER dstport 4789",
    "vxlan id 2 local 10.0.0.OWN remote 10.0.0.OTHER dstport 5000",
    "vxlan id 3 local fd00::OWN remote fd00::OTHER dstport 4789",
    "vxlan id 4 local 10.0.100.OWN remote 10.0.100.OTHER dstport 8472",
    "vxlan id 5 local 10.0.0.OWN remote 10.0.0.OTHER dstport 5001 gbp",
    "geneve id 1 remote 10.0.0.OTHER dstport 6081",
    "geneve id 2 remote fd00::OTHER dstport 5002",
    "geneve id 3 remote 10.0.0.OTHER dstport 5003 innerprotoinherit",
    "gre local 10.0.0.OWN remote 10.0.0.OTHER",
    "gre local 10.0.0.OWN remote 10.0.0.OTHER key 1 csum seq",
    "gretap local 10.0.0.OWN remote 10.0.0.OTHER key 2",
    "erspan local 10.0.0.OWN remote 10.0.0.OTHER seq key 3 erspan_ver 1 erspan 1",
    "erspan local 10.0.0.OWN remote 10.0.0.OTHER seq key 4 erspan_ver 2 erspan_dir ingress erspan_hwid 1",
    "ip6gre local fd00::OWN remote fd00::OTHER key 5",
    "ip6gretap local fd00::OWN remote fd00::OTHER key 6",
    "ipip local 10.0.0.OWN remote 10.0.0.OTHER",
    "sit local 10.0.0.OWN remote 10.0.0.OTHER",
    "ip6tnl mode any local fd00::OWN remote fd00::OTHER",
];

/// Echo requests in each tunnel, each of which is answered.
const PINGS: u32 = 3;

/// The address in a tunnel by its number; `net` is 64 where packets are wanted, else 65.
fn inner_address(tunnel: usize, net: u8, side: u8) -> String {
    if TUNNELS[tunnel].starts_with("sit") {
        format!("fd{net}:{tunnel}::{side}")
    } else {
        format!("10.{net}.{tunnel}.{side}")
    }
}

/// Source and destination as they stand in a packet from one side to the other.
fn inner_addresses(tunnel: usize, net: u8, from: u8, to: u8) -> Vec<u8> {
    let bytes = |side| match inner_address(tunnel, net, side).parse().expect("it is an address") {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    [bytes(from), bytes(to)].concat()
}

fn contains(packet: &[u8], bytes: &[u8]) -> bool {
    packet.windows(bytes.len()).any(|window| window == bytes)
}

struct Recordings {
    transmit: Recorded,
    receive: Recorded,
    transmit_without: Recorded,
    receive_without: Recorded,
}

static RECORDINGS: LazyLock<Recordings> = LazyLock::new(|| record().expect("the traffic is recorded"));

fn record() -> Result<Recordings> {
    run("modprobe", ["-a", "vxlan", "geneve", "ip_gre", "ip6_gre", "ipip", "sit", "ip6_tunnel"])?;
    let topology = Topology::new()?;
    make_tunnels(&topology.red, 1, 2)?;
    make_tunnels(&topology.blue, 2, 1)?;
    let inner = ["--filter-inner", "--tunnel-port", "7777,7778:fou", "--tunnel-port", "7779:gue"];
    let record = |probe, options: &[&str]| {
        let arguments =
            ["-p", probe, "-f", FILTER, "--skb-sections", "meta"].into_iter().chain(options.iter().copied());
        Tracer::collect(arguments).during(|_| traffic(&topology))
    };
    Ok(Recordings {
        transmit: record(TRANSMIT, &inner)?,
        receive: record(RECEIVE, &inner)?,
        transmit_without: record(TRANSMIT, &[])?,
        receive_without: record(RECEIVE, &[])?,
    })
}

fn make_tunnels(namespace: &Namespace, own: u8, other: u8) -> Result<()> {
    let mut batch = NamedTempFile::new()?;
    for (number, tunnel) in TUNNELS.iter().enumerate() {
        let tunnel = tunnel.replace("OWN", &own.to_string()).replace("OTHER", &other.to_string());
        writeln!(batch, "link add t{number} type {tunnel}\nlink set t{number} up")?;
        for net in [64, 65] {
            let address = inner_address(number, net, own);
            let (length, options) = if address.contains(':') { (64, " nodad") } else { (24, "") };
            writeln!(batch, "address add {address}/{length} dev t{number}{options}")?;
        }
    }
    let path = batch.path().to_str().context("the path is text")?;
    namespace.run("ip", ["-batch", path])?;
    Ok(())
}

fn traffic(topology: &Topology) -> Result<()> {
    for number in 0..TUNNELS.len() {
        for (net, count) in [(64, PINGS), (65, 1)] {
            topology.red.ping(&inner_address(number, net, 2), count)?;
        }
    }
    FRAMES.iter().try_for_each(|frame| frame.send(&topology.red))?;
    send_pages(topology)
}

/// Source address in a packet whose bytes, from the header of VXLAN on, are in the pages of a file.
const PAGED: [u8; 4] = [10, 64, 201, 1];

fn send_pages(topology: &Topology) -> Result<()> {
    let mut file = tempfile::tempfile()?;
    let payload = vxlan([8, 0, 0, 0], &over_ipv4(&echo_request(PAGED)));
    file.write_all(&payload)?;
    let socket = topology.red.enter(|| Ok(UdpSocket::bind("10.0.0.1:0")?))?;
    socket.connect("10.0.0.2:4789")?;
    let mut offset = 0;
    // SAFETY: both descriptors are open, and the offset is ours.
    let sent = unsafe { libc::sendfile(socket.as_raw_fd(), file.as_raw_fd(), &raw mut offset, payload.len()) };
    ensure!(sent == payload.len() as isize, "sendfile: {sent}: {}", std::io::Error::last_os_error());
    Ok(())
}

/// Where the tunnels' packets are, inside.
fn below(events: &Events) -> impl Iterator<Item = &Event> {
    events.hits().filter(|event| event.device() == "veth0")
}

fn count(events: &Events, tunnel: usize, net: u8) -> [usize; 2] {
    [(1, 2), (2, 1)].map(|(from, to)| {
        let addresses = inner_addresses(tunnel, net, from, to);
        below(events).filter(|event| contains(&event.packet(), &addresses)).count()
    })
}

#[test]
fn packets_are_found_inside_every_kind_of_tunnel() -> Result<()> {
    for recorded in [&RECORDINGS.transmit, &RECORDINGS.receive] {
        let events = recorded.events()?;
        assert!(recorded.ended.stderr.contains(" 0 lost"), "{}", recorded.ended.stderr);
        for (number, tunnel) in TUNNELS.iter().enumerate() {
            assert_eq!(count(&events, number, 64), [PINGS as usize; 2], "{tunnel}: {}", recorded.ended.stderr);
            assert_eq!(count(&events, number, 65), [0; 2], "{tunnel}");
        }
        // There is no other event that could have led to those.
        for (identity, series) in events.series() {
            assert_eq!(series[0].device(), "veth0", "{identity:?}: {series:?}");
        }
    }
    Ok(())
}

#[test]
fn without_the_option_only_the_outer_packet_counts() -> Result<()> {
    assert_eq!(RECORDINGS.transmit_without.events()?.hits().count(), 0);
    let events = RECORDINGS.receive_without.events()?;
    assert_eq!(below(&events).count(), 0, "{events:?}");
    // Behind the tunnel the filter has always found them.
    for (number, tunnel) in TUNNELS.iter().enumerate() {
        let device = format!("t{number}");
        let found = events.hits().filter(|event| event.device() == device).count();
        assert_eq!(found, 2 * PINGS as usize, "{tunnel}");
    }
    Ok(())
}

#[test]
fn the_ports_of_tunnels_are_said() -> Result<()> {
    let stderr = &RECORDINGS.transmit.ended.stderr;
    let note = stderr.lines().find(|line| line.starts_with("note: ")).context("a note on the ports")?;
    assert_eq!(
        note,
        "note: tunnels over UDP are looked for at the ports 4789 (vxlan), 4790 (vxlan), 5000 (vxlan), 5001 (vxlan), \
         5002 (geneve), 5003 (geneve), 6081 (geneve), 7777 (vxlan or geneve), 7778 (fou), 7779 (gue), 8472 (vxlan)"
    );
    assert!(!RECORDINGS.transmit_without.ended.stderr.contains("tunnels"));
    Ok(())
}

/// A frame that no device makes here, with an echo request inside.
struct Frame {
    name: &'static str,
    bytes: fn(inner: &[u8]) -> Vec<u8>,
    is_found: bool,
}

const FRAMES: [Frame; 22] = [
    found("two VLAN tags", |inner| {
        ethernet(0x88a8, &join(&[&[0, 5, 0x81, 0, 0, 6, 8, 0], &ipv4(47, 0, &gre(0, 0x0800, inner))]))
    }),
    found("options of IPv4", |inner| over_ipv4(&ipv4_with_options(4, inner))),
    found("all parts of GRE", |inner| over_ipv4(&ipv4(47, 0, &gre(0xb000, 0x6558, &over_ipv4(inner))))),
    found("the first version of ERSPAN", |inner| over_ipv4(&ipv4(47, 0, &gre(0, 0x88be, &over_ipv4(inner))))),
    found("ERSPAN with a second header", |inner| {
        over_ipv4(&ipv4(47, 0, &gre(0x1000, 0x22eb, &join(&[&[0x20; 11], &[1; 9], &over_ipv4(inner)]))))
    }),
    not_found("PPTP", |inner| over_ipv4(&ipv4(47, 0, &gre(1, 0x0800, inner)))),
    found("extension headers", |inner| {
        let (any_hop, routing) = ([43, 0, 1, 4, 0, 0, 0, 0], [60, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let (destination, fragment) = ([44, 0, 1, 4, 0, 0, 0, 0], [4, 0, 0, 1, 1, 2, 3, 4]);
        over_ipv6(0, &join(&[&any_hop, &routing, &destination, &fragment, inner]))
    }),
    not_found("a later fragment of IPv6", |inner| over_ipv6(44, &join(&[&[4, 0, 0, 8, 1, 2, 3, 4], inner]))),
    found("the first fragment of IPv4", |inner| over_ipv4(&ipv4(4, 0x2000, inner))),
    not_found("a later fragment of IPv4", |inner| over_ipv4(&ipv4(4, 1, inner))),
    found("Geneve with options", |inner| over_ipv4(&udp(6081, &geneve(3, 0x6558, &over_ipv4(inner))))),
    not_found("Geneve of another version", |inner| over_ipv4(&udp(6081, &geneve(0x80, 0x0800, inner)))),
    found("VXLAN-GPE with IPv4", |inner| over_ipv4(&udp(4790, &vxlan([0x0c, 0, 0, 1], inner)))),
    found("VXLAN-GPE with Ethernet", |inner| over_ipv4(&udp(4790, &vxlan([0x0c, 0, 0, 3], &over_ipv4(inner))))),
    not_found("VXLAN without a number", |inner| over_ipv4(&udp(4789, &vxlan([0; 4], &over_ipv4(inner))))),
    // What else is in this header must not be taken for the type of a packet in Geneve.
    found("VXLAN with a policy to a port that has no kind", |inner| {
        over_ipv4(&udp(7777, &vxlan([0x88, 0, 0x65, 0x58], &over_ipv4(inner))))
    }),
    found("Geneve to a port that has no kind", |inner| over_ipv4(&udp(7777, &geneve(8, 0x0800, inner)))),
    found("FOU with GRE", |inner| over_ipv4(&udp(7778, &gre(0x2000, 0x0800, inner)))),
    found("GUE", |inner| over_ipv4(&udp(7779, &join(&[&[1, 4, 0, 0, 9, 9, 9, 9], inner])))),
    not_found("VXLAN to a port that is not named", |inner| {
        over_ipv4(&udp(7780, &vxlan([8, 0, 0, 0], &over_ipv4(inner))))
    }),
    found("three tunnels", |inner| {
        over_ipv4(&ipv4(4, 0, &udp(4789, &vxlan([8, 0, 0, 0], &over_ipv4(&ipv4(47, 0, &gre(0, 0x0800, inner)))))))
    }),
    not_found("four tunnels", |inner| over_ipv4(&ipv4(4, 0, &ipv4(4, 0, &ipv4(4, 0, &ipv4(4, 0, inner)))))),
];

const fn found(name: &'static str, bytes: fn(&[u8]) -> Vec<u8>) -> Frame {
    Frame { name, bytes, is_found: true }
}

const fn not_found(name: &'static str, bytes: fn(&[u8]) -> Vec<u8>) -> Frame {
    Frame { name, bytes, is_found: false }
}

impl Frame {
    /// The source address of the echo request, in which the frame's number is.
    fn address(&self) -> [u8; 4] {
        let number = FRAMES.iter().position(|frame| frame.name == self.name);
        [10, 64, 200, number.expect("it is one of them") as u8]
    }

    /// Puts it on `veth0` of a namespace.
    fn send(&self, namespace: &Namespace) -> Result<()> {
        let bytes = (self.bytes)(&echo_request(self.address()));
        namespace.enter(|| {
            let arguments = ["-u", "STDIN", "INTERFACE:veth0"];
            let mut sender = Command::new("socat").args(arguments).stdin(Stdio::piped()).spawn()?;
            sender.stdin.take().context("stdin is piped")?.write_all(&bytes)?;
            ensure!(sender.wait()?.success(), "`{}` could not be sent", self.name);
            Ok(())
        })
    }
}

#[test]
fn headers_of_every_form_are_followed() -> Result<()> {
    let expected: BTreeSet<&str> = FRAMES.iter().filter(|frame| frame.is_found).map(|frame| frame.name).collect();
    for recorded in [&RECORDINGS.transmit, &RECORDINGS.receive] {
        let events = recorded.events()?;
        let is_there = |frame: &&Frame| below(&events).any(|event| contains(&event.packet(), &frame.address()));
        let found: BTreeSet<&str> = FRAMES.iter().filter(is_there).map(|frame| frame.name).collect();
        assert_eq!(found, expected, "{}", recorded.ended.stderr);
    }
    Ok(())
}

#[test]
fn bytes_outside_the_linear_part_are_found() -> Result<()> {
    for recorded in [&RECORDINGS.transmit, &RECORDINGS.receive] {
        let events = recorded.events()?;
        let found: Vec<&Event> = below(&events).filter(|event| contains(&event.packet(), &PAGED)).collect();
        let [event] = found[..] else { panic!("one packet, {found:?}") };
        let number = |path: &str| event.get(path).as_u64().context("the section `meta`");
        // On 6.1 all of it was in the linear part; where pages are handed on, Ethernet, IPv4 and UDP at most are.
        let hands_on_pages = std::fs::read_to_string("/proc/kallsyms")?.contains(" skb_splice_from_iter\n");
        assert!(!hands_on_pages || number("/skb/meta/len")? - number("/skb/meta/data_len")? <= 42, "{event:?}");
    }
    Ok(())
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn ethernet(protocol: u16, payload: &[u8]) -> Vec<u8> {
    join(&[&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], &protocol.to_be_bytes(), payload])
}

/// A frame with a packet of IPv4.
fn over_ipv4(packet: &[u8]) -> Vec<u8> {
    ethernet(0x0800, packet)
}

/// A frame with IPv6, between addresses that nobody has here.
fn over_ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    ethernet(0x86dd, &join(&[&[0x60, 0, 0, 0], &length, &[next, 64], &[0xfe; 32], payload]))
}

/// Between addresses that nobody has here.
fn ipv4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len() as u16).to_be_bytes();
    let addresses = [192, 0, 2, 1, 192, 0, 2, 2];
    join(&[&[0x45, 0], &length, &[0, 1], &fragment.to_be_bytes(), &[64, protocol, 0, 0], &addresses, payload])
}

fn ipv4_with_options(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = ipv4(protocol, 0, &join(&[&[1; 12], payload]));
    packet[0] = 0x48;
    packet
}

fn echo_request(source: [u8; 4]) -> Vec<u8> {
    let mut packet = ipv4(1, 0, &[8, 0, 0, 0, 0, 1, 0, 1]);
    packet[12..16].copy_from_slice(&source);
    packet
}

/// A packet of IPv4 with a datagram.
fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len() as u16).to_be_bytes();
    ipv4(17, 0, &join(&[&[0xab, 0xcd], &port.to_be_bytes(), &length, &[0, 0], payload]))
}

fn vxlan(flags: [u8; 4], payload: &[u8]) -> Vec<u8> {
    join(&[&flags, &[0, 0, 7, 0], payload])
}

/// With options of so many words; what is above six bits is the version.
fn geneve(words: u8, protocol: u16, payload: &[u8]) -> Vec<u8> {
    let options = vec![0xaa; usize::from(words & 0x3f) * 4];
    join(&[&[words, 0], &protocol.to_be_bytes(), &[0, 0, 7, 0], &options, payload])
}

/// With the parts that the flags want.
fn gre(flags: u16, protocol: u16, payload: &[u8]) -> Vec<u8> {
    let parts = vec![0; (flags >> 12).count_ones() as usize * 4];
    join(&[&flags.to_be_bytes(), &protocol.to_be_bytes(), &parts, payload])
}
