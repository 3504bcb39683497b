// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What a packet is, in one line of text and in tcpdump's words.
//!
//! The line is made of the packet's layers, outermost first, each as below. `[...]` around a whole part marks it as
//! optional; the brackets of `[DF]`, `[S.]` and of the option lists are printed.
//!
//! | layer | form |
//! |---|---|
//! | Ethernet (with `-e`) | `SRC > DST ethertype IPv4 (0x0800)` |
//! | 802.3 (`SRC > DST` with `-e`) | `SRC > DST 802.3 LLC dsap IPX (0xe0) ssap IPX (0xe0) ctrl 0x03 length 33`; spanning tree without LLC, but with `-e` |
//! | SNAP | `802.3 LLC ... oui Cisco (0x00000c) pid CDP (0x2000) length 15`, `... oui Ethernet (0x000000) ethertype IPv4 (0x0800): INNER` |
//! | VLAN tag, each | `vlan 100 p 5 [DEI]`, with `-e` followed by the next `ethertype ...` |
//! | MPLS | `MPLS (label 100 tc 0 ttl 64) (label 200 tc 0 [S] ttl 64) [control word seq 7]: INNER` |
//! | PPPoE | `PPPoE PADI [Service-Name] [Host-Uniq 0x7b]`, `PPPoE [ses 0x1]: PPP IP (0x0021): INNER` |
//! | PPP | `PPP LCP (0xc021) Conf-Request (0x01) id 1 length 14` |
//! | MACsec | `MACsec an 0 pn 3 flags [I] [sl 30] [sci 0200000000010001] ethertype IPv4 (0x0800): INNER`, `... encrypted length 86` |
//! | LLDP | `LLDP chassis-id MAC port-id "eth0" ttl 120 [port-description "A"] [system-name "B"] length 107` |
//! | STP, RSTP, MSTP | `STP 802.1w Rapid STP flags [Learn] port-role Root root-id 8000.MAC root-pathcost 0 ... length 36` |
//! | LACP | `LACPv1 actor MAC key 1 port 1 state [Activity] partner MAC key 1 port 1 state [none] length 110` |
//! | EAPOL, PTP | `EAP packet (0) v2 Request (1) id 7 length 5`, `PTPv2 sync domain 0 clock 0x1 port 1 seq 2 length 44` |
//! | ARP | `ARP request who-has A tell B length 28`, `ARP reply A is-at MAC length 28`; with `-e` no `ARP` |
//! | IPv4 | `A > B ttl 64 tos 0x0 id 7 off 0 [DF] len 84 [options [RR 10.0.0.1 ^ 0.0.0.0,EOL]] proto ICMP (1)` |
//! | IPv6 | `A > B hlim 64 tclass 0x0 flowlabel 0x0 len 64 [exts [HBH,frag (0xb5dce214:0\|1448)+]] proto TCP (6)` |
//! | TCP | `flags [S.] seq 1[:5] [ack 2] win 63 [urg 1] [options [mss 1460,nop]] length 4` |
//! | UDP | `length 11` |
//! | UDP-Lite | `coverage 12 length 11` |
//! | SCTP | `vtag 0x1 [DATA [B,E] tsn 1 sid 0 sseq 0 ppid 0 length 5] [SACK ...] length 36` |
//! | DCCP | `DCCP-Request seq 1 [ack 2] [service 42] length 0` |
//! | ICMP, ICMPv6 | `type 8 code 0 [echo request] [id 1 seq 2] length 64 [[A.1 > B.2 ... proto UDP (17)]]` |
//! | IGMP | `v3 report 1 group record(s) [gaddr 239.1.1.1 to_ex {}] length 16` |
//! | VRRP | `VRRPv2 advertisement vrid 7 prio 120 authtype none intvl 1s addrs 10.1.0.200 length 20` |
//! | DNS | `DNS 7+ A? a.example.`, `DNS 7*- q: A? a.example. 1/0/0 a.example. A 10.0.0.1` |
//! | DHCP | `DHCP Offer xid 0x1 client MAC yiaddr 10.0.0.9 server 10.0.0.1 lease 3600s` |
//! | DHCPv6 | `DHCPv6 request xid 0x1 client-ID 0003... IA_NA iaid 1 addr fd00::9 pltime 60s vltime 60s` |
//! | IP in IP | `proto IPIP (4): INNER`, `proto IPv6 (41): INNER` |
//! | GRE | `GREv0 flags [key] key 0x2a [seq 1] proto IPv4 (0x0800): INNER`; ERSPAN and PPTP's `GREv1` likewise |
//! | AH | `spi 0x00000100 seq 0x1 icv 16 bytes proto ICMP (1) ...` |
//! | ESP, IPComp | `spi 0x00000100 seq 0x1 length 120`, `cpi 0x0002 next-header ICMP (1) length 90` |
//! | tunnels over UDP, behind its `length` | `VXLAN flags [I] (0x08) vni 100 [policy 1 [A]]: INNER`, `Geneve flags [C] vni 1 proto TEB (0x6558) [options [...]]: INNER`, VXLAN-GPE, GTP-U, L2TP, MPLS, ESP, WireGuard |
//! | any other protocol | `length 12` |
//! | any other ethertype | `ethertype CFM (0x8902) length 46`, `ethertype 0x1234 (unknown) length 46` |
//!
//! - Transport protocols with ports show them on the addresses: `10.0.0.1.40000 > 10.0.0.2.80`.
//! - Behind `: ` stands what an encapsulation carries, in the words of an outer packet. After eight of them the line ends
//!   with `[too many encapsulations]`.
//! - `tos` and `tclass` are the whole byte (DSCP and ECN); `off` and `frag` count bytes; `len` is what the IP header
//!   says (IPv4: the header included, IPv6: not); `length` is the layer's payload, except for ARP, ICMP, IPsec and what
//!   has no payload, where it is the whole message, as tcpdump has it. Padding of short frames counts where nothing
//!   says how long the message is.
//! - The punctuation is not tcpdump's (no commas between fields), and `seq` is always there: a tracer's user compares
//!   the same packet at many places.
//! - A fragment that is not the first ends after `proto`: what follows is no transport header.
//! - Where the captured bytes end inside a header, the line ends with the name of that header: `[|ip]`. A payload that
//!   is cut is not mentioned. A header whose own lengths contradict the packet is marked `[bad ...]`, and a packet that
//!   is shorter than its IP header says `[N bytes missing]`.
//! - A number without a name is printed as a number: `proto 253`, `type 99 code 1`.
//!
//! Protocols are in folders by where they stand: `link`, `ip`, `transport`, `tunnel`, `service`. `inner` leads into
//! tunnels; `notation` has the forms that many share.
//!
//! Invariants: the text is ASCII without control characters whatever the bytes are: text out of packets is escaped.
//! Lists are cut at a number of entries that their module says, and texts at a length. Nothing is allocated. One
//! function writes one protocol; a protocol that is carried by another is called from there with its own [`Payload`].
//! What carries whole packets hands them to [`inner::write_inner`], which bounds the depth. A new ethertype is an arm
//! in `link::ethernet::write_network`, a new protocol over IP one in `ip::upper_layer::write_upper_layer`, a new port
//! of UDP one in `transport::udp`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

mod inner;
mod ip;
mod link;
mod notation;
mod service;
#[cfg(test)]
mod tests;
mod transport;
mod tunnel;

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
    let frame = Payload { bytes: data, len: wire_len.max(data.len()), depth: 0, link_layer: options.link_layer };
    link::ethernet::write_frame(out, frame)
}

/// A part of the packet that starts at some header: the bytes that were captured of it, and its length on the wire.
#[derive(Clone, Copy)]
struct Payload<'a> {
    /// Never longer than `len`.
    bytes: &'a [u8],
    /// Bytes on the wire.
    len: usize,
    /// How many packets this one is inside of; see [`inner`].
    depth: u8,
    /// Show Ethernet headers.
    link_layer: bool,
}

impl<'a> Payload<'a> {
    /// What follows the first `count` bytes.
    fn skip(self, count: usize) -> Self {
        Self { bytes: self.bytes.get(count..).unwrap_or_default(), len: self.len.saturating_sub(count), ..self }
    }

    /// The same without what lies beyond `len` bytes: padding, or another layer's trailer.
    fn limit(self, len: usize) -> Self {
        Self { bytes: self.bytes.get(..len).unwrap_or(self.bytes), len: self.len.min(len), ..self }
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

    /// The IPv4 address at `offset`.
    fn ipv4(self, offset: usize) -> Option<Ipv4Addr> {
        self.array::<4>(offset).map(Ipv4Addr::from)
    }

    /// The IPv6 address at `offset`.
    fn ipv6(self, offset: usize) -> Option<Ipv6Addr> {
        self.array::<16>(offset).map(Ipv6Addr::from)
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
