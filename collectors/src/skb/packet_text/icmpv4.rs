// SPDX-License-Identifier: Apache-2.0 OR MIT

//! ICMP for IPv4 (RFC 792).

use std::fmt;
use std::net::Ipv4Addr;

use etherparse::icmpv4;

use super::Payload;

/// Writes an ICMP message. The type and the code are always there, the words where they have some.
pub(super) fn write_icmpv4(out: &mut dyn fmt::Write, message: Payload<'_>) -> fmt::Result {
    let Some([kind, code]) = message.array(0) else {
        return out.write_str("[|icmp]");
    };
    write!(out, "type {kind} code {code}")?;
    if let Some(words) = type_words(kind, code) {
        write!(out, " {words}")?;
    }
    let complete = match kind {
        icmpv4::TYPE_DEST_UNREACH => {
            write!(out, " {}", unreachable_words(code))?;
            if code == icmpv4::CODE_DST_UNREACH_NEED_FRAG {
                // RFC 1191, section 4.
                message.u16(6).map(|mtu| write!(out, " (mtu {mtu})"))
            } else {
                Some(Ok(()))
            }
        }
        icmpv4::TYPE_REDIRECT => {
            message.array(4).map(|gateway: [u8; 4]| write!(out, " to {}", Ipv4Addr::from(gateway)))
        }
        icmpv4::TYPE_PARAMETER_PROBLEM => message.array(4).map(|[octet]| write!(out, " - octet {octet}")),
        icmpv4::TYPE_ECHO_REQUEST
        | icmpv4::TYPE_ECHO_REPLY
        | icmpv4::TYPE_TIMESTAMP
        | icmpv4::TYPE_TIMESTAMP_REPLY
        | icmpv4::TYPE_INFO_REQUEST
        | icmpv4::TYPE_INFO_REPLY
        | icmpv4::TYPE_ADDRESS
        | icmpv4::TYPE_ADDRESSREPLY => {
            message.u16(4).zip(message.u16(6)).map(|(id, sequence)| write!(out, " id {id} seq {sequence}"))
        }
        _ => Some(Ok(())),
    };
    match complete {
        Some(result) => result?,
        None => out.write_str(" [|icmp]")?,
    }
    write!(out, " length {}", message.len)
}

/// The IANA's list of ICMP types; for unreachable ones see [`unreachable_words`].
fn type_words(kind: u8, code: u8) -> Option<&'static str> {
    Some(match (kind, code) {
        (icmpv4::TYPE_ECHO_REPLY, _) => "echo reply",
        (icmpv4::TYPE_SOURCE_QUENCH, _) => "source quench",
        (icmpv4::TYPE_REDIRECT, icmpv4::CODE_REDIRECT_FOR_NETWORK) => "redirect net",
        (icmpv4::TYPE_REDIRECT, icmpv4::CODE_REDIRECT_FOR_HOST) => "redirect host",
        (icmpv4::TYPE_REDIRECT, icmpv4::CODE_REDIRECT_TYPE_OF_SERVICE_AND_NETWORK) => "redirect net for tos",
        (icmpv4::TYPE_REDIRECT, icmpv4::CODE_REDIRECT_TYPE_OF_SERVICE_AND_HOST) => "redirect host for tos",
        (icmpv4::TYPE_REDIRECT, _) => "redirect",
        (icmpv4::TYPE_ECHO_REQUEST, _) => "echo request",
        (icmpv4::TYPE_ROUTER_ADVERTISEMENT, _) => "router advertisement",
        (icmpv4::TYPE_ROUTER_SOLICITATION, _) => "router solicitation",
        (icmpv4::TYPE_TIME_EXCEEDED, icmpv4::CODE_TIME_EXCEEDED_TTL_EXCEEDED_IN_TRANSIT) => "time exceeded in-transit",
        (icmpv4::TYPE_TIME_EXCEEDED, icmpv4::CODE_TIME_EXCEEDED_FRAG_REASSEMBLY_TIME_EXCEEDED) => {
            "ip reassembly time exceeded"
        }
        (icmpv4::TYPE_TIME_EXCEEDED, _) => "time exceeded",
        (icmpv4::TYPE_PARAMETER_PROBLEM, _) => "parameter problem",
        (icmpv4::TYPE_TIMESTAMP, _) => "time stamp query",
        (icmpv4::TYPE_TIMESTAMP_REPLY, _) => "time stamp reply",
        (icmpv4::TYPE_INFO_REQUEST, _) => "information request",
        (icmpv4::TYPE_INFO_REPLY, _) => "information reply",
        (icmpv4::TYPE_ADDRESS, _) => "address mask request",
        (icmpv4::TYPE_ADDRESSREPLY, _) => "address mask reply",
        // RFC 8335.
        (42, _) => "extended echo request",
        (43, _) => "extended echo reply",
        _ => return None,
    })
}

/// The codes of "destination unreachable" (RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1).
fn unreachable_words(code: u8) -> &'static str {
    match code {
        icmpv4::CODE_DST_UNREACH_NET => "net unreachable",
        icmpv4::CODE_DST_UNREACH_HOST => "host unreachable",
        icmpv4::CODE_DST_UNREACH_PROTOCOL => "protocol unreachable",
        icmpv4::CODE_DST_UNREACH_PORT => "port unreachable",
        icmpv4::CODE_DST_UNREACH_NEED_FRAG => "unreachable - need to frag",
        icmpv4::CODE_DST_UNREACH_SOURCE_ROUTE_FAILED => "unreachable - source route failed",
        icmpv4::CODE_DST_UNREACH_NET_UNKNOWN => "net unreachable - unknown",
        icmpv4::CODE_DST_UNREACH_HOST_UNKNOWN => "host unreachable - unknown",
        icmpv4::CODE_DST_UNREACH_ISOLATED => "unreachable - source host isolated",
        icmpv4::CODE_DST_UNREACH_NET_PROHIB => "net unreachable - admin prohibited",
        icmpv4::CODE_DST_UNREACH_HOST_PROHIB => "host unreachable - admin prohibited",
        icmpv4::CODE_DST_UNREACH_TOS_NET => "net unreachable - tos prohibited",
        icmpv4::CODE_DST_UNREACH_TOS_HOST => "host unreachable - tos prohibited",
        icmpv4::CODE_DST_UNREACH_FILTER_PROHIB => "unreachable - admin prohibited filter",
        icmpv4::CODE_DST_UNREACH_HOST_PRECEDENCE_VIOLATION => "unreachable - host precedence violation",
        icmpv4::CODE_DST_UNREACH_PRECEDENCE_CUTOFF => "unreachable - precedence cutoff",
        _ => "unreachable",
    }
}
