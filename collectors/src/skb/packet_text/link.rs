// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Ethernet II, 802.3 with LLC, and VLAN tags.

use std::fmt;

use etherparse::{EtherType, Ethernet2HeaderSlice, SingleVlanHeaderSlice};

use super::{Mac, PacketTextOptions, Payload, arp, ipv4, ipv6};

/// The largest value that is a length and not an ethertype (IEEE 802.3, 3.2.6).
const MAX_802_3_LENGTH: u16 = 1500;

/// More tags than any network stacks on purpose; a hostile packet could hold thousands and make an endless line.
const MAX_VLAN_TAGS: usize = 8;

/// Writes an Ethernet frame and all that it carries.
pub(super) fn write_frame(out: &mut dyn fmt::Write, frame: Payload<'_>, options: PacketTextOptions) -> fmt::Result {
    let Ok(header) = Ethernet2HeaderSlice::from_slice(frame.bytes) else {
        return out.write_str("[|ether]");
    };
    let real_header = header.source() != [0; 6] || header.destination() != [0; 6];
    let show_header = options.link_layer && real_header;
    if show_header {
        write!(out, "{} > {} ", Mac(header.source()), Mac(header.destination()))?;
    }

    let mut ether_type = header.ether_type();
    let mut payload = frame.skip(header.slice().len());
    for _ in 0..MAX_VLAN_TAGS {
        if !is_vlan(ether_type) {
            break;
        }
        if show_header {
            write_ether_type(out, ether_type)?;
            out.write_char(' ')?;
        }
        let Ok(tag) = SingleVlanHeaderSlice::from_slice(payload.bytes) else {
            return out.write_str("[|vlan]");
        };
        write_vlan(out, &tag)?;
        ether_type = tag.ether_type();
        payload = payload.skip(tag.slice().len());
    }

    // The stand-in header carries the kernel's idea of the protocol, which is never a length.
    if ether_type.0 <= MAX_802_3_LENGTH && real_header {
        return write_llc(out, payload.limit(ether_type.0.into()));
    }
    if show_header {
        write_ether_type(out, ether_type)?;
        out.write_char(' ')?;
    }
    write_network(out, ether_type, payload, show_header)
}

/// Writes what an ethertype announces. `named` says that the line already names the ethertype.
fn write_network(out: &mut dyn fmt::Write, ether_type: EtherType, payload: Payload<'_>, named: bool) -> fmt::Result {
    match ether_type {
        EtherType::IPV4 => ipv4::write_ipv4(out, payload),
        EtherType::IPV6 => ipv6::write_ipv6(out, payload),
        EtherType::ARP => {
            if !named {
                out.write_str("ARP ")?;
            }
            arp::write_arp(out, payload)
        }
        _ => {
            if !named {
                write_ether_type(out, ether_type)?;
                out.write_char(' ')?;
            }
            write!(out, "length {}", payload.len)
        }
    }
}

/// The tag of IEEE 802.1Q: three bits of priority, drop eligibility, twelve bits of VLAN id.
fn write_vlan(out: &mut dyn fmt::Write, tag: &SingleVlanHeaderSlice<'_>) -> fmt::Result {
    write!(
        out,
        "vlan {} p {} {}",
        tag.vlan_identifier().value(),
        tag.priority_code_point().value(),
        if tag.drop_eligible_indicator() { "DEI " } else { "" }
    )
}

/// Names the LLC header (IEEE 802.2) of an 802.3 frame; what it carries is not looked at.
fn write_llc(out: &mut dyn fmt::Write, payload: Payload<'_>) -> fmt::Result {
    out.write_str("802.3 ")?;
    let Some([dsap, ssap, control]) = payload.array(0) else {
        return out.write_str("[|llc]");
    };
    out.write_str("LLC dsap ")?;
    write_sap(out, dsap)?;
    out.write_str(" ssap ")?;
    write_sap(out, ssap)?;
    write!(out, " ctrl {control:#04x} length {}", payload.len)
}

/// A service access point. Its lowest bit tells group from individual, or response from command, and is no part of
/// the address.
fn write_sap(out: &mut dyn fmt::Write, sap: u8) -> fmt::Result {
    let name = match sap & !1 {
        0x00 => "Null",
        0x06 => "IP",
        0x42 => "STP",
        0xaa => "SNAP",
        0xe0 => "IPX",
        0xf0 => "NetBEUI",
        0xfe => "ISONS",
        _ => return write!(out, "{sap:#04x}"),
    };
    write!(out, "{name} ({sap:#04x})")
}

fn is_vlan(ether_type: EtherType) -> bool {
    matches!(
        ether_type,
        EtherType::VLAN_TAGGED_FRAME | EtherType::PROVIDER_BRIDGING | EtherType::VLAN_DOUBLE_TAGGED_FRAME
    )
}

fn write_ether_type(out: &mut dyn fmt::Write, ether_type: EtherType) -> fmt::Result {
    match ether_type_name(ether_type) {
        Some(name) => write!(out, "ethertype {name} ({:#06x})", ether_type.0),
        None => write!(out, "ethertype {:#06x} (unknown)", ether_type.0),
    }
}

/// Names of the IEEE's ethertype registry, where tcpdump has one in its spelling.
fn ether_type_name(ether_type: EtherType) -> Option<&'static str> {
    Some(match ether_type.0 {
        0x0800 => "IPv4",
        0x0806 => "ARP",
        0x0842 => "Wake-on-LAN",
        0x22f0 => "AVTP",
        0x6558 => "TEB",
        0x8035 => "Reverse ARP",
        0x8100 => "802.1Q",
        0x86dd => "IPv6",
        0x8808 => "MPCP",
        0x8809 => "Slow Protocols",
        0x8847 => "MPLS unicast",
        0x8848 => "MPLS multicast",
        0x8863 => "PPPoE D",
        0x8864 => "PPPoE S",
        0x888e => "EAPOL",
        0x88a8 => "802.1Q-QinQ",
        0x88cc => "LLDP",
        0x88e5 => "802.1AE MACsec",
        0x88f7 => "PTP",
        0x8902 => "CFM",
        0x8906 => "FCoE",
        0x894f => "NSH",
        0x9000 => "Loopback",
        0x9100 => "802.1Q-9100",
        _ => return None,
    })
}
