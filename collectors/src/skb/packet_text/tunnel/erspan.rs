// SPDX-License-Identifier: Apache-2.0 OR MIT

//! ERSPAN (draft-foschiano-erspan): frames mirrored over GRE.

use std::fmt;

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::inner::{Inner, write_inner};

const HEADER_II_LEN: usize = 8;
const HEADER_III_LEN: usize = 12;
const SUBHEADER_LEN: usize = 8;

/// Writes types I, which has no header, and II; they differ in whether GRE has a sequence number.
pub(super) fn write_erspan(out: &mut dyn fmt::Write, packet: Payload<'_>, has_sequence: bool) -> fmt::Result {
    if !has_sequence {
        out.write_str(" ERSPAN I")?;
        return write_inner(out, Inner::Frame, packet);
    }
    let (Some(head), Some(index)) = (packet.u32(0), packet.u32(4)) else {
        return out.write_str(" [|erspan]");
    };
    if head >> 28 != 1 {
        return write!(out, " ERSPAN (unknown version {}) length {}", head >> 28, packet.len);
    }
    write!(
        out,
        " ERSPAN II vlan {} cos {} encap {} {}session {} index {}",
        head >> 16 & 0xfff,
        head >> 13 & 7,
        head >> 11 & 3,
        if head & 0x400 != 0 { "truncated " } else { "" },
        head & 0x3ff,
        index & 0xf_ffff,
    )?;
    write_inner(out, Inner::Frame, packet.skip(HEADER_II_LEN))
}

/// Writes type III.
pub(super) fn write_erspan_iii(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let (Some(head), Some(timestamp), Some(tail)) = (packet.u32(0), packet.u32(4), packet.u32(8)) else {
        return out.write_str(" [|erspan]");
    };
    if head >> 28 != 2 {
        return write!(out, " ERSPAN (unknown version {}) length {}", head >> 28, packet.len);
    }
    write!(
        out,
        " ERSPAN III vlan {} cos {} bso {} {}session {} timestamp {timestamp} sgt {} {}hwid {} dir {}",
        head >> 16 & 0xfff,
        head >> 13 & 7,
        head >> 11 & 3,
        if head & 0x400 != 0 { "truncated " } else { "" },
        head & 0x3ff,
        tail >> 16,
        if tail & 0x8000 != 0 { "pdu " } else { "" },
        tail >> 4 & 0x3f,
        if tail & 8 != 0 { "egress" } else { "ingress" },
    )?;
    let subheader = if tail & 1 != 0 { SUBHEADER_LEN } else { 0 };
    // The frame type: 0 is Ethernet, 2 is IP.
    match tail >> 10 & 0x1f {
        0 => write_inner(out, Inner::Frame, packet.skip(HEADER_III_LEN + subheader)),
        2 => write_inner(out, Inner::Ip, packet.skip(HEADER_III_LEN + subheader)),
        kind => write!(out, " frame type {kind} length {}", packet.skip(HEADER_III_LEN + subheader).len),
    }
}
