// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The options of IPv4 (RFC 791, 3.1).

use std::fmt;
use std::net::Ipv4Addr;

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::notation::Hex;

/// Writes the options of a header, at most 40 bytes and all there, with commas between them.
pub(super) fn write_options(out: &mut dyn fmt::Write, options: Payload<'_>) -> fmt::Result {
    let mut rest = options;
    let mut separator = "";
    while let Some([kind]) = rest.array(0) {
        out.write_str(separator)?;
        separator = ",";
        let len = match (kind, rest.array(1)) {
            // The end of the list: what follows is padding.
            (0, _) => return out.write_str("EOL"),
            (1, _) => {
                out.write_str("NOP")?;
                1
            }
            (_, Some([len @ 2..=u8::MAX])) if usize::from(len) <= rest.len => {
                write_option(out, kind, rest.limit(len.into()))?;
                len.into()
            }
            _ => return write!(out, "[bad opt {kind}]"),
        };
        rest = rest.skip(len);
    }
    Ok(())
}

/// `option` starts with its kind and its length.
fn write_option(out: &mut dyn fmt::Write, kind: u8, option: Payload<'_>) -> fmt::Result {
    let data = option.skip(2);
    match kind {
        7 => write_route(out, "RR", option),
        131 => write_route(out, "LSRR", option),
        137 => write_route(out, "SSRR", option),
        68 => write_timestamps(out, option),
        // Zero: routers shall look at the packet (RFC 2113).
        148 => match data.u16(0) {
            Some(0) => out.write_str("RA"),
            Some(value) => write!(out, "RA value {value}"),
            None => write!(out, "[bad opt {kind}]"),
        },
        // RFC 1108; and CIPSO, which labels packets for the same purpose.
        130 => write!(out, "security {}", Hex(data.bytes)),
        134 => match data.u32(0) {
            Some(domain) => write!(out, "CIPSO doi {domain}"),
            None => write!(out, "[bad opt {kind}]"),
        },
        // RFC 1393.
        82 => out.write_str("traceroute"),
        _ => write!(out, "unknown {kind} ({} bytes)", data.len),
    }
}

/// Addresses, with `^` where the next router writes or reads.
fn write_route(out: &mut dyn fmt::Write, name: &str, option: Payload<'_>) -> fmt::Result {
    out.write_str(name)?;
    let Some([pointer]) = option.array(2) else {
        return out.write_str(" [bad length]");
    };
    // It counts from one.
    if pointer < 4 || pointer % 4 != 0 {
        write!(out, " [bad ptr {pointer}]")?;
    }
    let (addresses, rest) = option.skip(3).bytes.as_chunks::<4>();
    for (index, address) in addresses.iter().enumerate() {
        let next = if 4 * (index + 1) == usize::from(pointer) { " ^" } else { "" };
        write!(out, "{next} {}", Ipv4Addr::from(*address))?;
    }
    if rest.is_empty() { Ok(()) } else { out.write_str(" [bad length]") }
}

/// Milliseconds since midnight, with the addresses where the flags say so.
fn write_timestamps(out: &mut dyn fmt::Write, option: Payload<'_>) -> fmt::Result {
    out.write_str("TS{")?;
    let Some([pointer, overflow_and_flags]) = option.array(2) else {
        return out.write_str("[bad length]}");
    };
    let with_addresses = match overflow_and_flags & 0xf {
        0 => {
            out.write_str("TSONLY")?;
            false
        }
        1 => {
            out.write_str("TS+ADDR")?;
            true
        }
        3 => {
            out.write_str("PRESPEC")?;
            true
        }
        other => return write!(out, "[bad ts type {other}]}}"),
    };
    let width = if with_addresses { 8 } else { 4 };
    if pointer < 5 || (usize::from(pointer) - 5) % width != 0 {
        write!(out, " [bad ptr {pointer}]")?;
    }
    let mut at = 4;
    while let Some(stamp) = option.u32(at + width - 4) {
        if at + 1 == usize::from(pointer) {
            out.write_str(" ^")?;
        }
        write!(out, " {stamp}")?;
        if let Some(address) = option.ipv4(at).filter(|_| with_addresses) {
            write!(out, "@{address}")?;
        }
        at += width;
    }
    match overflow_and_flags >> 4 {
        0 => {}
        hops => write!(out, " [{hops} hops not recorded]")?,
    }
    out.write_char('}')
}
