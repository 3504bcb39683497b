// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Events, as a file of them says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Who a packet is: `timestamp` and `orig_head` of `skb-tracking`.
pub type Identity = (u64, u64);

/// All of an unsorted file in memory: for some ten thousand events.
#[derive(Clone, Debug)]
pub struct Events(pub Vec<Event>);

/// One event.
#[derive(Clone, Debug)]
pub struct Event(pub Value);

/// How a packet belongs to another one: `link` of `skb-tracking`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// In which way.
    pub kind: String,
    /// The other one.
    pub parent: Identity,
    /// The oldest of those that the packet came out of.
    pub root: Option<Identity>,
}

/// The events of one packet, by `seq`.
pub type Series<'a> = Vec<&'a Event>;

impl Events {
    /// Reads a file.
    ///
    /// # Errors
    /// When a line is not an event.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
        let mut events = Vec::new();
        for (number, line) in BufReader::new(file).lines().enumerate() {
            let event = serde_json::from_str(&line?).with_context(|| format!("line {}", number + 1))?;
            events.push(Event(event));
        }
        Ok(Self(events))
    }

    /// Those of probes.
    pub fn hits(&self) -> impl Iterator<Item = &Event> {
        self.0.iter().filter(|event| ["kernel", "userspace"].iter().any(|section| event.0.get(section).is_some()))
    }

    /// Those of one probe.
    pub fn at<'a>(&'a self, symbol: &'a str) -> impl Iterator<Item = &'a Event> {
        self.hits().filter(move |event| event.symbol() == symbol)
    }

    /// How many events each probe has.
    pub fn counts(&self) -> BTreeMap<&str, u64> {
        let mut counts = BTreeMap::new();
        self.hits().for_each(|event| *counts.entry(event.symbol()).or_default() += 1);
        counts
    }

    /// The packets, by identity, each with its events in the order of `seq`.
    pub fn series(&self) -> BTreeMap<Identity, Series<'_>> {
        let mut all: BTreeMap<Identity, Series<'_>> = BTreeMap::new();
        for event in self.hits() {
            if let Some(identity) = event.identity() {
                all.entry(identity).or_default().push(event);
            }
        }
        all.values_mut().for_each(|series| series.sort_by_key(|event| event.sequence()));
        all
    }

    /// What the `loss` events count, added up, by cause and probe.
    pub fn losses(&self) -> BTreeMap<(String, String), u64> {
        let mut losses = BTreeMap::new();
        let entries = self.0.iter().filter_map(|event| event.0.get("loss")?.as_array()).flatten();
        for entry in entries {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            *losses.entry((text("cause"), text("probe"))).or_default() += entry["count"].as_u64().unwrap_or(0);
        }
        losses
    }
}

impl Event {
    /// A value by its path, as in `/common/timestamp`; null when there is none.
    pub fn get(&self, path: &str) -> &Value {
        self.0.pointer(path).unwrap_or(&Value::Null)
    }

    /// The probe's function or tracepoint, or a USDT probe with its provider.
    pub fn symbol(&self) -> &str {
        let symbol = self.get("/kernel/symbol").as_str().or_else(|| self.get("/userspace/symbol").as_str());
        symbol.unwrap_or_default()
    }

    /// The probe's type.
    pub fn probe_type(&self) -> &str {
        self.get("/kernel/probe_type").as_str().unwrap_or_default()
    }

    /// When, in ns.
    pub fn timestamp(&self) -> u64 {
        self.get("/common/timestamp").as_u64().unwrap_or_default()
    }

    /// Whose it is.
    pub fn identity(&self) -> Option<Identity> {
        Some((self.get("/skb-tracking/timestamp").as_u64()?, self.get("/skb-tracking/orig_head").as_u64()?))
    }

    /// To whom its packet is linked here.
    ///
    /// # Panics
    /// When the link is not whole.
    pub fn link(&self) -> Option<Link> {
        let link = self.0.pointer("/skb-tracking/link")?;
        let identity = |name: &str| Some((link[name]["timestamp"].as_u64()?, link[name]["orig_head"].as_u64()?));
        let kind = link["kind"].as_str().expect("a link has a kind").to_owned();
        Some(Link { kind, parent: identity("parent").expect("a link has a parent"), root: identity("root") })
    }

    /// Its number in its series.
    pub fn sequence(&self) -> Option<u64> {
        self.get("/skb-tracking/seq").as_u64()
    }

    /// The name of its namespace.
    pub fn namespace(&self) -> &str {
        self.get("/netns/name").as_str().unwrap_or_default()
    }

    /// The name of its device.
    pub fn device(&self) -> &str {
        self.get("/dev/name").as_str().unwrap_or_default()
    }

    /// The recorded bytes of its packet, from the Ethernet header on; none when there is no packet.
    ///
    /// # Panics
    /// When they are not base64.
    pub fn packet(&self) -> Vec<u8> {
        let data = self.get("/packet/data").as_str().unwrap_or_default();
        STANDARD.decode(data).expect("packets are written as base64")
    }

    /// What a packet is, in words like `icmp4 10.0.0.1 > 10.0.0.2 request 7` or `tcp6 fd00::1:1234 > fd00::2:80`. Nothing
    /// for other protocols.
    pub fn flow(&self) -> Option<String> {
        flow(&self.packet())
    }
}

fn flow(packet: &[u8]) -> Option<String> {
    use etherparse::{Icmpv4Type, Icmpv6Type, LaxNetSlice, LaxSlicedPacket, TransportSlice};
    // Lax: the recorded bytes may be fewer than the packet's.
    let sliced = LaxSlicedPacket::from_ethernet(packet).ok()?;
    let (version, source, destination) = match sliced.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => (4, ip.header().source_addr().to_string(), ip.header().destination_addr().to_string()),
        LaxNetSlice::Ipv6(ip) => (6, ip.header().source_addr().to_string(), ip.header().destination_addr().to_string()),
        LaxNetSlice::Arp(_) => return None,
    };
    let ports = |name: &str, from: u16, to: u16| Some(format!("{name}{version} {source}:{from} > {destination}:{to}"));
    let echo = |kind: &str, number: u16| Some(format!("icmp{version} {source} > {destination} {kind} {number}"));
    match sliced.transport? {
        TransportSlice::Udp(udp) => ports("udp", udp.source_port(), udp.destination_port()),
        TransportSlice::Tcp(tcp) => ports("tcp", tcp.source_port(), tcp.destination_port()),
        TransportSlice::Icmpv4(icmp) => match icmp.icmp_type() {
            Icmpv4Type::EchoRequest(header) => echo("request", header.seq),
            Icmpv4Type::EchoReply(header) => echo("reply", header.seq),
            _ => None,
        },
        TransportSlice::Icmpv6(icmp) => match icmp.icmp_type() {
            Icmpv6Type::EchoRequest(header) => echo("request", header.seq),
            Icmpv6Type::EchoReply(header) => echo("reply", header.seq),
            _ => None,
        },
        _ => None,
    }
}

impl Events {
    /// The different flows of the packets that were seen, in words.
    pub fn flows(&self) -> BTreeSet<String> {
        self.hits().filter_map(Event::flow).collect()
    }
}
