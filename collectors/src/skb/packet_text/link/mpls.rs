// SPDX-License-Identifier: Apache-2.0 OR MIT

//! MPLS label stacks (RFC 3032), and what is behind them, which no header tells.

use std::fmt;

use etherparse::EtherType;

use super::ether_type;
use crate::skb::packet_text::Payload;
use crate::skb::packet_text::inner::{Inner, write_inner};

/// More labels than any network stacks on purpose; a hostile packet could hold thousands and make an endless line.
const MAX_LABELS: usize = 16;

const LABEL_LEN: usize = 4;
const CONTROL_WORD_LEN: usize = 4;

/// Writes a label stack and the packet behind it.
pub(in crate::skb::packet_text) fn write_mpls(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    out.write_str("MPLS")?;
    let mut rest = packet;
    for _ in 0..MAX_LABELS {
        let Some(entry) = rest.u32(0) else {
            return out.write_str(" [|mpls]");
        };
        rest = rest.skip(LABEL_LEN);
        write_label(out, entry)?;
        if is_bottom(entry) {
            return write_payload(out, rest);
        }
    }
    write!(out, " [too many labels] length {}", rest.len)
}

/// Twenty bits of label, three of traffic class (once called experimental), the bottom of the stack, time to live.
fn write_label(out: &mut dyn fmt::Write, entry: u32) -> fmt::Result {
    let label = entry >> 12;
    write!(out, " (label {label}")?;
    // The labels of RFC 3032, section 2.1, and their like.
    match label {
        0 => out.write_str(" (IPv4 explicit NULL)")?,
        1 => out.write_str(" (router alert)")?,
        2 => out.write_str(" (IPv6 explicit NULL)")?,
        3 => out.write_str(" (implicit NULL)")?,
        7 => out.write_str(" (entropy label indicator)")?,
        13 => out.write_str(" (generic associated channel)")?,
        14 => out.write_str(" (OAM alert)")?,
        _ => {}
    }
    let bottom = if is_bottom(entry) { " [S]" } else { "" };
    write!(out, " tc {}{bottom} ttl {})", entry >> 9 & 7, entry & 0xff)
}

fn is_bottom(entry: u32) -> bool {
    entry & 1 << 8 != 0
}

/// Guesses by the first four bits: an IP version, or those with which a pseudowire avoids to look like one (RFC 4385).
fn write_payload(out: &mut dyn fmt::Write, payload: Payload<'_>) -> fmt::Result {
    match payload.array(0).map(|[first]: [u8; 1]| first >> 4) {
        Some(4 | 6) => write_inner(out, Inner::Ip, payload),
        Some(0) if is_frame(payload.skip(CONTROL_WORD_LEN)) => {
            if let Some(sequence) = payload.u16(2) {
                write!(out, " control word seq {sequence}")?;
            }
            write_inner(out, Inner::Frame, payload.skip(CONTROL_WORD_LEN))
        }
        Some(1) if !is_frame(payload) => match payload.u16(2) {
            Some(channel) => write!(out, " associated channel {channel:#06x} length {}", payload.len),
            None => write!(out, " length {}", payload.len),
        },
        Some(_) if is_frame(payload) => write_inner(out, Inner::Frame, payload),
        _ => write!(out, " length {}", payload.len),
    }
}

/// A frame is known by an ethertype that has a name.
fn is_frame(payload: Payload<'_>) -> bool {
    payload.u16(12).is_some_and(|number| ether_type::name(EtherType(number)).is_some())
}
