// SPDX-License-Identifier: Apache-2.0 OR MIT

//! ICMPv6 (RFC 4443), neighbour discovery (RFC 4861) and multicast listeners (RFC 2710, 3810) included.

use std::fmt;
use std::net::Ipv6Addr;

use etherparse::icmpv6;

use super::Payload;

/// Writes an ICMPv6 message. The type and the code are always there, the words where they have some.
pub(super) fn write_icmpv6(out: &mut dyn fmt::Write, message: Payload<'_>) -> fmt::Result {
    let Some([kind, code]) = message.array(0) else {
        return out.write_str("[|icmp6]");
    };
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
        icmpv6::TYPE_NEIGHBOR_SOLICITATION => address(message, 8).map(|target| write!(out, " who has {target}")),
        icmpv6::TYPE_NEIGHBOR_ADVERTISEMENT => address(message, 8)
            .zip(message.array(4))
            .map(|(target, [flags])| write_neighbor_advertisement(out, target, flags)),
        icmpv6::TYPE_REDIRECT_MESSAGE => address(message, 24)
            .zip(address(message, 8))
            .map(|(destination, target)| write!(out, " {destination} to {target}")),
        _ => Some(Ok(())),
    };
    match complete {
        Some(result) => result?,
        None => out.write_str(" [|icmp6]")?,
    }
    write!(out, " length {}", message.len)
}

/// The target and the three flags of RFC 4861, section 4.4.
fn write_neighbor_advertisement(out: &mut dyn fmt::Write, target: Ipv6Addr, flags: u8) -> fmt::Result {
    write!(out, " tgt is {target}")?;
    let names = [(0x80, "router"), (0x40, "solicited"), (0x20, "override")];
    let mut separator = " [";
    for (_, name) in names.iter().filter(|(bit, _)| flags & bit != 0) {
        write!(out, "{separator}{name}")?;
        separator = ",";
    }
    if separator == "," { out.write_char(']') } else { Ok(()) }
}

fn address(message: Payload<'_>, offset: usize) -> Option<Ipv6Addr> {
    message.array::<16>(offset).map(Ipv6Addr::from)
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
        // RFC 3810.
        143 => "multicast listener report v2",
        icmpv6::TYPE_EXT_ECHO_REQUEST => "extended echo request",
        icmpv6::TYPE_EXT_ECHO_REPLY => "extended echo reply",
        _ => return None,
    })
}
