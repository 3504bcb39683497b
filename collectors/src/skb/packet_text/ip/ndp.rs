// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Neighbour discovery (RFC 4861), whose messages are ICMPv6's, and its options.

use std::fmt;
use std::net::Ipv6Addr;

use super::icmpv6::CUT;
use crate::skb::packet_text::notation::{Hex, RareFlags};
use crate::skb::packet_text::service::dns::write_names;
use crate::skb::packet_text::{Mac, Payload};

/// More options than a reader of one line wants; a packet can hold hundreds.
const MAX_OPTIONS: usize = 16;

/// The option of a redirect that holds the packet it is about (RFC 4861, 4.6.3).
const REDIRECTED_HEADER: u8 = 4;

/// Writes ` hop limit 64 flags [managed] ... options [...]`.
pub(super) fn write_router_advertisement(out: &mut dyn fmt::Write, message: Payload<'_>) -> Option<fmt::Result> {
    let ([hop_limit, flags], lifetime) = (message.array(4)?, message.u16(6)?);
    let (reachable, retransmit) = (message.u32(8)?, message.u32(12)?);
    let names = [(0x80, "managed"), (0x40, "other stateful"), (0x20, "home agent"), (0x04, "ND proxy")];
    let names = names.map(|(bit, name)| (flags & bit != 0, name));
    let mut write = || {
        write!(
            out,
            " hop limit {hop_limit}{} pref {} router lifetime {lifetime}s reachable time {reachable}ms \
             retrans timer {retransmit}ms",
            RareFlags(&names),
            preference(flags)
        )?;
        write_options(out, message.skip(16))
    };
    Some(write())
}

/// Writes ` who has TARGET`.
pub(super) fn write_neighbor_solicitation(out: &mut dyn fmt::Write, message: Payload<'_>) -> Option<fmt::Result> {
    let target = message.ipv6(8)?;
    Some(write!(out, " who has {target}").and_then(|()| write_options(out, message.skip(24))))
}

/// Writes ` tgt is TARGET [router,solicited,override]`.
pub(super) fn write_neighbor_advertisement(out: &mut dyn fmt::Write, message: Payload<'_>) -> Option<fmt::Result> {
    let ([flags], target) = (message.array(4)?, message.ipv6(8)?);
    let flags = [(0x80, "router"), (0x40, "solicited"), (0x20, "override")].map(|(bit, name)| (flags & bit != 0, name));
    Some(write!(out, " tgt is {target}{}", RareFlags(&flags)).and_then(|()| write_options(out, message.skip(24))))
}

/// Writes ` DESTINATION to TARGET`.
pub(super) fn write_redirect(out: &mut dyn fmt::Write, message: Payload<'_>) -> Option<fmt::Result> {
    let (target, destination) = (message.ipv6(8)?, message.ipv6(24)?);
    Some(write!(out, " {destination} to {target}").and_then(|()| write_options(out, message.skip(40))))
}

/// The packet that a redirect is about, empty when it quotes none.
pub(super) fn redirected_packet(message: Payload<'_>) -> Payload<'_> {
    let mut rest = message.skip(40);
    for _ in 0..MAX_OPTIONS {
        let Some([kind, units]) = rest.array(0) else {
            break;
        };
        let len = usize::from(units) * 8;
        if len == 0 {
            break;
        }
        if kind == REDIRECTED_HEADER {
            return rest.limit(len).skip(8);
        }
        rest = rest.skip(len);
    }
    message.limit(0)
}

/// Writes ` options [source link-address aa:bb:cc:dd:ee:ff,mtu 1500]`, or nothing where there are none.
pub(super) fn write_options(out: &mut dyn fmt::Write, mut rest: Payload<'_>) -> fmt::Result {
    let mut separator = " options [";
    for _ in 0..MAX_OPTIONS {
        if rest.len == 0 {
            break;
        }
        out.write_str(separator)?;
        separator = ",";
        let Some([kind, units]) = rest.array(0) else {
            return write!(out, "{CUT}]");
        };
        let len = usize::from(units) * 8;
        if len == 0 || len > rest.len {
            return write!(out, "[bad opt {kind}]]");
        }
        write_option(out, kind, rest.limit(len))?;
        rest = rest.skip(len);
    }
    if rest.len > 0 {
        out.write_str(",...")?;
    }
    if separator == "," { out.write_char(']') } else { Ok(()) }
}

/// `option` starts with its kind and its length in units of 8 bytes.
fn write_option(out: &mut dyn fmt::Write, kind: u8, option: Payload<'_>) -> fmt::Result {
    let complete = match kind {
        1 => write_link_address(out, "source", option),
        2 => write_link_address(out, "target", option),
        3 => write_prefix(out, option),
        REDIRECTED_HEADER => Some(out.write_str("redirected header")),
        5 => option.u32(4).map(|mtu| write!(out, "mtu {mtu}")),
        // RFC 3971 and 4861 have more, that nobody reads in a line.
        14 => option.bytes.get(2..).map(|nonce| write!(out, "nonce {}", Hex(nonce))),
        24 => write_route(out, option),
        25 => option.u32(4).map(|lifetime| {
            write!(out, "rdnss lifetime {lifetime}s addr")?;
            option
                .skip(8)
                .bytes
                .as_chunks::<16>()
                .0
                .iter()
                .take(MAX_OPTIONS)
                .try_for_each(|server| write!(out, " {}", Ipv6Addr::from(*server)))
        }),
        31 => option.u32(4).map(|lifetime| {
            write!(out, "dnssl lifetime {lifetime}s domain")?;
            write_names(out, option.skip(8).bytes)
        }),
        38 => write_pref64(out, option),
        _ => Some(write!(out, "unknown option {kind} ({} bytes)", option.len)),
    };
    complete.unwrap_or_else(|| {
        if option.bytes.len() < option.len { out.write_str(CUT) } else { write!(out, "[bad opt {kind}]") }
    })
}

/// A link-layer address: on Ethernet, what a unit of 8 bytes has room for.
fn write_link_address(out: &mut dyn fmt::Write, whose: &str, option: Payload<'_>) -> Option<fmt::Result> {
    let address = option.bytes.get(2..option.len)?;
    Some(match address.try_into() {
        Ok(address) => write!(out, "{whose} link-address {}", Mac(address)),
        Err(_) => write!(out, "{whose} link-address {}", Hex(address)),
    })
}

/// Prefix information (RFC 4861, 4.6.2).
fn write_prefix(out: &mut dyn fmt::Write, option: Payload<'_>) -> Option<fmt::Result> {
    let ([len, flags], valid, preferred) = (option.array(2)?, option.u32(4)?, option.u32(8)?);
    let prefix = option.ipv6(16)?;
    let flags = [(0x80, "onlink"), (0x40, "auto"), (0x20, "router")].map(|(bit, name)| (flags & bit != 0, name));
    Some(write!(out, "prefix {prefix}/{len}{} valid {valid}s pref {preferred}s", RareFlags(&flags)))
}

/// Route information (RFC 4191, 2.3): of the prefix only as much is there as its length needs.
fn write_route(out: &mut dyn fmt::Write, option: Payload<'_>) -> Option<fmt::Result> {
    let ([len, flags], lifetime) = (option.array(2)?, option.u32(4)?);
    let mut prefix = [0; 16];
    let there = option.bytes.get(8..option.len)?;
    prefix.get_mut(..there.len())?.copy_from_slice(there);
    Some(write!(out, "route {}/{len} pref {} lifetime {lifetime}s", Ipv6Addr::from(prefix), preference(flags)))
}

/// The prefix of NAT64 (RFC 8781, 4): thirteen bits of lifetime in units of 8 seconds, three bits for the length.
fn write_pref64(out: &mut dyn fmt::Write, option: Payload<'_>) -> Option<fmt::Result> {
    let lifetime_and_code = option.u16(2)?;
    let mut prefix = [0; 16];
    prefix[..12].copy_from_slice(&option.array::<12>(4)?);
    let len = [96, 64, 56, 48, 40, 32].get(usize::from(lifetime_and_code & 7))?;
    Some(write!(out, "pref64 {}/{len} lifetime {}s", Ipv6Addr::from(prefix), lifetime_and_code & !7))
}

/// A router's preference (RFC 4191, 2.1), in the same two bits of two messages.
fn preference(flags: u8) -> &'static str {
    match flags & 0x18 {
        0x08 => "high",
        0x00 => "medium",
        0x18 => "low",
        _ => "reserved",
    }
}
