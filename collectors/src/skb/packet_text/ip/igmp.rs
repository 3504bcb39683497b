// SPDX-License-Identifier: Apache-2.0 OR MIT

//! IGMP, versions 1 (RFC 1112), 2 (RFC 2236) and 3 (RFC 3376).

use std::fmt;
use std::net::Ipv4Addr;

use super::group_records::{decode_time, write_records, write_sources};
use super::upper_layer::IpVersion;
use crate::skb::packet_text::Payload;
use crate::skb::packet_text::notation::RareFlags;

/// Stands where the captured bytes end too early.
const CUT: &str = "[|igmp]";

/// Writes an IGMP message.
pub(super) fn write_igmp(out: &mut dyn fmt::Write, message: Payload<'_>) -> fmt::Result {
    let (Some([kind, time]), Some(group)) = (message.array(0), message.ipv4(4)) else {
        return out.write_str(CUT);
    };
    match kind {
        0x11 => write_query(out, message, time, group)?,
        0x12 => write!(out, "v1 report {group}")?,
        0x16 => write!(out, "v2 report {group}")?,
        0x17 => write!(out, "leave {group}")?,
        0x22 => {
            out.write_str("v3 report")?;
            write_records(out, message, IpVersion::V4, CUT)?;
        }
        // Multicast router discovery (RFC 4286), and protocols that share the number.
        0x13 => out.write_str("dvmrp")?,
        0x14 => out.write_str("pimv1")?,
        0x30 => out.write_str("router advertisement")?,
        0x31 => out.write_str("router solicitation")?,
        0x32 => out.write_str("router termination")?,
        other => write!(out, "type {other:#04x}")?,
    }
    write!(out, " length {}", message.len)
}

/// The version of a query shows in its length and in its time (RFC 3376, 7.1).
fn write_query(out: &mut dyn fmt::Write, message: Payload<'_>, time: u8, group: Ipv4Addr) -> fmt::Result {
    let version = match (message.len, time) {
        (12.., _) => 3,
        (_, 0) => 1,
        _ => 2,
    };
    write!(out, "query v{version}")?;
    if version > 1 {
        let tenths = if version == 3 { decode_time(time.into(), 7) } else { time.into() };
        write!(out, " max resp time {}.{}s", tenths / 10, tenths % 10)?;
    }
    if group != Ipv4Addr::UNSPECIFIED {
        write!(out, " gaddr {group}")?;
    }
    if version < 3 {
        return Ok(());
    }
    let (Some([flags]), Some(count)) = (message.array(8), message.u16(10)) else {
        return write!(out, " {CUT}");
    };
    write!(out, "{}", RareFlags(&[(flags & 8 != 0, "sflag")]))?;
    if count > 0 { write_sources(out, message.skip(12), count, IpVersion::V4, CUT) } else { Ok(()) }
}
