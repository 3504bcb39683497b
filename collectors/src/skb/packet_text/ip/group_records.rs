// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What IGMPv3 (RFC 3376) and MLDv2 (RFC 3810) have in common: queries and group records.

use std::fmt;

use super::upper_layer::IpVersion;
use crate::skb::packet_text::Payload;

/// More groups or sources than a reader of one line wants; a message can hold hundreds.
const MAX_LISTED: usize = 16;

/// Writes ` 1 group record(s) [gaddr 239.1.1.1 to_ex {}]`: the records of a report, which starts with 8 bytes of header.
/// `cut` is what stands for a missing end.
pub(super) fn write_records(
    out: &mut dyn fmt::Write,
    report: Payload<'_>,
    version: IpVersion,
    cut: &str,
) -> fmt::Result {
    let Some(count) = report.u16(6) else {
        return write!(out, " {cut}");
    };
    write!(out, " {count} group record(s)")?;
    let mut rest = report.skip(8);
    for _ in 0..usize::from(count).min(MAX_LISTED) {
        let (Some([kind, auxiliary]), Some(sources), Some(group)) =
            (rest.array(0), rest.u16(2), version.address(rest, 4))
        else {
            return write!(out, " {cut}");
        };
        write!(out, " [gaddr {group} ")?;
        match record_name(kind) {
            Some(name) => out.write_str(name)?,
            None => write!(out, "record {kind}")?,
        }
        let addresses = rest.skip(4 + version.address_len());
        write_sources(out, addresses, sources, version, cut)?;
        out.write_char(']')?;
        // Words of four bytes that nobody has given a meaning yet.
        rest = addresses.skip(usize::from(sources) * version.address_len() + usize::from(auxiliary) * 4);
    }
    if usize::from(count) > MAX_LISTED { out.write_str(" ...") } else { Ok(()) }
}

/// Writes ` {10.0.0.1 10.0.0.2}`.
pub(super) fn write_sources(
    out: &mut dyn fmt::Write,
    addresses: Payload<'_>,
    count: u16,
    version: IpVersion,
    cut: &str,
) -> fmt::Result {
    out.write_str(" {")?;
    let mut separator = "";
    for index in 0..usize::from(count) {
        out.write_str(separator)?;
        separator = " ";
        if index == MAX_LISTED {
            out.write_str("...")?;
            break;
        }
        let Some(source) = version.address(addresses, index * version.address_len()) else {
            out.write_str(cut)?;
            break;
        };
        write!(out, "{source}")?;
    }
    out.write_char('}')
}

/// A time in the floating-point form of RFC 3376, 4.1.1, and RFC 3810, 5.1.3: from `2^bits` on, a leading one, three
/// bits of exponent, the rest of mantissa.
pub(super) fn decode_time(code: u16, bits: u32) -> u32 {
    let mantissa_bits = bits - 3;
    let code = u32::from(code);
    if code >> bits == 0 {
        return code;
    }
    let mantissa = code & ((1 << mantissa_bits) - 1);
    let exponent = code >> mantissa_bits & 7;
    (mantissa | 1 << mantissa_bits) << (exponent + 3)
}

/// The record types, as tcpdump writes them.
fn record_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "is_in",
        2 => "is_ex",
        3 => "to_in",
        4 => "to_ex",
        5 => "allow",
        6 => "block",
        _ => return None,
    })
}
