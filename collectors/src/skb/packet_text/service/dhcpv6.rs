// SPDX-License-Identifier: Apache-2.0 OR MIT

//! DHCP for IPv6 (RFC 8415).

use std::fmt;
use std::net::Ipv6Addr;

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::notation::{Hex, Quoted};

/// A relayed message is an option of the message around it, and options have options: deeper than any relay goes.
const MAX_DEPTH: usize = 4;

/// More options than a reader of one line wants.
const MAX_OPTIONS: usize = 32;

/// Name servers that are shown.
const MAX_SERVERS: usize = 4;

/// Writes a DHCPv6 message.
pub(in crate::skb::packet_text) fn write_dhcpv6(out: &mut dyn fmt::Write, message: Payload<'_>) -> fmt::Result {
    out.write_str("DHCPv6 ")?;
    write_message(out, message, MAX_DEPTH)
}

fn write_message(out: &mut dyn fmt::Write, message: Payload<'_>, depth: usize) -> fmt::Result {
    let Some([kind, xid @ ..]) = message.array::<4>(0) else {
        return out.write_str("[|dhcp6]");
    };
    match message_name(kind) {
        Some(name) => out.write_str(name)?,
        None => write!(out, "type {kind}")?,
    }
    // Between relays.
    if matches!(kind, 12 | 13) {
        let (Some(link), Some(peer)) = (message.ipv6(2), message.ipv6(18)) else {
            return out.write_str(" [|dhcp6]");
        };
        write!(out, " hops {} link {link} peer {peer}", xid[0])?;
        return write_options(out, message.skip(34), depth);
    }
    write!(out, " xid {:#x}", u32::from_be_bytes([0, xid[0], xid[1], xid[2]]))?;
    write_options(out, message.skip(4), depth)
}

fn write_options(out: &mut dyn fmt::Write, mut rest: Payload<'_>, depth: usize) -> fmt::Result {
    for _ in 0..MAX_OPTIONS {
        if rest.len == 0 {
            return Ok(());
        }
        let (Some(code), Some(len)) = (rest.u16(0), rest.u16(2)) else {
            return out.write_str(" [|dhcp6]");
        };
        let option = rest.skip(4);
        if usize::from(len) > option.len {
            return write!(out, " [bad opt {code}]");
        }
        if option.bytes.len() < len.into() {
            return out.write_str(" [|dhcp6]");
        }
        write_option(out, code, option.limit(len.into()), depth)?;
        rest = option.skip(len.into());
    }
    out.write_str(" ...")
}

/// Writes an option that tells one message from another.
fn write_option(out: &mut dyn fmt::Write, code: u16, option: Payload<'_>, depth: usize) -> fmt::Result {
    let complete = match code {
        1 => Some(write!(out, " client-ID {}", Hex(option.bytes))),
        2 => Some(write!(out, " server-ID {}", Hex(option.bytes))),
        // Addresses for a client, and prefixes for a router: both have timers behind the number.
        3 | 25 => option.u32(0).zip(option.array::<8>(4)).map(|(iaid, _)| {
            write!(out, " {} iaid {iaid}", if code == 3 { "IA_NA" } else { "IA_PD" })?;
            nested(out, option.skip(12), depth)
        }),
        4 => option.u32(0).map(|iaid| {
            write!(out, " IA_TA iaid {iaid}")?;
            nested(out, option.skip(4), depth)
        }),
        5 => option.ipv6(0).zip(option.u32(16)).zip(option.u32(20)).map(|((address, preferred), valid)| {
            write!(out, " addr {address} pltime {preferred}s vltime {valid}s")?;
            nested(out, option.skip(24), depth)
        }),
        26 => option.u32(0).zip(option.u32(4)).zip(option.array(8)).zip(option.ipv6(9)).map(
            |(((preferred, valid), [len]), prefix)| {
                write!(out, " prefix {prefix}/{len} pltime {preferred}s vltime {valid}s")?;
                nested(out, option.skip(25), depth)
            },
        ),
        9 => Some(match depth.checked_sub(1) {
            Some(depth) => {
                out.write_str(" [")?;
                write_message(out, option, depth)?;
                out.write_char(']')
            }
            None => out.write_str(" ..."),
        }),
        13 => option.u16(0).map(|status| {
            match status_name(status) {
                Some(name) => write!(out, " status {name}"),
                None => write!(out, " status {status}"),
            }?;
            let text = option.skip(2).bytes;
            if text.is_empty() { Ok(()) } else { write!(out, " {}", Quoted(text)) }
        }),
        14 => Some(out.write_str(" rapid-commit")),
        23 => Some(
            option
                .bytes
                .as_chunks::<16>()
                .0
                .iter()
                .take(MAX_SERVERS)
                .try_for_each(|server| write!(out, " dns {}", Ipv6Addr::from(*server))),
        ),
        _ => Some(Ok(())),
    };
    complete.unwrap_or_else(|| write!(out, " [bad opt {code}]"))
}

/// The options of an option.
fn nested(out: &mut dyn fmt::Write, options: Payload<'_>, depth: usize) -> fmt::Result {
    match depth.checked_sub(1) {
        Some(depth) => write_options(out, options, depth),
        None => out.write_str(" ..."),
    }
}

/// The message types of RFC 8415, 7.3, as tcpdump writes them.
fn message_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "solicit",
        2 => "advertise",
        3 => "request",
        4 => "confirm",
        5 => "renew",
        6 => "rebind",
        7 => "reply",
        8 => "release",
        9 => "decline",
        10 => "reconf",
        11 => "inf-req",
        12 => "relay-fwd",
        13 => "relay-reply",
        14 => "leasequery",
        15 => "leasequery-reply",
        _ => return None,
    })
}

/// The status codes of RFC 8415, 21.13.
fn status_name(status: u16) -> Option<&'static str> {
    Some(match status {
        0 => "Success",
        1 => "UnspecFail",
        2 => "NoAddrsAvail",
        3 => "NoBinding",
        4 => "NotOnLink",
        5 => "UseMulticast",
        6 => "NoPrefixAvail",
        _ => return None,
    })
}
