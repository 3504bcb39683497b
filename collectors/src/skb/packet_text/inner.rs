// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Packets inside of packets: every encapsulation hands on to here what it carries.

use std::fmt;

use etherparse::EtherType;

use super::Payload;
use super::ip::upper_layer::Extent;
use super::ip::{ipv4, ipv6};
use super::link::{ethernet, ppp};

/// Encapsulations that are followed. Overlays in use have three or four (an overlay's frame in IPsec in PPPoE); a
/// hostile packet could hold hundreds, and make an endless line and an endless stack.
const MAX_DEPTH: u8 = 8;

/// What an encapsulation says about the packet in it.
pub(super) enum Inner {
    /// An Ethernet frame.
    Frame,
    /// What this ethertype announces; the line already names it.
    EtherType(EtherType),
    /// IPv4 or IPv6: the packet's own version field says which.
    Ip,
    /// A PPP frame that starts with the number of its protocol.
    Ppp,
}

/// Writes `: ` and the packet in an encapsulation, in the words of an outer one.
pub(super) fn write_inner(out: &mut dyn fmt::Write, inner: Inner, packet: Payload<'_>) -> fmt::Result {
    let Some(packet) = enter(packet) else {
        return write_too_deep(out);
    };
    out.write_str(": ")?;
    match inner {
        Inner::Frame => ethernet::write_frame(out, packet),
        Inner::EtherType(ether_type) => ethernet::write_network(out, ether_type, packet, true),
        Inner::Ip => match packet.array(0) {
            Some([first]) if first >> 4 == 4 => ipv4::write_ipv4(out, packet, Extent::Whole),
            Some([first]) if first >> 4 == 6 => ipv6::write_ipv6(out, packet, Extent::Whole),
            _ => write!(out, "length {}", packet.len),
        },
        Inner::Ppp => ppp::write_ppp(out, packet),
    }
}

/// The same packet, known to be one encapsulation deeper; `None` when that is too deep to be shown.
pub(super) fn enter(packet: Payload<'_>) -> Option<Payload<'_>> {
    (packet.depth < MAX_DEPTH).then_some(Payload { depth: packet.depth + 1, ..packet })
}

/// Says that [`enter`] refused.
pub(super) fn write_too_deep(out: &mut dyn fmt::Write) -> fmt::Result {
    out.write_str(" [too many encapsulations]")
}
