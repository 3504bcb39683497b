// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Ethernet II, VLAN tags, and the choice of what an ethertype announces.

use std::fmt;

use etherparse::{EtherType, Ethernet2HeaderSlice, SingleVlanHeaderSlice};

use super::ether_type::Named;
use super::{arp, eapol, ether_type, llc, lldp, macsec, mpls, pppoe, ptp, slow};
use crate::skb::packet_text::ip::upper_layer::Extent;
use crate::skb::packet_text::ip::{ipv4, ipv6};
use crate::skb::packet_text::{Mac, Payload};

/// The largest value that is a length and not an ethertype (IEEE 802.3, 3.2.6).
const MAX_802_3_LENGTH: u16 = 1500;

/// More tags than any network stacks on purpose; a hostile packet could hold thousands and make an endless line.
const MAX_VLAN_TAGS: usize = 8;

/// Writes an Ethernet frame and all that it carries. The outermost one may be a stand-in, with both addresses zero.
pub(in crate::skb::packet_text) fn write_frame(out: &mut dyn fmt::Write, frame: Payload<'_>) -> fmt::Result {
    let Ok(header) = Ethernet2HeaderSlice::from_slice(frame.bytes) else {
        return out.write_str("[|ether]");
    };
    let stand_in = frame.depth == 0 && header.source() == [0; 6] && header.destination() == [0; 6];
    let show_header = frame.link_layer && !stand_in;
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
            write!(out, "ethertype {} ", Named(ether_type))?;
        }
        let Ok(tag) = SingleVlanHeaderSlice::from_slice(payload.bytes) else {
            return out.write_str("[|vlan]");
        };
        write_vlan(out, &tag)?;
        ether_type = tag.ether_type();
        payload = payload.skip(tag.slice().len());
    }

    // The stand-in header carries the kernel's idea of the protocol, which is never a length.
    if ether_type.0 <= MAX_802_3_LENGTH && !stand_in {
        return llc::write_llc(out, payload.limit(ether_type.0.into()));
    }
    if show_header {
        write!(out, "ethertype {} ", Named(ether_type))?;
    }
    write_network(out, ether_type, payload, show_header)
}

/// Writes what an ethertype announces. `named` says that the line already names the ethertype.
pub(in crate::skb::packet_text) fn write_network(
    out: &mut dyn fmt::Write,
    ether_type: EtherType,
    payload: Payload<'_>,
    named: bool,
) -> fmt::Result {
    match ether_type {
        EtherType::IPV4 => ipv4::write_ipv4(out, payload, Extent::Whole),
        EtherType::IPV6 => ipv6::write_ipv6(out, payload, Extent::Whole),
        EtherType::ARP => {
            if !named {
                out.write_str("ARP ")?;
            }
            arp::write_arp(out, payload)
        }
        EtherType::MACSEC => macsec::write_macsec(out, payload),
        ether_type::MPLS | ether_type::MPLS_UPSTREAM => mpls::write_mpls(out, payload),
        ether_type::PPPOE_DISCOVERY => pppoe::write_discovery(out, payload),
        ether_type::PPPOE_SESSION => pppoe::write_session(out, payload),
        ether_type::LLDP => lldp::write_lldp(out, payload),
        ether_type::SLOW => slow::write_slow(out, payload),
        ether_type::EAPOL => eapol::write_eapol(out, payload),
        ether_type::PTP => ptp::write_ptp(out, payload),
        _ => {
            if !named {
                write!(out, "ethertype {} ", Named(ether_type))?;
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

fn is_vlan(ether_type: EtherType) -> bool {
    matches!(
        ether_type,
        EtherType::VLAN_TAGGED_FRAME | EtherType::PROVIDER_BRIDGING | EtherType::VLAN_DOUBLE_TAGGED_FRAME
    )
}
