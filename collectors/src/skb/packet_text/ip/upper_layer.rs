// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What an IP packet carries: the choice of the protocol, and its ports.

use std::fmt;
use std::net::IpAddr;

use etherparse::IpNumber;

use super::{icmpv4, icmpv6, igmp, vrrp};
use crate::skb::packet_text::Payload;
use crate::skb::packet_text::inner::{Inner, write_inner};
use crate::skb::packet_text::link::ether_type;
use crate::skb::packet_text::transport::{dccp, sctp, tcp, udp};
use crate::skb::packet_text::tunnel::{gre, ipsec, l2tp};

/// The version of the IP header in front: each has its own ICMP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::skb::packet_text) enum IpVersion {
    V4,
    V6,
}

impl IpVersion {
    /// Bytes of an address.
    pub(super) fn address_len(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    /// The address at `offset`.
    pub(super) fn address(self, payload: Payload<'_>, offset: usize) -> Option<IpAddr> {
        match self {
            Self::V4 => payload.ipv4(offset).map(IpAddr::from),
            Self::V6 => payload.ipv6(offset).map(IpAddr::from),
        }
    }
}

/// What an IP header, its extensions included, says about the layer above.
pub(in crate::skb::packet_text) struct UpperLayer<'a> {
    pub(in crate::skb::packet_text) version: IpVersion,
    pub(in crate::skb::packet_text) protocol: IpNumber,
    pub(in crate::skb::packet_text) payload: Payload<'a>,
    /// The payload starts with the protocol's header: the packet is no fragment, or the first one.
    pub(in crate::skb::packet_text) first_fragment: bool,
    pub(in crate::skb::packet_text) more_fragments: bool,
}

/// What the two lowest bits of a traffic class say (RFC 3168, 5), as tcpdump has it; nothing when they are zero.
pub(super) fn ecn(traffic_class: u8) -> &'static str {
    match traffic_class & 3 {
        0 => "",
        1 => ",ECT(1)",
        2 => ",ECT(0)",
        _ => ",CE",
    }
}

/// Writes ` proto ICMP (1)`, or ` proto 253` for a number without a name.
pub(in crate::skb::packet_text) fn write_protocol(out: &mut dyn fmt::Write, protocol: IpNumber) -> fmt::Result {
    out.write_str(" proto")?;
    write_name(out, protocol)
}

/// Writes ` ICMP (1)`, or ` 253` for a number without a name.
pub(in crate::skb::packet_text) fn write_name(out: &mut dyn fmt::Write, protocol: IpNumber) -> fmt::Result {
    match protocol_name(protocol) {
        Some(name) => write!(out, " {name} ({})", protocol.0),
        None => write!(out, " {}", protocol.0),
    }
}

/// Writes `source > destination`, each with its port where the protocol has ports.
pub(super) fn write_endpoints(
    out: &mut dyn fmt::Write,
    source: impl fmt::Display,
    destination: impl fmt::Display,
    upper: &UpperLayer<'_>,
) -> fmt::Result {
    match ports(upper) {
        Some((from, to)) => write!(out, "{source}.{from} > {destination}.{to}"),
        None => write!(out, "{source} > {destination}"),
    }
}

/// How much of an IP packet there should be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::skb::packet_text) enum Extent {
    Whole,
    /// As ICMP errors quote packets.
    Start,
}

/// Writes the layer above IP with what separates it, or what matters of it where it is quoted; nothing for a fragment
/// that is not the first.
pub(super) fn write_carried(out: &mut dyn fmt::Write, upper: &UpperLayer<'_>, extent: Extent) -> fmt::Result {
    match extent {
        _ if !upper.first_fragment => Ok(()),
        Extent::Whole => write_upper_layer(out, upper),
        Extent::Start => write_quoted_upper_layer(out, upper),
    }
}

/// Writes the layer above IP, with what separates it. The packet is no fragment, or the first one.
pub(in crate::skb::packet_text) fn write_upper_layer(out: &mut dyn fmt::Write, upper: &UpperLayer<'_>) -> fmt::Result {
    if let Some(inner) = tunnelled(upper.protocol) {
        return write_inner(out, inner, upper.payload);
    }
    out.write_char(' ')?;
    match (upper.protocol, upper.version) {
        (IpNumber::TCP, _) => tcp::write_tcp(out, upper.payload),
        (IpNumber::UDP, _) => udp::write_udp(out, upper),
        (IpNumber::ICMP, IpVersion::V4) => icmpv4::write_icmpv4(out, upper.payload),
        (IpNumber::IPV6_ICMP, IpVersion::V6) => icmpv6::write_icmpv6(out, upper.payload),
        (IpNumber::GRE, _) => gre::write_gre(out, upper.payload),
        (IpNumber::ENCAPSULATING_SECURITY_PAYLOAD, _) => ipsec::write_esp(out, upper.payload),
        (IpNumber::AUTHENTICATION_HEADER, _) => ipsec::write_ah(out, upper),
        (IpNumber::IP_COMP, _) => ipsec::write_ipcomp(out, upper.payload),
        (IpNumber::LAYER2_TUNNELING_PROTOCOL, _) => l2tp::write_l2tp_in_ip(out, upper.payload),
        (IpNumber::IGMP, IpVersion::V4) => igmp::write_igmp(out, upper.payload),
        (IpNumber::SCTP, _) => sctp::write_sctp(out, upper.payload),
        (IpNumber::UDP_LITE, _) => udp::write_udp_lite(out, upper.payload),
        (IpNumber::DCCP, _) => dccp::write_dccp(out, upper.payload),
        (IpNumber::VRRP, version) => vrrp::write_vrrp(out, upper.payload, version),
        _ => write!(out, "length {}", upper.payload.len),
    }
}

/// What is in the packets of a protocol that has no header of its own.
fn tunnelled(protocol: IpNumber) -> Option<Inner> {
    Some(match protocol.0 {
        4 | 41 => Inner::Ip,
        // RFC 4023.
        137 => Inner::EtherType(ether_type::MPLS),
        // RFC 8986, section 10.1.
        143 => Inner::Frame,
        _ => return None,
    })
}

/// Writes what tells one packet of a flow from another, with a space in front: often only the first 8 bytes are quoted.
fn write_quoted_upper_layer(out: &mut dyn fmt::Write, upper: &UpperLayer<'_>) -> fmt::Result {
    match (upper.protocol, upper.version) {
        (IpNumber::TCP, _) => upper.payload.u32(4).map_or(Ok(()), |sequence| write!(out, " seq {sequence}")),
        (IpNumber::ICMP, IpVersion::V4) => icmpv4::write_quoted_icmpv4(out, upper.payload),
        (IpNumber::IPV6_ICMP, IpVersion::V6) => icmpv6::write_quoted_icmpv6(out, upper.payload),
        _ => Ok(()),
    }
}

/// Source and destination port, unless they were cut off. All these protocols start with them: TCP (RFC 9293),
/// UDP (RFC 768), DCCP (RFC 4340), SCTP (RFC 9260) and UDP-Lite (RFC 3828).
fn ports(upper: &UpperLayer<'_>) -> Option<(u16, u16)> {
    match upper.protocol {
        _ if !upper.first_fragment => None,
        IpNumber::TCP | IpNumber::UDP | IpNumber::DCCP | IpNumber::SCTP | IpNumber::UDP_LITE => {
            Some((upper.payload.u16(0)?, upper.payload.u16(2)?))
        }
        IpNumber::AUTHENTICATION_HEADER => ports(&ipsec::behind_ah(upper)?),
        _ => None,
    }
}

/// The IANA's names of protocols, but for those that tcpdump calls otherwise.
fn protocol_name(protocol: IpNumber) -> Option<&'static str> {
    Some(match protocol.0 {
        4 => "IPIP",
        55 => "Mobile",
        58 => "ICMPv6",
        59 => "no next header",
        89 => "OSPF",
        94 => "IPIP-encap",
        97 => "EtherIP",
        108 => "IPComp",
        135 => "Mobility",
        136 => "UDP-Lite",
        _ => return protocol.keyword_str(),
    })
}
