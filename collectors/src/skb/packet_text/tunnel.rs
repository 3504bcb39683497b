// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Tunnels over UDP: which port belongs to which.

use std::fmt;

use super::{Payload, geneve, gre, gtp, ipsec, l2tp, mpls, vxlan, wireguard};

/// Writes what a UDP datagram carries.
pub(super) type Write = fn(&mut dyn fmt::Write, Payload<'_>) -> fmt::Result;

/// The tunnel between these ports, of the IANA's list but for VXLAN's second one, which is Linux' default, and
/// WireGuard's, which its users share.
///
/// Overlays have theirs as destination only, since the source is a hash of the packet in them. At the others NAT may
/// have changed the one or the other.
pub(super) fn over_udp(source: u16, destination: u16) -> Option<Write> {
    let overlay: Write = match destination {
        4754 => gre::write_gre,
        4789 | 8472 => vxlan::write_vxlan,
        4790 => vxlan::write_vxlan_gpe,
        6081 => geneve::write_geneve,
        6635 => mpls::write_mpls,
        _ => return named(destination).or_else(|| named(source)),
    };
    Some(overlay)
}

fn named(port: u16) -> Option<Write> {
    Some(match port {
        1701 => l2tp::write_l2tp,
        2152 => gtp::write_gtp,
        4500 => ipsec::write_esp_in_udp,
        51820 => wireguard::write_wireguard,
        _ => return None,
    })
}
