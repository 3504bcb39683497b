// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The Precision Time Protocol (IEEE 1588), version 2 and later: the head that all messages share.

use std::fmt;

use crate::skb::packet_text::Payload;

/// Writes a PTP message.
pub(super) fn write_ptp(out: &mut dyn fmt::Write, message: Payload<'_>) -> fmt::Result {
    let Some([kind, version]) = message.array(0) else {
        return out.write_str("[|ptp]");
    };
    // Upper halves: what the profile or the minor version says.
    let (kind, version) = (kind & 0xf, version & 0xf);
    write!(out, "PTPv{version}")?;
    if version < 2 {
        return write!(out, " length {}", message.len);
    }
    match name(kind) {
        Some(name) => write!(out, " {name}")?,
        None => write!(out, " message type {kind:#x}")?,
    }
    let (Some([domain]), Some(clock), Some(port), Some(sequence)) =
        (message.array(4), message.array(20).map(u64::from_be_bytes), message.u16(28), message.u16(30))
    else {
        return out.write_str(" [|ptp]");
    };
    write!(out, " domain {domain} clock {clock:#018x} port {port} seq {sequence} length {}", message.len)
}

fn name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0x0 => "sync",
        0x1 => "delay req",
        0x2 => "peer delay req",
        0x3 => "peer delay resp",
        0x8 => "follow up",
        0x9 => "delay resp",
        0xa => "peer delay follow up",
        0xb => "announce",
        0xc => "signaling",
        0xd => "management",
        _ => return None,
    })
}
