// SPDX-License-Identifier: Apache-2.0 OR MIT

//! GRE (RFC 2784, 2890), NVGRE (RFC 7637), and PPTP's version of GRE (RFC 2637).

use std::fmt;

use etherparse::EtherType;

use super::erspan;
use crate::skb::packet_text::Payload;
use crate::skb::packet_text::inner::{Inner, write_inner};
use crate::skb::packet_text::link::ether_type;
use crate::skb::packet_text::link::ether_type::Named;
use crate::skb::packet_text::notation::Flags;

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
/// Only in version 1.
const ACKNOWLEDGMENT: u16 = 0x0080;

/// The names of the flags; tcpdump's, without `present`.
const FLAGS: &[(u16, &str)] =
    &[(CHECKSUM, "checksum"), (ROUTING, "routing"), (KEY, "key"), (SEQUENCE, "sequence#"), (ACKNOWLEDGMENT, "ack")];

/// Writes a GRE header and what it carries.
pub(in crate::skb::packet_text) fn write_gre(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let (Some(flags), Some(protocol)) = (packet.u16(0), packet.u16(2)) else {
        return out.write_str("[|gre]");
    };
    let version = flags & 7;
    write!(out, "GREv{version}")?;
    if version > 1 {
        return write!(out, " (unknown version) length {}", packet.len);
    }
    let known = if version == 0 { flags & !ACKNOWLEDGMENT } else { flags };
    write!(out, " flags {}", Flags { bits: known, names: FLAGS })?;
    let fields = Fields { flags, rest: packet.skip(4) };
    let protocol = EtherType(protocol);
    if version == 0 { write_version_0(out, fields, protocol) } else { write_version_1(out, fields, protocol) }
}

/// The optional fields of a header, in their order.
struct Fields<'a> {
    flags: u16,
    rest: Payload<'a>,
}

impl Fields<'_> {
    /// The next four bytes when `flag` is set: none, or what was captured of them.
    fn next(&mut self, flag: u16) -> Result<Option<u32>, Truncated> {
        if self.flags & flag == 0 {
            return Ok(None);
        }
        let value = self.rest.u32(0).ok_or(Truncated)?;
        self.rest = self.rest.skip(4);
        Ok(Some(value))
    }
}

struct Truncated;

fn write_version_0(out: &mut dyn fmt::Write, mut fields: Fields<'_>, protocol: EtherType) -> fmt::Result {
    let flags = fields.flags;
    // The checksum shares its word with the offset into a routing that nobody uses any more (RFC 1701).
    let (Ok(checksum), Ok(key), Ok(sequence)) =
        (fields.next(CHECKSUM | ROUTING), fields.next(KEY), fields.next(SEQUENCE))
    else {
        return out.write_str(" [|gre]");
    };
    if let Some(checksum) = checksum.filter(|_| flags & CHECKSUM != 0) {
        write!(out, " sum {:#06x}", checksum >> 16)?;
    }
    if let Some(key) = key {
        write!(out, " key {key:#x}")?;
        // Nothing but this tells NVGRE from a bridge over GRE with a key.
        if protocol == ether_type::TRANSPARENT_BRIDGING && flags == KEY {
            write!(out, " [nvgre vsid {} flow {}]", key >> 8, key & 0xff)?;
        }
    }
    if let Some(sequence) = sequence {
        write!(out, " seq {sequence}")?;
    }
    write!(out, " proto {}", Named(protocol))?;
    let payload = fields.rest;
    if flags & ROUTING != 0 {
        return write!(out, " length {}", payload.len);
    }
    match protocol {
        ether_type::TRANSPARENT_BRIDGING => write_inner(out, Inner::Frame, payload),
        ether_type::ERSPAN => erspan::write_erspan(out, payload, sequence.is_some()),
        ether_type::ERSPAN_III => erspan::write_erspan_iii(out, payload),
        _ => write_inner(out, Inner::EtherType(protocol), payload),
    }
}

/// The key is the length of the payload and the number of the call.
fn write_version_1(out: &mut dyn fmt::Write, mut fields: Fields<'_>, protocol: EtherType) -> fmt::Result {
    let (Ok(key), Ok(sequence), Ok(acknowledgment)) =
        (fields.next(KEY), fields.next(SEQUENCE), fields.next(ACKNOWLEDGMENT))
    else {
        return out.write_str(" [|gre]");
    };
    if let Some(key) = key {
        write!(out, " call {}", key & 0xffff)?;
    }
    if let Some(sequence) = sequence {
        write!(out, " seq {sequence}")?;
    }
    if let Some(acknowledgment) = acknowledgment {
        write!(out, " ack {acknowledgment}")?;
    }
    write!(out, " proto {}", Named(protocol))?;
    let payload = key.map_or(fields.rest, |key| fields.rest.limit((key >> 16) as usize));
    match protocol {
        // Without a sequence number it is an acknowledgement and nothing else.
        _ if sequence.is_none() => out.write_str(" no-payload"),
        ether_type::PPP => write_inner(out, Inner::Ppp, payload),
        _ => write!(out, " length {}", payload.len),
    }
}
