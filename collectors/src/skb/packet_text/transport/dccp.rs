// SPDX-License-Identifier: Apache-2.0 OR MIT

//! DCCP (RFC 4340).

use std::fmt;

use crate::skb::packet_text::Payload;

/// Writes a DCCP packet, without its ports: its type and its numbers.
pub(in crate::skb::packet_text) fn write_dccp(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let (Some([offset]), Some([kind])) = (packet.array(4), packet.array(8)) else {
        return out.write_str("[|dccp]");
    };
    // The type is four bits; the last bit says whether sequence numbers have 48 bits or 24.
    let (extended, kind) = (kind & 1 != 0, kind >> 1 & 0xf);
    match type_name(kind) {
        Some(name) => write!(out, "DCCP-{name}")?,
        None => write!(out, "DCCP type {kind}")?,
    }
    let header_len = usize::from(offset) * 4;
    if header_len < 12 || header_len > packet.len {
        return write!(out, " [bad hdr length {header_len}] length {}", packet.len);
    }
    match write_numbers(out, packet, kind, extended) {
        Some(result) => result?,
        None => out.write_str(" [|dccp]")?,
    }
    write!(out, " length {}", packet.len - header_len)
}

fn write_numbers(out: &mut dyn fmt::Write, packet: Payload<'_>, kind: u8, extended: bool) -> Option<fmt::Result> {
    let number = |offset: usize| match extended {
        true => Some(u64::from(packet.u16(offset)?) << 32 | u64::from(packet.u32(offset + 2)?)),
        false => packet.u32(offset).map(|word| u64::from(word & 0xff_ffff)),
    };
    let sequence = number(if extended { 10 } else { 8 })?;
    let acknowledges = !matches!(kind, 0 | 2);
    // Behind it stand two reserved bytes when it is long; a short one shares its word with one.
    let acknowledgement = match (acknowledges, extended) {
        (false, _) => None,
        (true, true) => Some(number(18)?),
        (true, false) => Some(number(12)?),
    };
    let service = match kind {
        0 => Some(packet.u32(16)?),
        1 => Some(packet.u32(24)?),
        _ => None,
    };
    let mut write = || {
        write!(out, " seq {sequence}")?;
        if let Some(number) = acknowledgement {
            write!(out, " ack {number}")?;
        }
        service.map_or(Ok(()), |code| write!(out, " service {code}"))
    };
    Some(write())
}

/// The packet types of RFC 4340, 5.1.
fn type_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0 => "Request",
        1 => "Response",
        2 => "Data",
        3 => "Ack",
        4 => "DataAck",
        5 => "CloseReq",
        6 => "Close",
        7 => "Reset",
        8 => "Sync",
        9 => "SyncAck",
        _ => return None,
    })
}
