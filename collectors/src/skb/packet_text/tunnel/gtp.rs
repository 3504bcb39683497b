// SPDX-License-Identifier: Apache-2.0 OR MIT

//! GTP-U (3GPP TS 29.281): what mobile phones send, between the parts of the operator's network.

use std::fmt;

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::inner::{Inner, write_inner};

const HEADER_LEN: usize = 8;
/// A sequence number, a number for the old network, the type of the first extension header.
const OPTIONAL_LEN: usize = 4;

/// Any of these three, and all three fields are there.
const OPTIONAL: u8 = 0x07;
const EXTENSION: u8 = 0x04;
const SEQUENCE: u8 = 0x02;
/// GTP, not the charging protocol GTP'.
const PROTOCOL_TYPE: u8 = 0x10;

const USER_DATA: u8 = 255;

/// More extension headers than there are types of.
const MAX_EXTENSIONS: usize = 8;

/// Writes a GTP-U message and the packet in it.
pub(in crate::skb::packet_text) fn write_gtp(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let (Some([flags, kind]), Some(len), Some(tunnel)) = (packet.array(0), packet.u16(2), packet.u32(4)) else {
        return out.write_str("[|gtp]");
    };
    if flags >> 5 != 1 || flags & PROTOCOL_TYPE == 0 {
        return write!(out, "GTP (unknown version {}) length {}", flags >> 5, packet.len);
    }
    match name(kind) {
        Some(name) => write!(out, "GTP-U {name} ({kind})")?,
        None => write!(out, "GTP-U message {kind}")?,
    }
    write!(out, " teid {tunnel:#010x}")?;
    let mut rest = packet.skip(HEADER_LEN);
    let len = usize::from(len);
    if len > rest.len {
        write!(out, " [bad length {len} > {}]", rest.len)?;
    }
    rest = rest.limit(len);
    if flags & OPTIONAL != 0 {
        let (Some(sequence), Some([next])) = (rest.u16(0), rest.array(3)) else {
            return out.write_str(" [|gtp]");
        };
        if flags & SEQUENCE != 0 {
            write!(out, " seq {sequence}")?;
        }
        rest = rest.skip(OPTIONAL_LEN);
        if flags & EXTENSION != 0 {
            rest = match skip_extensions(out, next, rest)? {
                Some(rest) => rest,
                None => return Ok(()),
            };
        }
    }
    if kind == USER_DATA { write_inner(out, Inner::Ip, rest) } else { write!(out, " length {}", rest.len) }
}

/// Names the extension headers and returns what follows them; `None` when the line is at its end.
fn skip_extensions<'a>(
    out: &mut dyn fmt::Write,
    first: u8,
    headers: Payload<'a>,
) -> Result<Option<Payload<'a>>, fmt::Error> {
    let mut next = first;
    let mut rest = headers;
    for _ in 0..MAX_EXTENSIONS {
        if next == 0 {
            return Ok(Some(rest));
        }
        // In units of four bytes, of which the last is the type of the next one.
        let Some([units]) = rest.array(0) else {
            out.write_str(" [|gtp]")?;
            return Ok(None);
        };
        let len = usize::from(units) * 4;
        if len == 0 || len > rest.len {
            write!(out, " [bad ext length {len}]")?;
            return Ok(None);
        }
        match (next, rest.array(1)) {
            // The direction, and the quality of service that 5G wants for the packet (3GPP TS 38.415).
            (0x85, Some([kind, flow])) => {
                write!(out, " ext PDU session {} qfi {}", if kind >> 4 == 0 { "DL" } else { "UL" }, flow & 0x3f)?;
            }
            _ => write!(out, " ext {next:#04x}")?,
        }
        let Some([following]) = rest.array(len - 1) else {
            out.write_str(" [|gtp]")?;
            return Ok(None);
        };
        next = following;
        rest = rest.skip(len);
    }
    out.write_str(" [too many extension headers]")?;
    Ok(None)
}

fn name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "Echo request",
        2 => "Echo response",
        26 => "Error indication",
        31 => "Supported extension headers notification",
        253 => "Tunnel status",
        254 => "End marker",
        USER_DATA => "T-PDU",
        _ => return None,
    })
}
