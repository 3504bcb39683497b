// SPDX-License-Identifier: Apache-2.0 OR MIT

//! PPP over Ethernet (RFC 2516).

use std::fmt;

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::inner::{Inner, write_inner};
use crate::skb::packet_text::notation::{Hex, Quoted};

const HEADER_LEN: usize = 6;
const TAG_HEADER_LEN: usize = 4;
const END_OF_LIST: u16 = 0;

/// More tags than any packet needs; a hostile one could hold hundreds and make an endless line.
const MAX_TAGS: usize = 16;

/// Writes a packet of the discovery stage with its tags.
pub(super) fn write_discovery(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let Some((code, mut tags)) = write_header(out, packet)? else {
        return Ok(());
    };
    if !matches!(code, 0x07 | 0x09 | 0x19 | 0x65 | 0xa7) {
        return write!(out, " length {}", tags.len);
    }
    for _ in 0..MAX_TAGS {
        if tags.len == 0 {
            return Ok(());
        }
        let (Some(kind), Some(len)) = (tags.u16(0), tags.u16(2)) else {
            return out.write_str(" [|pppoe]");
        };
        if kind == END_OF_LIST {
            return Ok(());
        }
        let len = usize::from(len);
        let rest = tags.skip(TAG_HEADER_LEN);
        if len > rest.len {
            return write!(out, " [bad tag length {len} > {}]", rest.len);
        }
        if len > rest.bytes.len() {
            return out.write_str(" [|pppoe]");
        }
        write_tag(out, kind, rest.limit(len).bytes)?;
        tags = rest.skip(len);
    }
    out.write_str(" [too many tags]")
}

/// Writes a packet of the session stage: PPP without a serial line's framing.
pub(super) fn write_session(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    match write_header(out, packet)? {
        Some((0, frame)) => write_inner(out, Inner::Ppp, frame),
        Some((_, rest)) => write!(out, " length {}", rest.len),
        None => Ok(()),
    }
}

/// Writes the header and returns its code with what it carries, padding left out; `None` when the line is at its end.
fn write_header<'a>(out: &mut dyn fmt::Write, packet: Payload<'a>) -> Result<Option<(u8, Payload<'a>)>, fmt::Error> {
    let Some([version_and_type, code, session_high, session_low, len_high, len_low]) = packet.array(0) else {
        out.write_str("[|pppoe]")?;
        return Ok(None);
    };
    out.write_str("PPPoE")?;
    if version_and_type != 0x11 {
        write!(out, " [bad version {} type {}]", version_and_type >> 4, version_and_type & 0xf)?;
    }
    match code {
        0x00 => {}
        0x07 => out.write_str(" PADO")?,
        0x09 => out.write_str(" PADI")?,
        0x19 => out.write_str(" PADR")?,
        0x65 => out.write_str(" PADS")?,
        0xa7 => out.write_str(" PADT")?,
        _ => write!(out, " code {code:#04x}")?,
    }
    let session = u16::from_be_bytes([session_high, session_low]);
    if session != 0 {
        write!(out, " [ses {session:#x}]")?;
    }
    let len = usize::from(u16::from_be_bytes([len_high, len_low]));
    let rest = packet.skip(HEADER_LEN);
    if len > rest.len {
        write!(out, " [bad length {len} > {}]", rest.len)?;
    }
    Ok(Some((code, rest.limit(len))))
}

/// A tag by name, with its value as text where the standard says that it is text.
fn write_tag(out: &mut dyn fmt::Write, kind: u16, value: &[u8]) -> fmt::Result {
    let (name, is_text) = match kind {
        0x0101 => ("Service-Name", true),
        0x0102 => ("AC-Name", true),
        0x0103 => ("Host-Uniq", false),
        0x0104 => ("AC-Cookie", false),
        0x0105 => ("Vendor-Specific", false),
        0x0110 => ("Relay-Session-ID", false),
        // RFC 4638.
        0x0120 => ("PPP-Max-Payload", false),
        0x0201 => ("Service-Name-Error", true),
        0x0202 => ("AC-System-Error", true),
        0x0203 => ("Generic-Error", true),
        _ => return write!(out, " [tag {kind:#06x} {} bytes]", value.len()),
    };
    match value {
        [] => write!(out, " [{name}]"),
        _ if is_text => write!(out, " [{name} {}]", Quoted(value)),
        _ => write!(out, " [{name} 0x{}]", Hex(value)),
    }
}
