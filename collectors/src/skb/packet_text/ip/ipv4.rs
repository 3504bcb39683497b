// SPDX-License-Identifier: Apache-2.0 OR MIT

//! IPv4 (RFC 791).

use std::fmt;

use etherparse::err::ipv4::{HeaderError, HeaderSliceError};
use etherparse::{Ipv4Header, Ipv4HeaderSlice};

use super::ipv4_options::write_options;
use super::upper_layer::{Extent, IpVersion, UpperLayer, ecn, write_carried, write_endpoints, write_protocol};
use crate::skb::packet_text::Payload;
use crate::skb::packet_text::notation::{Ipv4, RareFlags};

/// Writes an IPv4 packet and all that it carries, or as much as an ICMP error quotes.
pub(in crate::skb::packet_text) fn write_ipv4(
    out: &mut dyn fmt::Write,
    packet: Payload<'_>,
    extent: Extent,
) -> fmt::Result {
    let header = match Ipv4HeaderSlice::from_slice(packet.bytes) {
        Ok(header) => header,
        Err(HeaderSliceError::Len(error)) => {
            // The packet itself is too short for its options, and not only what was captured of it.
            if packet.bytes.len() >= Ipv4Header::MIN_LEN && error.required_len > packet.len {
                return write!(out, "IPv4 [bad hdr length {}] length {}", error.required_len, packet.len);
            }
            return out.write_str("[|ip]");
        }
        Err(HeaderSliceError::Content(HeaderError::UnexpectedVersion { version_number })) => {
            return write!(out, "IPv4 [bad version {version_number}] length {}", packet.len);
        }
        Err(HeaderSliceError::Content(HeaderError::HeaderLengthSmallerThanHeader { ihl })) => {
            let bytes = u16::from(ihl) * 4;
            return write!(out, "IPv4 [bad hdr length {bytes}] length {}", packet.len);
        }
    };

    let header_len = header.slice().len();
    let total_len = usize::from(header.total_len());
    // Zero is a packet of more than 65535 bytes (BIG TCP), or one whose header the kernel has not filled in yet.
    let (datagram, fault) = match total_len {
        0 => (packet, Fault::None),
        len if len < header_len => (packet, Fault::BadLength),
        len => (packet.limit(len), Fault::Missing(len.saturating_sub(packet.len))),
    };
    let upper = UpperLayer {
        version: IpVersion::V4,
        protocol: header.protocol(),
        payload: datagram.skip(header_len),
        first_fragment: header.fragments_offset().value() == 0,
        more_fragments: header.more_fragments(),
    };

    write_endpoints(out, Ipv4(header.source()), Ipv4(header.destination()), &upper)?;
    let tos = header.slice().get(1).copied().unwrap_or_default();
    // The three bits before the offset, by tcpdump's signs. The highest is reserved and should be zero.
    let reserved = header.slice().get(6).is_some_and(|byte| byte & 0x80 != 0);
    let flags = [(header.more_fragments(), "+"), (header.dont_fragment(), "DF"), (reserved, "rsvd")];
    write!(
        out,
        " ttl {} tos {tos:#x}{} id {} off {}{} len {total_len}",
        header.ttl(),
        ecn(tos),
        header.identification(),
        header.fragments_offset().byte_offset(),
        RareFlags(&flags)
    )?;
    match fault {
        Fault::None | Fault::Missing(0) => {}
        Fault::Missing(_) if extent == Extent::Start => {}
        Fault::Missing(count) => write!(out, " [{count} bytes missing]")?,
        Fault::BadLength => out.write_str(" [bad len]")?,
    }
    if !header.options().is_empty() {
        out.write_str(" options [")?;
        write_options(out, packet.limit(header_len).skip(Ipv4Header::MIN_LEN))?;
        out.write_char(']')?;
    }
    write_protocol(out, upper.protocol)?;
    write_carried(out, &upper, extent)
}

/// What is wrong with the total length.
enum Fault {
    None,
    /// The packet ends this many bytes early; zero is right.
    Missing(usize),
    /// Less than the header itself.
    BadLength,
}
