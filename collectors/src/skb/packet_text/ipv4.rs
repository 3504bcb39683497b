// SPDX-License-Identifier: Apache-2.0 OR MIT

//! IPv4 (RFC 791).

use std::fmt;

use etherparse::Ipv4HeaderSlice;
use etherparse::err::ipv4::{HeaderError, HeaderSliceError};

use super::Payload;
use super::transport::{IpVersion, UpperLayer, write_endpoints, write_protocol, write_upper_layer};

/// Writes an IPv4 packet and all that it carries.
pub(super) fn write_ipv4(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let header = match Ipv4HeaderSlice::from_slice(packet.bytes) {
        Ok(header) => header,
        Err(HeaderSliceError::Len(_)) => return out.write_str("[|ip]"),
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

    write_endpoints(out, header.source_addr(), header.destination_addr(), &upper)?;
    write!(
        out,
        " ttl {} tos {:#x} id {} off {}",
        header.ttl(),
        header.slice().get(1).copied().unwrap_or_default(),
        header.identification(),
        header.fragments_offset().byte_offset(),
    )?;
    write_flags(out, &header)?;
    write!(out, " len {total_len}")?;
    match fault {
        Fault::None | Fault::Missing(0) => {}
        Fault::Missing(count) => write!(out, " [{count} bytes missing]")?,
        Fault::BadLength => out.write_str(" [bad len]")?,
    }
    if !header.options().is_empty() {
        write!(out, " opts [{} bytes]", header.options().len())?;
    }
    write_protocol(out, upper.protocol)?;
    write_upper_layer(out, &upper)
}

/// What is wrong with the total length.
enum Fault {
    None,
    /// The packet ends this many bytes early; zero is right.
    Missing(usize),
    /// Less than the header itself.
    BadLength,
}

/// The three bits before the fragment offset. The highest is reserved and should be zero.
fn write_flags(out: &mut dyn fmt::Write, header: &Ipv4HeaderSlice<'_>) -> fmt::Result {
    let reserved = header.slice().get(6).is_some_and(|byte| byte & 0x80 != 0);
    let flags = [(reserved, "rsvd"), (header.dont_fragment(), "DF"), (header.more_fragments(), "MF")];
    let mut separator = " [";
    for (_, name) in flags.iter().filter(|(set, _)| *set) {
        write!(out, "{separator}{name}")?;
        separator = ",";
    }
    if separator == "," { out.write_char(']') } else { Ok(()) }
}
