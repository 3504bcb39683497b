// SPDX-License-Identifier: Apache-2.0 OR MIT

//! ICMP for IPv4 (RFC 792).

use std::fmt;

use etherparse::icmpv4;

use super::ipv4::write_ipv4;
use super::upper_layer::Extent;
use crate::skb::packet_text::Payload;

/// Bytes before the packet that an error quotes.
const HEADER_LEN: usize = 8;

/// Addresses of routers: more than a network has.
const MAX_ROUTERS: usize = 4;

/// Writes an ICMP message, with the packet that an error is about.
pub(super) fn write_icmpv4(out: &mut dyn fmt::Write, message: Payload<'_>) -> fmt::Result {
    let Some([kind, code]) = message.array(0) else {
        return out.write_str("[|icmp]");
    };
    write_message(out, message, kind, code)?;
    write!(out, " length {}", message.len)?;
    let packet = message.skip(HEADER_LEN);
    if !is_error(kind) || packet.len == 0 {
        return Ok(());
    }
    out.write_str(" [")?;
    write_ipv4(out, packet, Extent::Start)?;
    out.write_char(']')
}

/// Writes the start of a message that an error is about, with a space in front.
pub(super) fn write_quoted_icmpv4(out: &mut dyn fmt::Write, message: Payload<'_>) -> fmt::Result {
    let Some([kind, code]) = message.array(0) else {
        return Ok(());
    };
    out.write_char(' ')?;
    write_message(out, message, kind, code)
}

/// Whether a message is about a packet, and quotes it.
fn is_error(kind: u8) -> bool {
    matches!(
        kind,
        icmpv4::TYPE_DEST_UNREACH
            | icmpv4::TYPE_SOURCE_QUENCH
            | icmpv4::TYPE_REDIRECT
            | icmpv4::TYPE_TIME_EXCEEDED
            | icmpv4::TYPE_PARAMETER_PROBLEM
    )
}

/// Writes what a message says itself. The type and the code are always there, the words where they have some.
fn write_message(out: &mut dyn fmt::Write, message: Payload<'_>, kind: u8, code: u8) -> fmt::Result {
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
        icmpv4::TYPE_REDIRECT => message.ipv4(4).map(|gateway| write!(out, " to {gateway}")),
        icmpv4::TYPE_PARAMETER_PROBLEM => message.array(4).map(|[octet]| write!(out, " - octet {octet}")),
        icmpv4::TYPE_ECHO_REQUEST
        | icmpv4::TYPE_ECHO_REPLY
        | icmpv4::TYPE_TIMESTAMP
        | icmpv4::TYPE_INFO_REQUEST
        | icmpv4::TYPE_INFO_REPLY
        | icmpv4::TYPE_ADDRESS => write_identity(out, message),
        icmpv4::TYPE_TIMESTAMP_REPLY => write_identity(out, message).and(write_timestamps(out, message)),
        icmpv4::TYPE_ADDRESSREPLY => {
            write_identity(out, message).and(message.ipv4(8).map(|mask| write!(out, " mask {mask}")))
        }
        // RFC 8335: the sequence number has one byte.
        EXTENDED_ECHO_REQUEST | EXTENDED_ECHO_REPLY => {
            message.u16(4).zip(message.array(6)).map(|(id, [sequence])| write!(out, " id {id} seq {sequence}"))
        }
        icmpv4::TYPE_ROUTER_ADVERTISEMENT => write_routers(out, message),
        _ => Some(Ok(())),
    };
    match complete {
        Some(result) => result,
        None => out.write_str(" [|icmp]"),
    }
}

/// What joins a request and its reply.
fn write_identity(out: &mut dyn fmt::Write, message: Payload<'_>) -> Option<fmt::Result> {
    let (id, sequence) = (message.u16(4)?, message.u16(6)?);
    Some(write!(out, " id {id} seq {sequence}"))
}

/// When the request was sent, received and answered.
fn write_timestamps(out: &mut dyn fmt::Write, message: Payload<'_>) -> Option<fmt::Result> {
    let (origin, receive, transmit) = (message.u32(8)?, message.u32(12)?, message.u32(16)?);
    Some(write!(out, " org {} recv {} xmit {}", TimeOfDay(origin), TimeOfDay(receive), TimeOfDay(transmit)))
}

/// Routers with their preference (RFC 1256, 3).
fn write_routers(out: &mut dyn fmt::Write, message: Payload<'_>) -> Option<fmt::Result> {
    let ([count, words], lifetime) = (message.array(4)?, message.u16(6)?);
    let mut write = || {
        write!(out, " lifetime {lifetime}s {count} routers")?;
        for index in 0..usize::from(count).min(MAX_ROUTERS) {
            let at = HEADER_LEN + index * usize::from(words) * 4;
            let (Some(router), Some(preference)) = (message.ipv4(at), message.u32(at + 4)) else {
                return out.write_str(" [|icmp]");
            };
            write!(out, " {{{router} {}}}", preference.cast_signed())?;
        }
        if usize::from(count) > MAX_ROUTERS { out.write_str(" ...") } else { Ok(()) }
    };
    Some(write())
}

/// Milliseconds since midnight UT; the highest bit says that they count from something else (RFC 792).
struct TimeOfDay(u32);

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, milliseconds) = (self.0 / 1000, self.0 % 1000);
        if self.0 & 1 << 31 != 0 {
            return write!(f, "{:#x}", self.0);
        }
        write!(f, "{:02}:{:02}:{:02}.{milliseconds:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

/// RFC 8335.
const EXTENDED_ECHO_REQUEST: u8 = 42;
const EXTENDED_ECHO_REPLY: u8 = 43;

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
        (EXTENDED_ECHO_REQUEST, _) => "extended echo request",
        (EXTENDED_ECHO_REPLY, _) => "extended echo reply",
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
