// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sections `ct` and `ct-ext`.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracer_core::event::section::{Place, Section};
use tracer_core::event::text::{Escaped, TextOptions};

/// The connection of the packet, as connection tracking knows it.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct CtSection<'a> {
    /// What the packet is to the connection: `new`, `established`, `reply`, `related`, `related_reply`.
    pub(super) state: Cow<'a, str>,
    #[serde(flatten)]
    pub(super) connection: Connection<'a>,
    /// The connection that this one came out of, as an FTP transfer does of its control connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<Connection<'a>>,
}

/// What `ct` can't say about the packet or a connection.
#[derive(Debug, Default, Deserialize, JsonSchema, Serialize)]
pub(super) struct CtExtSection<'a> {
    /// What the packet is to its connection, as in `ct`; or why it has none: `untracked`, because it was to be left alone, or `invalid`,
    /// because it fits none and can't begin one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<Cow<'a, str>>,
    /// A connection of another protocol than `ct` has, or one that is not the packet's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) connection: Option<Connection<'a>>,
    /// The connection that this one came out of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<Connection<'a>>,
    /// What becomes of the connection's entry (`--ct-events`): `created`, `confirmed`, `destroyed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<Cow<'a, str>>,
    /// Why it is destroyed. Missing when that can't be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<Cow<'a, str>>,
}

/// A connection.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct Connection<'a> {
    /// Its zone; the same addresses in another zone are another connection.
    pub(super) zone_id: u16,
    /// The direction in which the zone counts: `Default` is both; else `Original`, `Reply` or `None`.
    pub(super) zone_dir: Cow<'a, str>,
    /// What its first packet had.
    pub(super) orig: Tuple,
    /// What packets in the other direction have. Where it is not the reverse, there is address translation (NAT).
    pub(super) reply: Tuple,
    /// State of the protocol, of TCP and SCTP: `SYN_SENT`, `ESTABLISHED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) proto_state: Option<Cow<'a, str>>,
    /// The connection's mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mark: Option<u32>,
    /// The connection's labels, when it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) labels: Option<Labels>,
    /// IPS_* of the kernel: 0x2 both directions were seen, 0x4 assured, 0x8 confirmed, 0x10 source and 0x20 destination are translated.
    pub(super) ct_status: u32,
}

/// 128 bits.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct Labels {
    /// 64 to 127.
    pub(super) hi: u64,
    /// 0 to 63.
    pub(super) lo: u64,
}

/// The packets of one direction.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct Tuple {
    /// Addresses.
    pub(super) ip: Addresses,
    /// What the protocol adds. Missing for other protocols than these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) proto: Option<Protocol>,
    /// The protocol's number, where `proto` does not say it: ICMPv6 (58) is `icmp` there, others are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) protonum: Option<u8>,
    /// Keys of GRE: call ids of PPTP, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Keys>,
}

/// Addresses of IP.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct Addresses {
    /// From.
    pub(super) src: IpAddr,
    /// To.
    pub(super) dst: IpAddr,
    /// Of IP.
    pub(super) version: Version,
}

/// The version of IP.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Version {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

/// What a protocol adds to addresses.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Protocol {
    /// TCP
    Tcp(Ports),
    /// UDP
    Udp(Ports),
    /// ICMP and ICMPv6
    Icmp {
        /// Code.
        code: u8,
        /// Type.
        #[serde(rename = "type")]
        kind: u8,
        /// Of an echo, timestamp or address mask request; else 0.
        id: u16,
    },
    /// SCTP
    Sctp(SctpPorts),
}

/// Ports.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
pub(super) struct Ports {
    /// From.
    pub(super) sport: u16,
    /// To.
    pub(super) dport: u16,
}

/// Ports of SCTP.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
pub(super) struct SctpPorts {
    /// From.
    pub(super) sport: u16,
    /// To.
    pub(super) dport: u16,
    /// Verification tag of this direction, 0: not known yet.
    pub(super) vtag: u32,
}

/// Keys of GRE.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct Keys {
    /// From.
    pub(super) src: u16,
    /// To.
    pub(super) dst: u16,
}

impl CtExtSection<'_> {
    /// Whether there is nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        self.state.is_none() && self.connection.is_none() && self.event.is_none()
    }
}

impl Connection<'_> {
    /// Whether both directions are of a protocol that `ct` has.
    pub(super) fn is_well_known(&self) -> bool {
        self.orig.proto.is_some() && self.reply.proto.is_some()
    }
}

impl Section for CtSection<'_> {
    const NAME: &'static str = "ct";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "ct_state {} {}", Escaped(&self.state.to_uppercase()), self.connection)?;
        write_parent(out, self.parent.as_ref())
    }
}

impl Section for CtExtSection<'_> {
    const NAME: &'static str = "ct-ext";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        let mut separator = "";
        if let Some(event) = &self.event {
            write!(out, "ct_event {}", Escaped(event))?;
            if let Some(why) = &self.why {
                write!(out, " ({})", Escaped(why))?;
            }
            separator = " ";
        }
        if let Some(state) = &self.state {
            write!(out, "{separator}ct_state {}", Escaped(&state.to_uppercase()))?;
            separator = " ";
        }
        if let Some(connection) = &self.connection {
            write!(out, "{separator}{connection}")?;
        }
        write_parent(out, self.parent.as_ref())
    }
}

fn write_parent(out: &mut dyn fmt::Write, parent: Option<&Connection<'_>>) -> fmt::Result {
    match parent {
        Some(parent) => write!(out, " parent [{parent}]"),
        None => Ok(()),
    }
}

/// IPS_*, from bit 0 on, from `linux/netfilter/nf_conntrack_common.h`.
const STATUS: [&str; 16] = [
    "EXPECTED",
    "SEEN_REPLY",
    "ASSURED",
    "CONFIRMED",
    "SRC_NAT",
    "DST_NAT",
    "SEQ_ADJUST",
    "SRC_NAT_DONE",
    "DST_NAT_DONE",
    "DYING",
    "FIXED_TIMEOUT",
    "TEMPLATE",
    "NAT_CLASH",
    "HELPER",
    "OFFLOAD",
    "HW_OFFLOAD",
];

impl fmt::Display for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {:#x}", self.ct_status)?;
        let flags = STATUS.iter().enumerate().filter(|(bit, _)| self.ct_status & 1 << bit != 0);
        for (number, (_, name)) in flags.clone().enumerate() {
            write!(f, "{}{name}", if number == 0 { " (" } else { "|" })?;
        }
        if flags.count() > 0 {
            f.write_str(")")?;
        }
        match (&self.orig.proto, self.orig.protonum) {
            (Some(Protocol::Tcp(_)), _) => f.write_str(" tcp")?,
            (Some(Protocol::Udp(_)), _) => f.write_str(" udp")?,
            (Some(Protocol::Icmp { .. }), Some(_)) => f.write_str(" icmpv6")?,
            (Some(Protocol::Icmp { .. }), None) => f.write_str(" icmp")?,
            (Some(Protocol::Sctp(_)), _) => f.write_str(" sctp")?,
            (None, Some(_)) if self.orig.key.is_some() => f.write_str(" gre")?,
            (None, Some(number)) => write!(f, " proto {number}")?,
            (None, None) => {}
        }
        if let Some(state) = &self.proto_state {
            write!(f, " ({})", Escaped(state))?;
        }
        write!(f, " orig [{}] reply [{}]", self.orig, self.reply)?;
        self.write_translation(f)?;
        write!(f, " zone {}", self.zone_id)?;
        if self.zone_dir != "Default" {
            write!(f, " ({})", Escaped(&self.zone_dir.to_lowercase()))?;
        }
        if let Some(mark) = self.mark {
            write!(f, " mark {mark:#x}")?;
        }
        match self.labels {
            Some(Labels { hi: 0, lo: 0 }) | None => Ok(()),
            Some(Labels { hi, lo }) => write!(f, " labels {:#x}", u128::from(hi) << 64 | u128::from(lo)),
        }
    }
}

impl Connection<'_> {
    /// What packets of the original direction are rewritten to: that is where replies come from, and where they go.
    fn write_translation(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut source = [self.orig.source(), self.reply.destination()];
        if let (Some(Protocol::Icmp { id: before, .. }), Some(Protocol::Icmp { id: after, .. })) =
            (self.orig.proto, self.reply.proto)
            && before != after
        {
            source[0].port = Port::Id(before);
            source[1].port = Port::Id(after);
        }
        let destination = [self.orig.destination(), self.reply.source()];
        for (name, [before, after]) in [("snat", source), ("dnat", destination)] {
            if before != after {
                write!(f, " {name} {before} -> {after}")?;
            }
        }
        Ok(())
    }
}

/// One end of a connection.
#[derive(PartialEq, Eq)]
struct End {
    address: IpAddr,
    port: Port,
}

/// What tells connections between the same addresses apart.
#[derive(PartialEq, Eq)]
enum Port {
    Number(u16),
    /// Of ICMP, where it is rewritten.
    Id(u16),
    None,
}

impl Tuple {
    fn source(&self) -> End {
        let port = match self.proto {
            Some(Protocol::Tcp(Ports { sport, .. }) | Protocol::Udp(Ports { sport, .. })) => Port::Number(sport),
            Some(Protocol::Sctp(SctpPorts { sport, .. })) => Port::Number(sport),
            _ => Port::None,
        };
        End { address: self.ip.src, port }
    }

    fn destination(&self) -> End {
        let port = match self.proto {
            Some(Protocol::Tcp(Ports { dport, .. }) | Protocol::Udp(Ports { dport, .. })) => Port::Number(dport),
            Some(Protocol::Sctp(SctpPorts { dport, .. })) => Port::Number(dport),
            _ => Port::None,
        };
        End { address: self.ip.dst, port }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, &self.port) {
            (IpAddr::V6(address), Port::Number(port)) => write!(f, "[{address}]:{port}"),
            (address, Port::Number(port)) => write!(f, "{address}:{port}"),
            (address, Port::Id(id)) => write!(f, "{address} id {id}"),
            (address, Port::None) => write!(f, "{address}"),
        }
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (self.source(), self.destination());
        match (&source.port, &destination.port) {
            (Port::Number(from), Port::Number(to)) => {
                write!(f, "{}.{from} > {}.{to}", source.address, destination.address)?;
            }
            _ => write!(f, "{} > {}", source.address, destination.address)?,
        }
        match self.proto {
            Some(Protocol::Icmp { code, kind, id }) => write!(f, " type {kind} code {code} id {id}"),
            Some(Protocol::Sctp(SctpPorts { vtag, .. })) => write!(f, " vtag {vtag:#x}"),
            _ => match self.key {
                Some(Keys { src, dst }) => write!(f, " key {src:#x} > {dst:#x}"),
                None => Ok(()),
            },
        }
    }
}
