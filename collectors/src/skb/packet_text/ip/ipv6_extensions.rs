// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What IPv6 extension headers hold: options (RFC 8200, 4.2) and routes (4.4).

use std::fmt;
use std::net::Ipv6Addr;

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::notation::RareFlags;

/// More options or segments than a reader of one line wants.
const MAX_LISTED: usize = 16;

/// Writes the options of a hop-by-hop or destination options header, each between parentheses and with a space in front.
/// Padding is left out. The header is there to its end.
pub(super) fn write_options(out: &mut dyn fmt::Write, header: Payload<'_>) -> fmt::Result {
    let mut rest = header.skip(2);
    let mut shown = 0;
    while let Some([kind]) = rest.array(0) {
        // One byte of padding has no length.
        if kind == 0 {
            rest = rest.skip(1);
            continue;
        }
        let len = rest.array(1).map(|[len]| usize::from(len));
        let Some(len) = len.filter(|len| rest.skip(2).bytes.len() >= *len) else {
            return write!(out, " [bad opt {kind:#04x}]");
        };
        let data = rest.skip(2).limit(len);
        rest = rest.skip(2 + len);
        if kind == 1 {
            continue;
        }
        if shown == MAX_LISTED {
            return out.write_str(" ...");
        }
        shown += 1;
        write_option(out, kind, data)?;
    }
    Ok(())
}

fn write_option(out: &mut dyn fmt::Write, kind: u8, data: Payload<'_>) -> fmt::Result {
    let complete = match kind {
        // RFC 2473, 2675, 2711, 6275, in this order.
        0x04 => data.array(0).map(|[limit]| write!(out, " (tunnel encap limit {limit})")),
        0xc2 => data.u32(0).map(|len| write!(out, " (jumbo {len})")),
        0x05 => data.u16(0).map(|value| write!(out, " (rtalert {value:#06x})")),
        0xc9 => data.ipv6(0).map(|home| write!(out, " (homeaddr {home})")),
        _ => Some(write!(out, " (opt {kind:#04x} len {})", data.len)),
    };
    complete.unwrap_or_else(|| write!(out, " [bad opt {kind:#04x}]"))
}

/// Writes ` (type 4 segleft 1 ...)`. The header is there to its end.
pub(super) fn write_routing(out: &mut dyn fmt::Write, header: Payload<'_>) -> fmt::Result {
    let [kind, segments_left] = header.array(2).unwrap_or_default();
    write!(out, " (type {kind} segleft {segments_left}")?;
    match kind {
        // The routing header of RFC 2460, deprecated since; the home address of RFC 6275.
        0 | 2 => write_segments(out, header.skip(8), header.skip(8).len / 16)?,
        4 => write_segment_routing(out, header)?,
        _ => {}
    }
    out.write_char(')')
}

/// The segment routing header (RFC 8754, 2).
fn write_segment_routing(out: &mut dyn fmt::Write, header: Payload<'_>) -> fmt::Result {
    let [last, flags] = header.array(4).unwrap_or_default();
    let tag = header.u16(6).unwrap_or_default();
    write!(out, " last {last} flags {flags:#x} tag {tag:#x}{}", RareFlags(&[(flags & 8 != 0, "hmac")]))?;
    let segments = usize::from(last) + 1;
    if segments > header.skip(8).len / 16 {
        return out.write_str(" [bad last entry]");
    }
    write_segments(out, header.skip(8), segments)
}

/// Addresses with their index: the segment list is in reverse order, `segleft` is an index into it.
fn write_segments(out: &mut dyn fmt::Write, list: Payload<'_>, count: usize) -> fmt::Result {
    for (index, segment) in list.bytes.as_chunks::<16>().0.iter().take(count.min(MAX_LISTED)).enumerate() {
        write!(out, " [{index}]{}", Ipv6Addr::from(*segment))?;
    }
    if count > MAX_LISTED { out.write_str(" ...") } else { Ok(()) }
}
