// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The names of ethertypes.

use std::fmt;

use etherparse::EtherType;

/// Slow protocols (IEEE 802.3, annex 57A).
pub(super) const SLOW: EtherType = EtherType(0x8809);
/// MPLS (RFC 3032), and the one that RFC 5332 gave another meaning.
pub(in crate::skb::packet_text) const MPLS: EtherType = EtherType(0x8847);
pub(super) const MPLS_UPSTREAM: EtherType = EtherType(0x8848);
/// PPPoE (RFC 2516), its discovery and its session stage.
pub(super) const PPPOE_DISCOVERY: EtherType = EtherType(0x8863);
pub(super) const PPPOE_SESSION: EtherType = EtherType(0x8864);
/// EAP over LANs (IEEE 802.1X).
pub(super) const EAPOL: EtherType = EtherType(0x888e);
/// The Link Layer Discovery Protocol (IEEE 802.1AB).
pub(super) const LLDP: EtherType = EtherType(0x88cc);
/// The Precision Time Protocol (IEEE 1588, annex F).
pub(super) const PTP: EtherType = EtherType(0x88f7);
/// Transparent Ethernet bridging: what GRE carries is a frame (RFC 7637).
pub(in crate::skb::packet_text) const TRANSPARENT_BRIDGING: EtherType = EtherType(0x6558);
/// ERSPAN types I and II, and III, in GRE.
pub(in crate::skb::packet_text) const ERSPAN: EtherType = EtherType(0x88be);
pub(in crate::skb::packet_text) const ERSPAN_III: EtherType = EtherType(0x22eb);
/// PPP, in GRE (RFC 2637).
pub(in crate::skb::packet_text) const PPP: EtherType = EtherType(0x880b);

/// An ethertype as `IPv4 (0x0800)` or `0x1234 (unknown)`.
pub(in crate::skb::packet_text) struct Named(pub(in crate::skb::packet_text) EtherType);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match name(self.0) {
            Some(name) => write!(f, "{name} ({:#06x})", self.0.0),
            None => write!(f, "{:#06x} (unknown)", self.0.0),
        }
    }
}

/// Names of the IEEE's ethertype registry, where tcpdump has one in its spelling.
pub(super) fn name(ether_type: EtherType) -> Option<&'static str> {
    Some(match ether_type.0 {
        0x0800 => "IPv4",
        0x0806 => "ARP",
        0x0842 => "Wake-on-LAN",
        0x22eb => "ERSPAN III",
        0x22f0 => "AVTP",
        0x22f3 => "TRILL",
        0x6558 => "TEB",
        0x8035 => "Reverse ARP",
        0x809b => "Appletalk",
        0x8100 => "802.1Q",
        0x8137 => "IPX",
        0x86dd => "IPv6",
        0x8808 => "MPCP",
        0x8809 => "Slow Protocols",
        0x880b => "PPP",
        0x8847 => "MPLS unicast",
        0x8848 => "MPLS multicast",
        0x8863 => "PPPoE D",
        0x8864 => "PPPoE S",
        0x8892 => "PROFINET",
        0x888e => "EAPOL",
        0x88a2 => "AoE",
        0x88a4 => "EtherCAT",
        0x88a8 => "802.1Q-QinQ",
        0x88b5 => "local experimental 1",
        0x88b6 => "local experimental 2",
        0x88be => "ERSPAN",
        0x88ca => "TIPC",
        0x88cc => "LLDP",
        0x88e5 => "802.1AE MACsec",
        0x88e7 => "802.1ah PBB",
        0x88f5 => "MVRP",
        0x88f6 => "MMRP",
        0x88f7 => "PTP",
        0x8902 => "CFM",
        0x8906 => "FCoE",
        0x8914 => "FIP",
        0x8915 => "RoCE",
        0x892f => "HSR",
        0x893a => "IEEE 1905.1",
        0x894f => "NSH",
        0x9000 => "Loopback",
        0x9100 => "802.1Q-9100",
        _ => return None,
    })
}
