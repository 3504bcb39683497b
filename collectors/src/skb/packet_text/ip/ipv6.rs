// SPDX-License-Identifier: Apache-2.0 OR MIT

//! IPv6 and its extension headers (RFC 8200).

use std::fmt;

use etherparse::err::ipv6::{HeaderError, HeaderSliceError};
use etherparse::{IpAuthHeaderSlice, IpNumber, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice};

use super::ipv6_extensions::{write_options, write_routing};
use super::upper_layer::{Extent, IpVersion, UpperLayer, ecn, write_carried, write_endpoints, write_protocol};
use crate::skb::packet_text::Payload;

/// More extension headers than any sender needs: RFC 8200 section 4.1 recommends an order with seven. A hostile packet
/// could hold thousands and make an endless line.
const MAX_EXTENSION_HEADERS: u8 = 16;

/// Writes an IPv6 packet and all that it carries, or as much as an ICMPv6 error quotes.
pub(in crate::skb::packet_text) fn write_ipv6(
    out: &mut dyn fmt::Write,
    packet: Payload<'_>,
    extent: Extent,
) -> fmt::Result {
    let header = match Ipv6HeaderSlice::from_slice(packet.bytes) {
        Ok(header) => header,
        Err(HeaderSliceError::Len(_)) => return out.write_str("[|ip6]"),
        Err(HeaderSliceError::Content(HeaderError::UnexpectedVersion { version_number })) => {
            return write!(out, "IPv6 [bad version {version_number}] length {}", packet.len);
        }
    };

    let payload_len = usize::from(header.payload_length());
    let rest = packet.skip(header.slice().len());
    // Zero is a packet of more than 65535 bytes (a jumbogram of RFC 2675, the kernel's BIG TCP), or one whose
    // header the kernel has not filled in yet.
    let (payload, missing) = match payload_len {
        0 => (rest, 0),
        len => (rest.limit(len), len.saturating_sub(rest.len)),
    };

    // The ports stand in front of the extension headers in the line and behind them in the packet: walk twice.
    let extensions = ExtensionHeaders::new(header.next_header(), payload);
    let mut walk = extensions.clone();
    walk.by_ref().for_each(drop);
    let upper = UpperLayer {
        version: IpVersion::V6,
        protocol: walk.next,
        payload: walk.rest,
        first_fragment: walk.end == ChainEnd::UpperLayer,
        more_fragments: walk.more_fragments,
    };

    write_endpoints(out, header.source_addr(), header.destination_addr(), &upper)?;
    let (class, flow) = (header.traffic_class(), header.flow_label().value());
    write!(out, " hlim {} tclass {class:#x}{} flowlabel {flow:#x} len {payload_len}", header.hop_limit(), ecn(class))?;
    if missing > 0 && extent == Extent::Whole {
        write!(out, " [{missing} bytes missing]")?;
    }
    write_extensions(out, extensions)?;
    match walk.end {
        ChainEnd::UpperLayer | ChainEnd::LaterFragment => {
            write_protocol(out, upper.protocol)?;
            write_carried(out, &upper, extent)
        }
        ChainEnd::Truncated(name) => write!(out, " [|{name}]"),
        ChainEnd::BadLength(name) => write!(out, " [bad {name} length]"),
        ChainEnd::TooMany => out.write_str(" [too many extension headers]"),
    }
}

fn write_extensions(out: &mut dyn fmt::Write, extensions: ExtensionHeaders<'_>) -> fmt::Result {
    let mut separator = " exts [";
    for extension in extensions {
        write!(out, "{separator}{}", extension.name)?;
        match extension.content {
            Content::Options(header) => write_options(out, header)?,
            Content::Routing(header) => write_routing(out, header)?,
            Content::Fragment(fragment) => write!(
                out,
                " ({:#x}:{}|{}){}",
                fragment.id,
                fragment.offset,
                fragment.len,
                if fragment.more { "+" } else { "" }
            )?,
            Content::Authentication { spi, sequence } => write!(out, " (spi {spi:#010x} seq {sequence:#x})")?,
            Content::Other => {}
        }
        separator = ",";
    }
    if separator == "," { out.write_char(']') } else { Ok(()) }
}

/// One extension header, as far as the line shows it.
struct Extension<'a> {
    name: &'static str,
    content: Content<'a>,
}

/// What is shown of an extension header besides its name.
enum Content<'a> {
    /// Options for each hop or for the destination.
    Options(Payload<'a>),
    Routing(Payload<'a>),
    Fragment(Fragment),
    /// The authentication header's security parameters index and sequence number.
    Authentication {
        spi: u32,
        sequence: u32,
    },
    Other,
}

/// The fragment header (RFC 8200, 4.5).
struct Fragment {
    id: u32,
    /// In bytes.
    offset: u16,
    /// Bytes of the original packet in this fragment.
    len: usize,
    /// Not the last fragment.
    more: bool,
}

/// Why a chain of extension headers ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ChainEnd {
    /// The next header is none of those that we walk over.
    UpperLayer,
    /// A fragment that is not the first: no headers follow.
    LaterFragment,
    /// The capture ends inside the header of this name.
    Truncated(&'static str),
    /// The header of this name has an impossible length.
    BadLength(&'static str),
    TooMany,
}

/// Walks over extension headers. When it is through, `next` and `rest` are what follows them.
#[derive(Clone)]
struct ExtensionHeaders<'a> {
    next: IpNumber,
    rest: Payload<'a>,
    more_fragments: bool,
    seen: u8,
    end: ChainEnd,
}

impl<'a> ExtensionHeaders<'a> {
    fn new(next: IpNumber, rest: Payload<'a>) -> Self {
        Self { next, rest, more_fragments: false, seen: 0, end: ChainEnd::UpperLayer }
    }

    fn step(&mut self) -> Result<Option<Extension<'a>>, ChainEnd> {
        if self.end != ChainEnd::UpperLayer {
            return Ok(None);
        }
        let Some(name) = extension_name(self.next) else {
            return Ok(None);
        };
        if self.seen == MAX_EXTENSION_HEADERS {
            return Err(ChainEnd::TooMany);
        }
        let bytes = self.rest.bytes;
        let truncated = ChainEnd::Truncated(name);
        let (next, len, content) = match self.next {
            IpNumber::IPV6_FRAGMENTATION_HEADER => {
                let header = Ipv6FragmentHeaderSlice::from_slice(bytes).map_err(|_| truncated)?;
                let header_len = header.slice().len();
                let offset = header.fragment_offset();
                self.more_fragments |= header.more_fragments();
                if offset.value() != 0 {
                    self.end = ChainEnd::LaterFragment;
                }
                let content = Content::Fragment(Fragment {
                    id: header.identification(),
                    offset: offset.byte_offset(),
                    len: self.rest.skip(header_len).len,
                    more: header.more_fragments(),
                });
                (header.next_header(), header_len, content)
            }
            // Its length is counted in units of four bytes, unlike the others' (RFC 4302, 2.2).
            IpNumber::AUTHENTICATION_HEADER => match IpAuthHeaderSlice::from_slice(bytes) {
                Ok(header) => {
                    let content = Content::Authentication { spi: header.spi(), sequence: header.sequence_number() };
                    (header.next_header(), header.slice().len(), content)
                }
                Err(etherparse::err::ip_auth::HeaderSliceError::Len(_)) => return Err(truncated),
                Err(etherparse::err::ip_auth::HeaderSliceError::Content(_)) => {
                    return Err(ChainEnd::BadLength(name));
                }
            },
            _ => {
                let header = Ipv6RawExtHeaderSlice::from_slice(bytes).map_err(|_| truncated)?;
                let len = header.slice().len();
                let content = match self.next {
                    IpNumber::IPV6_HEADER_HOP_BY_HOP | IpNumber::IPV6_DESTINATION_OPTIONS => {
                        Content::Options(self.rest.limit(len))
                    }
                    IpNumber::IPV6_ROUTE_HEADER => Content::Routing(self.rest.limit(len)),
                    _ => Content::Other,
                };
                (header.next_header(), len, content)
            }
        };
        self.next = next;
        self.rest = self.rest.skip(len);
        self.seen += 1;
        Ok(Some(Extension { name, content }))
    }
}

impl<'a> Iterator for ExtensionHeaders<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        self.step().unwrap_or_else(|end| {
            self.end = end;
            None
        })
    }
}

/// The extension headers of the IANA's list that can be walked over. ESP is not among them: what follows is encrypted.
fn extension_name(protocol: IpNumber) -> Option<&'static str> {
    Some(match protocol {
        IpNumber::IPV6_HEADER_HOP_BY_HOP => "HBH",
        IpNumber::IPV6_ROUTE_HEADER => "srcrt",
        IpNumber::IPV6_FRAGMENTATION_HEADER => "frag",
        IpNumber::AUTHENTICATION_HEADER => "AH",
        IpNumber::IPV6_DESTINATION_OPTIONS => "DSTOPT",
        IpNumber::MOBILITY_HEADER => "mobility",
        IpNumber::HIP => "HIP",
        IpNumber::SHIM6 => "shim6",
        _ => return None,
    })
}
