// SPDX-License-Identifier: Apache-2.0 OR MIT

//! DHCP for IPv4 (RFC 2131, 2132) and BOOTP (RFC 951), whose format it has.

use std::fmt;
use std::net::Ipv4Addr;

use crate::skb::packet_text::notation::{Hex, Quoted, RareFlags};
use crate::skb::packet_text::{Mac, Payload};

/// Bytes before the options: the BOOTP header, up to its vendor area.
const FIXED_LEN: usize = 236;

/// Bytes up to the client's Ethernet address: the names of server and boot file that follow are not shown.
const SHOWN_LEN: usize = 34;

/// More options than a reader of one line wants.
const MAX_OPTIONS: usize = 32;

/// What the vendor area begins with when it holds options (RFC 2132, 2).
const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Writes a DHCP or BOOTP message.
pub(in crate::skb::packet_text) fn write_dhcp(out: &mut dyn fmt::Write, message: Payload<'_>) -> fmt::Result {
    let fixed = message.limit(SHOWN_LEN);
    let (Some([operation]), SHOWN_LEN) = (fixed.array(0), fixed.bytes.len()) else {
        return out.write_str("DHCP [|bootp]");
    };
    let options = Options { rest: message.skip(FIXED_LEN + MAGIC_COOKIE.len()), broken: false };
    let cookie = message.array(FIXED_LEN);
    let has_options = cookie == Some(MAGIC_COOKIE);
    // The kind of the message stands among the options, and first in the line.
    let kind = options.clone().find(|option| has_options && option.code == 53).and_then(|option| option.data.array(0));
    match kind {
        Some([kind]) => match message_name(kind) {
            Some(name) => write!(out, "DHCP {name}")?,
            None => write!(out, "DHCP type {kind}")?,
        },
        None => {
            // Without the cookie one cannot tell.
            out.write_str(if cookie.is_some() { "BOOTP" } else { "BOOTP/DHCP" })?;
            match operation {
                1 => out.write_str(" request")?,
                2 => out.write_str(" reply")?,
                other => write!(out, " op {other}")?,
            }
        }
    }
    write_fixed(out, fixed)?;
    match cookie {
        None => out.write_str(" [|bootp]"),
        Some(MAGIC_COOKIE) => write_options(out, options),
        Some(_) => Ok(()),
    }
}

/// The fields that are there in every message, those that are zero left out.
fn write_fixed(out: &mut dyn fmt::Write, fixed: Payload<'_>) -> fmt::Result {
    let number = |offset| fixed.u32(offset).unwrap_or_default();
    write!(out, " xid {:#x}", number(4))?;
    if let (Some([1, 6]), Some(client)) = (fixed.array(1), fixed.array(28)) {
        write!(out, " client {}", Mac(client))?;
    }
    let [hops] = fixed.array(3).unwrap_or_default();
    for (value, name) in [(u16::from(hops), "hops"), (fixed.u16(8).unwrap_or_default(), "secs")] {
        if value != 0 {
            write!(out, " {name} {value}")?;
        }
    }
    let broadcast = fixed.u16(10).unwrap_or_default() & 0x8000 != 0;
    write!(out, "{}", RareFlags(&[(broadcast, "broadcast")]))?;
    for (offset, name) in [(12, "ciaddr"), (16, "yiaddr"), (20, "siaddr"), (24, "giaddr")] {
        if number(offset) != 0 {
            write!(out, " {name} {}", Ipv4Addr::from_bits(number(offset)))?;
        }
    }
    Ok(())
}

/// Writes the options that tell one message from another.
fn write_options(out: &mut dyn fmt::Write, mut options: Options<'_>) -> fmt::Result {
    for DhcpOption { code, data: payload } in options.by_ref().take(MAX_OPTIONS) {
        let data = payload.bytes;
        match (code, data.len()) {
            (1, 4) => write_addresses(out, "mask", data)?,
            (3, _) => write_addresses(out, "router", data)?,
            (6, _) => write_addresses(out, "dns", data)?,
            (12, _) => write!(out, " hostname {}", Quoted(data))?,
            (15, _) => write!(out, " domain {}", Quoted(data))?,
            (50, 4) => write_addresses(out, "requested", data)?,
            (51, 4) => write!(out, " lease {}s", payload.u32(0).unwrap_or_default())?,
            (54, 4) => write_addresses(out, "server", data)?,
            (56, _) => write!(out, " message {}", Quoted(data))?,
            // Hardware type 1 and a MAC address is what the fixed part says too.
            (61, _) if !(data.len() == 7 && data.starts_with(&[1])) => write!(out, " client-id {}", Hex(data))?,
            _ => {}
        }
    }
    if options.broken { out.write_str(" [|bootp]") } else { Ok(()) }
}

fn write_addresses(out: &mut dyn fmt::Write, name: &str, data: &[u8]) -> fmt::Result {
    /// A list of routers or name servers; clients use two or three.
    const MAX_ADDRESSES: usize = 4;
    write!(out, " {name}")?;
    data.as_chunks::<4>()
        .0
        .iter()
        .take(MAX_ADDRESSES)
        .try_for_each(|address| write!(out, " {}", Ipv4Addr::from(*address)))
}

/// A code and its data.
struct DhcpOption<'a> {
    code: u8,
    data: Payload<'a>,
}

/// Walks over options, up to the one that ends them.
#[derive(Clone)]
struct Options<'a> {
    rest: Payload<'a>,
    /// They ended in the middle of one.
    broken: bool,
}

impl<'a> Iterator for Options<'a> {
    type Item = DhcpOption<'a>;

    fn next(&mut self) -> Option<DhcpOption<'a>> {
        loop {
            match *self.rest.bytes {
                // Some senders leave the end option out.
                [] => {
                    self.broken = self.rest.len > 0;
                    return None;
                }
                [0, ..] => self.rest = self.rest.skip(1),
                [255, ..] => return None,
                [code, len, ..] if self.rest.bytes.len() >= 2 + usize::from(len) => {
                    let len = usize::from(len);
                    let data = self.rest.skip(2).limit(len);
                    self.rest = self.rest.skip(2 + len);
                    return Some(DhcpOption { code, data });
                }
                _ => {
                    self.broken = true;
                    return None;
                }
            }
        }
    }
}

/// The values of option 53 (RFC 2132, 3203, 4388, 6926).
fn message_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "Discover",
        2 => "Offer",
        3 => "Request",
        4 => "Decline",
        5 => "ACK",
        6 => "NACK",
        7 => "Release",
        8 => "Inform",
        9 => "ForceRenew",
        10 => "LeaseQuery",
        11 => "LeaseUnassigned",
        12 => "LeaseUnknown",
        13 => "LeaseActive",
        _ => return None,
    })
}
