// SPDX-License-Identifier: Apache-2.0 OR MIT

//! ICMPv6 (RFC 4443), multicast listeners (RFC 2710, 3810) included; for neighbour discovery see `ndp`.

use std::fmt;
use std::net::Ipv6Addr;

use etherparse::icmpv6;

use super::group_records::{decode_time, write_records, write_sources};
use super::ipv6::write_ipv6;
use super::ndp;
use super::upper_layer::{Extent, IpVersion};
use crate::skb::packet_text::Payload;
use crate::skb::packet_text::notation::RareFlags;

/// Bytes before the packet that an error quotes.
const HEADER_LEN: usize = 8;

/// Stands where the captured bytes end too early.
pub(super) const CUT: &str = "[|icmp6]";

/// RFC 3810.
const MULTICAST_LISTENER_REPORT_V2: u8 = 143;

/// Writes an ICMPv6 message, with the packet that an error is about.
pub(super) fn write_icmpv6(out: &mut dyn fmt::Write, message: Payload<'_>) -> fmt::Result {
    let Some([kind, code]) = message.array(0) else {
        return out.write_str(CUT);
    };
    write_message(out, message, kind, code)?;
    write!(out, " length {}", message.len)?;
    let packet = match kind {
        icmpv6::TYPE_DST_UNREACH
        | icmpv6::TYPE_PACKET_TOO_BIG
        | icmpv6::TYPE_TIME_EXCEEDED
        | icmpv6::TYPE_PARAMETER_PROBLEM => message.skip(HEADER_LEN),
        icmpv6::TYPE_REDIRECT_MESSAGE => ndp::redirected_packet(message),
        _ => return Ok(()),
    };
    if packet.len == 0 {
        return Ok(());
    }
    out.write_str(" [")?;
    write_ipv6(out, packet, Extent::Start)?;
    out.write_char(']')
}

/// Writes the start of a message that an error is about, with a space in front.
pub(super) fn write_quoted_icmpv6(out: &mut dyn fmt::Write, message: Payload<'_>) -> fmt::Result {
    let Some([kind, code]) = message.array(0) else {
        return Ok(());
    };
    out.write_char(' ')?;
    write_message(out, message, kind, code)
}

/// Writes what a message says itself. The type and the code are always there, the words where they have some.
fn write_message(out: &mut dyn fmt::Write, message: Payload<'_>, kind: u8, code: u8) -> fmt::Result {
    write!(out, "type {kind} code {code}")?;
    if let Some(words) = words(kind, code) {
        write!(out, " {words}")?;
    }
    let complete = match kind {
        icmpv6::TYPE_PACKET_TOO_BIG => message.u32(4).map(|mtu| write!(out, " mtu {mtu}")),
        icmpv6::TYPE_PARAMETER_PROBLEM => message.u32(4).map(|octet| write!(out, " - octet {octet}")),
        icmpv6::TYPE_ECHO_REQUEST | icmpv6::TYPE_ECHO_REPLY => {
            message.u16(4).zip(message.u16(6)).map(|(id, sequence)| write!(out, " id {id} seq {sequence}"))
        }
        icmpv6::TYPE_MULTICAST_LISTENER_QUERY => write_query(out, message),
        icmpv6::TYPE_MULTICAST_LISTENER_REPORT | icmpv6::TYPE_MULTICAST_LISTENER_REDUCTION => {
            message.ipv6(8).map(|group| write!(out, " gaddr {group}"))
        }
        MULTICAST_LISTENER_REPORT_V2 => Some(write_records(out, message, IpVersion::V6, CUT)),
        icmpv6::TYPE_ROUTER_SOLICITATION => Some(ndp::write_options(out, message.skip(8))),
        icmpv6::TYPE_ROUTER_ADVERTISEMENT => ndp::write_router_advertisement(out, message),
        icmpv6::TYPE_NEIGHBOR_SOLICITATION => ndp::write_neighbor_solicitation(out, message),
        icmpv6::TYPE_NEIGHBOR_ADVERTISEMENT => ndp::write_neighbor_advertisement(out, message),
        icmpv6::TYPE_REDIRECT_MESSAGE => ndp::write_redirect(out, message),
        icmpv6::TYPE_EXT_ECHO_REQUEST | icmpv6::TYPE_EXT_ECHO_REPLY => {
            message.u16(4).zip(message.array(6)).map(|(id, [sequence])| write!(out, " id {id} seq {sequence}"))
        }
        _ => Some(Ok(())),
    };
    complete.unwrap_or_else(|| write!(out, " {CUT}"))
}

/// A query of multicast listeners; the second version is longer (RFC 3810, 8.1).
fn write_query(out: &mut dyn fmt::Write, message: Payload<'_>) -> Option<fmt::Result> {
    let (code, group) = (message.u16(4)?, message.ipv6(8)?);
    let second = message.len >= 28;
    let mut write = || {
        let delay = if second { decode_time(code, 15) } else { code.into() };
        write!(out, "{} max resp delay {delay}ms", if second { " v2" } else { "" })?;
        if group != Ipv6Addr::UNSPECIFIED {
            write!(out, " gaddr {group}")?;
        }
        if !second {
            return Ok(());
        }
        let (Some([flags]), Some(count)) = (message.array(24), message.u16(26)) else {
            return write!(out, " {CUT}");
        };
        write!(out, "{}", RareFlags(&[(flags & 8 != 0, "sflag")]))?;
        if count > 0 { write_sources(out, message.skip(28), count, IpVersion::V6, CUT) } else { Ok(()) }
    };
    Some(write())
}

/// The IANA's list of ICMPv6 types and, where they matter, codes.
fn words(kind: u8, code: u8) -> Option<&'static str> {
    Some(match kind {
        icmpv6::TYPE_DST_UNREACH => match code {
            icmpv6::CODE_DST_UNREACH_NO_ROUTE => "unreachable - no route",
            icmpv6::CODE_DST_UNREACH_PROHIBITED => "unreachable - admin prohibited",
            icmpv6::CODE_DST_UNREACH_BEYOND_SCOPE => "unreachable - beyond scope of source",
            icmpv6::CODE_DST_UNREACH_ADDR => "address unreachable",
            icmpv6::CODE_DST_UNREACH_PORT => "port unreachable",
            icmpv6::CODE_DST_UNREACH_SOURCE_ADDRESS_FAILED_POLICY => "unreachable - source address failed policy",
            icmpv6::CODE_DST_UNREACH_REJECT_ROUTE_TO_DEST => "unreachable - reject route",
            _ => "unreachable",
        },
        icmpv6::TYPE_PACKET_TOO_BIG => "packet too big",
        icmpv6::TYPE_TIME_EXCEEDED => match code {
            icmpv6::CODE_TIME_EXCEEDED_HOP_LIMIT_EXCEEDED => "time exceeded in-transit",
            icmpv6::CODE_TIME_EXCEEDED_FRAGMENT_REASSEMBLY_TIME_EXCEEDED => "ip reassembly time exceeded",
            _ => "time exceeded",
        },
        icmpv6::TYPE_PARAMETER_PROBLEM => match code {
            icmpv6::CODE_PARAM_PROBLEM_ERR_HEADER_FIELD => "parameter problem, erroneous field",
            icmpv6::CODE_PARAM_PROBLEM_UNRECOG_NEXT_HEADER => "parameter problem, next header",
            icmpv6::CODE_PARAM_PROBLEM_UNRECOG_IPV6_OPTION => "parameter problem, option",
            _ => "parameter problem",
        },
        icmpv6::TYPE_ECHO_REQUEST => "echo request",
        icmpv6::TYPE_ECHO_REPLY => "echo reply",
        icmpv6::TYPE_MULTICAST_LISTENER_QUERY => "multicast listener query",
        icmpv6::TYPE_MULTICAST_LISTENER_REPORT => "multicast listener report",
        icmpv6::TYPE_MULTICAST_LISTENER_REDUCTION => "multicast listener done",
        icmpv6::TYPE_ROUTER_SOLICITATION => "router solicitation",
        icmpv6::TYPE_ROUTER_ADVERTISEMENT => "router advertisement",
        icmpv6::TYPE_NEIGHBOR_SOLICITATION => "neighbor solicitation",
        icmpv6::TYPE_NEIGHBOR_ADVERTISEMENT => "neighbor advertisement",
        icmpv6::TYPE_REDIRECT_MESSAGE => "redirect",
        icmpv6::TYPE_ROUTER_RENUMBERING => "router renumbering",
        // RFC 4620.
        139 => "node information query",
        140 => "node information reply",
        icmpv6::TYPE_INVERSE_NEIGHBOR_DISCOVERY_SOLICITATION => "inverse neighbor solicitation",
        icmpv6::TYPE_INVERSE_NEIGHBOR_DISCOVERY_ADVERTISEMENT => "inverse neighbor advertisement",
        MULTICAST_LISTENER_REPORT_V2 => "multicast listener report v2",
        icmpv6::TYPE_EXT_ECHO_REQUEST => "extended echo request",
        icmpv6::TYPE_EXT_ECHO_REPLY => "extended echo reply",
        _ => return None,
    })
}
