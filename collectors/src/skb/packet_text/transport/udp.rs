// SPDX-License-Identifier: Apache-2.0 OR MIT

//! UDP (RFC 768) and UDP-Lite (RFC 3828), and which port belongs to whom.

use std::fmt;

use etherparse::{UdpHeader, UdpHeaderSlice};

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::ip::upper_layer::{IpVersion, UpperLayer};
use crate::skb::packet_text::link::mpls;
use crate::skb::packet_text::service::{dhcp, dhcpv6, dns};
use crate::skb::packet_text::tunnel::{geneve, gre, gtp, ipsec, l2tp, vxlan, wireguard};

/// Writes a datagram, without its ports: the length of what it carries by its own header, and what that is.
pub(in crate::skb::packet_text) fn write_udp(out: &mut dyn fmt::Write, upper: &UpperLayer<'_>) -> fmt::Result {
    let Ok(header) = UdpHeaderSlice::from_slice(upper.payload.bytes) else {
        return out.write_str("[|udp]");
    };
    let datagram_len = match usize::from(header.length()) {
        // A jumbogram (RFC 2675, section 4).
        0 if upper.version == IpVersion::V6 => upper.payload.len,
        len => len,
    };
    let Some(length) = datagram_len.checked_sub(UdpHeader::LEN) else {
        return write!(out, "[bad length {datagram_len}]");
    };
    let available = upper.payload.skip(UdpHeader::LEN).len;
    // The first fragment holds less than the whole datagram, and that is right.
    if length > available && !upper.more_fragments {
        return write!(out, "[bad length {length} > {available}]");
    }
    write!(out, "length {length}")?;
    match carried(header.source_port(), header.destination_port()) {
        Some(write) if length > 0 => {
            out.write_char(' ')?;
            // Of a first fragment the rest was not captured here: it is not missing in the datagram.
            write(out, Payload { len: length, ..upper.payload.skip(UdpHeader::LEN).limit(length) })
        }
        _ => Ok(()),
    }
}

/// Writes a datagram of UDP-Lite. In place of a length it says how much of the datagram its checksum covers; zero is
/// all.
pub(in crate::skb::packet_text) fn write_udp_lite(out: &mut dyn fmt::Write, datagram: Payload<'_>) -> fmt::Result {
    let (Some(coverage), Some(_checksum)) = (datagram.u16(4).map(usize::from), datagram.u16(6)) else {
        return out.write_str("[|udplite]");
    };
    if (1..UdpHeader::LEN).contains(&coverage) || coverage > datagram.len {
        write!(out, "[bad coverage {coverage}]")?;
    } else {
        write!(out, "coverage {coverage}")?;
    }
    write!(out, " length {}", datagram.len.saturating_sub(UdpHeader::LEN))
}

/// Writes what a UDP datagram carries.
type Write = fn(&mut dyn fmt::Write, Payload<'_>) -> fmt::Result;

/// The service or tunnel between these ports, of the IANA's list but for VXLAN's second one, which is Linux' default,
/// and WireGuard's, which its users share.
///
/// Overlays have theirs as destination only, since the source is a hash of the packet in them. At the others either end
/// may have it: it answers, or NAT has changed the one or the other.
fn carried(source: u16, destination: u16) -> Option<Write> {
    let overlay: Write = match destination {
        4754 => gre::write_gre,
        4789 | 8472 => vxlan::write_vxlan,
        4790 => vxlan::write_vxlan_gpe,
        6081 => geneve::write_geneve,
        6635 => mpls::write_mpls,
        _ => return behind_port(destination).or_else(|| behind_port(source)),
    };
    Some(overlay)
}

fn behind_port(port: u16) -> Option<Write> {
    Some(match port {
        _ if dns::is_dns(port) => dns::write_dns,
        67 | 68 => dhcp::write_dhcp,
        546 | 547 => dhcpv6::write_dhcpv6,
        1701 => l2tp::write_l2tp,
        2152 => gtp::write_gtp,
        4500 => ipsec::write_esp_in_udp,
        51820 => wireguard::write_wireguard,
        _ => return None,
    })
}
