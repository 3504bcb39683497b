// SPDX-License-Identifier: Apache-2.0 OR MIT

//! IPv4 (RFC 791).

use std::fmt;

use etherparse::err::ipv4::{HeaderError, HeaderSliceError};
use etherparse::{Ipv4Header, Ipv4HeaderSlice};

use super::Payload;
use super::display::Flags;
use super::ipv4_options::write_options;
use super::transport::{
    IpVersion, UpperLayer, write_ecn, write_endpoints, write_protocol, write_quoted_upper_layer, write_upper_layer,
};

/// Writes an IPv4 packet and all that it carries.
pub(super) fn write_ipv4(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let Some(upper) = write_header(out, packet, Extent::Whole)? else {
        return Ok(());
    };
    write_upper_layer(out, &upper)
}

/// Writes the start of an IPv4 packet that an ICMP error quotes, and what tells the packet from others.
pub(super) fn write_quoted_ipv4(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let Some(upper) = write_header(out, packet, Extent::Start)? else {
        return Ok(());
    };
    write_quoted_upper_layer(out, &upper)
}

/// How much of a packet there should be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    Start,
}

/// Writes all up to the protocol, and returns what follows the header. `None`: that cannot be told.
fn write_header<'a>(
    out: &mut dyn fmt::Write,
    packet: Payload<'a>,
    extent: Extent,
) -> Result<Option<UpperLayer<'a>>, fmt::Error> {
    let header = match Ipv4HeaderSlice::from_slice(packet.bytes) {
        Ok(header) => header,
        Err(HeaderSliceError::Len(error)) => {
            // The packet itself is too short for its options, and not only what was captured of it.
            if packet.bytes.len() >= Ipv4Header::MIN_LEN && error.required_len > packet.len {
                write!(out, "IPv4 [bad hdr length {}] length {}", error.required_len, packet.len)?;
            } else {
                out.write_str("[|ip]")?;
            }
            return Ok(None);
        }
        Err(HeaderSliceError::Content(HeaderError::UnexpectedVersion { version_number })) => {
            write!(out, "IPv4 [bad version {version_number}] length {}", packet.len)?;
            return Ok(None);
        }
        Err(HeaderSliceError::Content(HeaderError::HeaderLengthSmallerThanHeader { ihl })) => {
            let bytes = u16::from(ihl) * 4;
            write!(out, "IPv4 [bad hdr length {bytes}] length {}", packet.len)?;
            return Ok(None);
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

    write_endpoints(out, header.source_addr(), header.destination_addr(), &upper)?;
    let tos = header.slice().get(1).copied().unwrap_or_default();
    write!(out, " ttl {} tos {tos:#x}", header.ttl())?;
    write_ecn(out, tos)?;
    write!(out, " id {} off {}", header.identification(), header.fragments_offset().byte_offset())?;
    // The three bits before the offset, by tcpdump's signs. The highest is reserved and should be zero.
    let reserved = header.slice().get(6).is_some_and(|byte| byte & 0x80 != 0);
    let flags = [(header.more_fragments(), "+"), (header.dont_fragment(), "DF"), (reserved, "rsvd")];
    write!(out, "{} len {total_len}", Flags(&flags))?;
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
    Ok(Some(upper))
}

/// What is wrong with the total length.
enum Fault {
    None,
    /// The packet ends this many bytes early; zero is right.
    Missing(usize),
    /// Less than the header itself.
    BadLength,
}
