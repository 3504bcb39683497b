// SPDX-License-Identifier: Apache-2.0 OR MIT

//! VRRP, versions 2 (RFC 3768) and 3 (RFC 9568).

use std::fmt;

use super::upper_layer::IpVersion;
use crate::skb::packet_text::Payload;

/// Of the addresses of a virtual router, the first are enough to know it.
const MAX_ADDRESSES: usize = 4;

/// Writes a VRRP message.
pub(super) fn write_vrrp(out: &mut dyn fmt::Write, message: Payload<'_>, version: IpVersion) -> fmt::Result {
    let Some([kind, router, priority, count, a, b]) = message.array(0) else {
        return out.write_str("[|vrrp]");
    };
    write!(out, "VRRPv{}", kind >> 4)?;
    match kind & 0xf {
        1 => out.write_str(" advertisement")?,
        other => write!(out, " type {other}")?,
    }
    write!(out, " vrid {router} prio {priority}")?;
    match kind >> 4 {
        2 => write!(out, " authtype {} intvl {b}s", Authentication(a))?,
        // Twelve bits, in hundredths of a second.
        3 => write!(out, " intvl {}cs", u16::from_be_bytes([a & 0xf, b]))?,
        _ => {}
    }
    let mut separator = " addrs ";
    for index in 0..usize::from(count).min(MAX_ADDRESSES) {
        let Some(address) = version.address(message, 8 + index * version.address_len()) else {
            out.write_str(" [|vrrp]")?;
            break;
        };
        write!(out, "{separator}{address}")?;
        separator = ",";
    }
    if usize::from(count) > MAX_ADDRESSES {
        out.write_str(",...")?;
    }
    write!(out, " length {}", message.len)
}

/// How the message is protected (RFC 2338, 5.3.6).
struct Authentication(u8);

impl fmt::Display for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("none"),
            1 => f.write_str("simple"),
            2 => f.write_str("ah"),
            other => write!(f, "{other}"),
        }
    }
}
