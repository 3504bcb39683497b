// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What a packet is, in one line of text and in tcpdump's words.
//!
//! The line is made of the packet's layers, outermost first, each as below. `[...]` around a whole part marks it as
//! optional; the brackets of `[DF]`, `[S.]` and of the option lists are printed.
//!
//! | layer | form |
//! |---|---|
//! | Ethernet (with `-e`) | `SRC > DST ethertype IPv4 (0x0800)` |
//! | 802.3 (`SRC > DST` with `-e`) | `SRC > DST 802.3 LLC dsap STP (0x42) ssap STP (0x42) ctrl 0x03 length 38` |
//! | VLAN tag, each | `vlan 100 p 5 [DEI]`, with `-e` followed by the next `ethertype ...` |
//! | ARP | `ARP request who-has A tell B length 28`, `ARP reply A is-at MAC length 28`; with `-e` no `ARP` |
//! | IPv4 | `A > B ttl 64 tos 0x0 id 7 off 0 [DF] len 84 [opts [40 bytes]] proto ICMP (1)` |
//! | IPv6 | `A > B hlim 64 tclass 0x0 flowlabel 0x0 len 64 [exts [HBH,frag (0xb5dce214:0\|1448)+]] proto TCP (6)` |
//! | TCP | `flags [S.] seq 1[:5] [ack 2] win 63 [urg 1] [options [mss 1460,nop]] length 4` |
//! | UDP | `length 11` |
//! | ICMP, ICMPv6 | `type 8 code 0 [echo request] [id 1 seq 2] length 64` |
//! | any other protocol | `length 12` |
//! | any other ethertype | `ethertype LLDP (0x88cc) length 46`, `ethertype 0x1234 (unknown) length 46` |
//!
//! - Transport protocols with ports show them on the addresses: `10.0.0.1.40000 > 10.0.0.2.80`.
//! - `tos` and `tclass` are the whole byte (DSCP and ECN); `off` and `frag` count bytes; `len` is what the IP header
//!   says (IPv4: the header included, IPv6: not); `length` is the layer's payload, except for ARP and ICMP, where it
//!   is the whole message, as tcpdump has it.
//! - The punctuation is not tcpdump's (no commas between fields), and `seq` is always there: a tracer's user compares
//!   the same packet at many places.
//! - A fragment that is not the first ends after `proto`: what follows is no transport header.
//! - Where the captured bytes end inside a header, the line ends with the name of that header: `[|ip]`. A payload that
//!   is cut is not mentioned. A header whose own lengths contradict the packet is marked `[bad ...]`, and a packet that
//!   is shorter than its IP header says `[N bytes missing]`.
//! - A number without a name is printed as a number: `proto 253`, `type 99 code 1`.
//!
//! Invariants: the text is ASCII without control characters whatever the bytes are, because no byte of the packet is
//! printed as text. Nothing is allocated. One function writes one protocol; a protocol that is carried by another is
//! called from there with its own [`Payload`], so that a tunnel needs no more than a new arm in `link::write_network`
//! or `transport::write_upper_layer`.

use std::fmt;

mod arp;
mod icmpv4;
mod icmpv6;
mod ipv4;
mod ipv6;
mod link;
mod tcp;
#[cfg(test)]
mod tests;
mod transport;

/// What to show of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PacketTextOptions {
    /// Show the Ethernet header too (`-e`). VLAN tags are shown either way.
    pub link_layer: bool,
}

/// Writes one line (no trailing newline) that says what the packet is, in tcpdump's words.
///
/// `data` starts at an Ethernet header. One with both addresses zero stands for "no link header" and is not shown.
/// `wire_len` is the packet's full length in bytes, counted from the start of `data` (so a stand-in header counts too);
/// `data` may end before that, at any byte.
///
/// # Errors
///
/// Only those of `out`.
pub(crate) fn write_packet(
    out: &mut dyn fmt::Write,
    data: &[u8],
    wire_len: u32,
    options: PacketTextOptions,
) -> fmt::Result {
    // A length that does not fit can only be more than was captured: `usize::MAX` says just that.
    let wire_len = usize::try_from(wire_len).unwrap_or(usize::MAX);
    link::write_frame(out, Payload::new(data, wire_len), options)
}

/// A part of the packet that starts at some header: the bytes that were captured of it, and its length on the wire.
#[derive(Clone, Copy)]
struct Payload<'a> {
    /// Never longer than `len`.
    bytes: &'a [u8],
    /// Bytes on the wire.
    len: usize,
}

impl<'a> Payload<'a> {
    fn new(bytes: &'a [u8], len: usize) -> Self {
        Self { bytes, len: len.max(bytes.len()) }
    }

    /// What follows the first `count` bytes.
    fn skip(self, count: usize) -> Self {
        Self { bytes: self.bytes.get(count..).unwrap_or_default(), len: self.len.saturating_sub(count) }
    }

    /// The same without what lies beyond `len` bytes: padding, or another layer's trailer.
    fn limit(self, len: usize) -> Self {
        Self { bytes: self.bytes.get(..len).unwrap_or(self.bytes), len: self.len.min(len) }
    }

    /// The `N` captured bytes at `offset`, unless they were cut off.
    fn array<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        self.bytes.get(offset..)?.first_chunk().copied()
    }

    /// The big-endian number at `offset`.
    fn u16(self, offset: usize) -> Option<u16> {
        self.array(offset).map(u16::from_be_bytes)
    }

    /// The big-endian number at `offset`.
    fn u32(self, offset: usize) -> Option<u32> {
        self.array(offset).map(u32::from_be_bytes)
    }
}

/// A MAC address as `aa:bb:cc:dd:ee:ff`.
struct Mac([u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
