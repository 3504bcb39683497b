// SPDX-License-Identifier: Apache-2.0 OR MIT

//! WireGuard: the kind of a message and the indices of the session, which are not encrypted.

use std::fmt;

use crate::skb::packet_text::Payload;

/// Writes a WireGuard message.
pub(in crate::skb::packet_text) fn write_wireguard(out: &mut dyn fmt::Write, message: Payload<'_>) -> fmt::Result {
    let Some(kind) = message.array(0).map(u32::from_le_bytes) else {
        return out.write_str("[|wireguard]");
    };
    let index = |offset| message.array(offset).map(u32::from_le_bytes);
    let complete = match kind {
        1 => index(4).map(|sender| write!(out, "WireGuard handshake initiation sender {sender:#010x}")),
        2 => index(4).zip(index(8)).map(|(sender, receiver)| {
            write!(out, "WireGuard handshake response sender {sender:#010x} receiver {receiver:#010x}")
        }),
        3 => index(4).map(|receiver| write!(out, "WireGuard cookie reply receiver {receiver:#010x}")),
        4 => index(4).zip(message.array(8).map(u64::from_le_bytes)).map(|(receiver, counter)| {
            // A header of 16 bytes in front and a check value of 16 behind; without a payload it keeps the path alive.
            let kind = if message.len == 32 { "keepalive" } else { "data" };
            write!(out, "WireGuard {kind} receiver {receiver:#010x} counter {counter}")
        }),
        // Not WireGuard at all, most likely: the port belongs to nobody.
        _ => Some(write!(out, "WireGuard unknown type {kind:#x}")),
    };
    complete.unwrap_or_else(|| out.write_str("[|wireguard]"))
}
