// SPDX-License-Identifier: Apache-2.0 OR MIT

//! IPsec: ESP (RFC 4303), also over UDP (RFC 3948), AH (RFC 4302), and compressed IP (RFC 3173).

use std::fmt;

use etherparse::IpAuthHeaderSlice;
use etherparse::err::ip_auth::HeaderSliceError;

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::inner::{enter, write_too_deep};
use crate::skb::packet_text::ip::upper_layer;
use crate::skb::packet_text::ip::upper_layer::{UpperLayer, write_protocol, write_upper_layer};

/// Writes what ESP shows; the rest is encrypted.
pub(in crate::skb::packet_text) fn write_esp(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let (Some(spi), Some(sequence)) = (packet.u32(0), packet.u32(4)) else {
        return out.write_str("[|esp]");
    };
    write!(out, "spi {spi:#010x} seq {sequence:#x} length {}", packet.len)
}

/// Writes what goes through the UDP port of IPsec behind NAT: ESP, IKE behind four zeroes, or a byte that keeps the
/// NAT's entry alive.
pub(in crate::skb::packet_text) fn write_esp_in_udp(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    match (packet.len, packet.array(0)) {
        (1, Some([0xff])) => out.write_str("isakmp-nat-keep-alive"),
        _ => match packet.u32(0) {
            Some(0) => write!(out, "NONESP-encap isakmp length {}", packet.len.saturating_sub(4)),
            _ => {
                out.write_str("ESP ")?;
                write_esp(out, packet)
            }
        },
    }
}

/// Writes an authentication header, and behind it the protocol that it protects.
pub(in crate::skb::packet_text) fn write_ah(out: &mut dyn fmt::Write, upper: &UpperLayer<'_>) -> fmt::Result {
    let header = match IpAuthHeaderSlice::from_slice(upper.payload.bytes) {
        Ok(header) => header,
        Err(HeaderSliceError::Len(_)) => return out.write_str("[|ah]"),
        Err(HeaderSliceError::Content(_)) => return write!(out, "[bad AH length] length {}", upper.payload.len),
    };
    write!(out, "spi {:#010x} seq {:#x} icv {} bytes", header.spi(), header.sequence_number(), header.raw_icv().len())?;
    match behind_ah(upper) {
        Some(behind) => {
            write_protocol(out, behind.protocol)?;
            write_upper_layer(out, &behind)
        }
        None => write_too_deep(out),
    }
}

/// What an authentication header protects; `None` when it is cut, or nested too deeply.
pub(in crate::skb::packet_text) fn behind_ah<'a>(upper: &UpperLayer<'a>) -> Option<UpperLayer<'a>> {
    let header = IpAuthHeaderSlice::from_slice(upper.payload.bytes).ok()?;
    let payload = enter(upper.payload.skip(header.slice().len()))?;
    Some(UpperLayer { protocol: header.next_header(), payload, ..*upper })
}

/// Writes the header of a compressed packet. What is in it would have to be inflated.
pub(in crate::skb::packet_text) fn write_ipcomp(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let (Some([next, _]), Some(index)) = (packet.array(0), packet.u16(2)) else {
        return out.write_str("[|ipcomp]");
    };
    write!(out, "cpi {index:#06x} next-header")?;
    upper_layer::write_name(out, next.into())?;
    write!(out, " length {}", packet.len)
}
