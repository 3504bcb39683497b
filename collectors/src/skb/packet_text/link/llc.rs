// SPDX-License-Identifier: Apache-2.0 OR MIT

//! 802.3 frames: the LLC header (IEEE 802.2), and SNAP (RFC 1042).

use std::fmt;

use etherparse::EtherType;

use super::ether_type::Named;
use super::stp;
use crate::skb::packet_text::Payload;
use crate::skb::packet_text::inner::{Inner, write_inner};

/// The service access points that are looked into, with the control byte of unnumbered information.
const STP: [u8; 3] = [0x42, 0x42, 0x03];
const SNAP: [u8; 3] = [0xaa, 0xaa, 0x03];

/// Writes what follows the length field of an 802.3 frame.
pub(super) fn write_llc(out: &mut dyn fmt::Write, payload: Payload<'_>) -> fmt::Result {
    let Some(header @ [dsap, ssap, control]) = payload.array(0) else {
        return out.write_str("802.3 [|llc]");
    };
    // The word STP says it all, as in tcpdump.
    if header == STP && !payload.link_layer {
        return stp::write_stp(out, payload.skip(header.len()));
    }
    out.write_str("802.3 ")?;
    if [dsap, ssap] == [0xff, 0xff] {
        // Novell's own framing, which has no LLC header: these are the first bytes of IPX, its absent checksum.
        return write!(out, "IPX length {}", payload.len);
    }
    out.write_str("LLC dsap ")?;
    write_sap(out, dsap)?;
    out.write_str(" ssap ")?;
    write_sap(out, ssap)?;
    // Only unnumbered frames have a control field of one byte: the others have numbers in the second one.
    match payload.array(2).map(u16::from_le_bytes) {
        _ if control & 3 == 3 => write!(out, " ctrl {control:#04x}")?,
        Some(control) => write!(out, " ctrl {control:#06x}")?,
        None => return out.write_str(" [|llc]"),
    }
    match header {
        STP => {
            out.write_char(' ')?;
            stp::write_stp(out, payload.skip(header.len()))
        }
        SNAP => write_snap(out, payload.skip(header.len())),
        _ => write!(out, " length {}", payload.len),
    }
}

/// An organisation and the number of one of its protocols, or zero and an ethertype.
fn write_snap(out: &mut dyn fmt::Write, payload: Payload<'_>) -> fmt::Result {
    let (Some([a, b, c]), Some(protocol)) = (payload.array(0), payload.u16(3)) else {
        return out.write_str(" [|snap]");
    };
    let oui = u32::from_be_bytes([0, a, b, c]);
    let rest = payload.skip(5);
    let name = match oui {
        0x000000 => "Ethernet",
        // Bridges that had to translate between media (IEEE 802.1H).
        0x0000f8 => "Ethernet bridged",
        0x00000c => "Cisco",
        0x080007 => "Apple",
        _ => return write!(out, " oui {oui:#08x} (unknown) pid {protocol:#06x} length {}", rest.len),
    };
    write!(out, " oui {name} ({oui:#08x})")?;
    match (oui, protocol) {
        (0x000000 | 0x0000f8, _) => {
            let ether_type = EtherType(protocol);
            write!(out, " ethertype {}", Named(ether_type))?;
            return write_inner(out, Inner::EtherType(ether_type), rest);
        }
        (0x00000c, 0x0104) => out.write_str(" pid PAgP")?,
        (0x00000c, 0x010b) => out.write_str(" pid PVST")?,
        (0x00000c, 0x0111) => out.write_str(" pid UDLD")?,
        (0x00000c, 0x2000) => out.write_str(" pid CDP")?,
        (0x00000c, 0x2003) => out.write_str(" pid VTP")?,
        (0x00000c, 0x2004) => out.write_str(" pid DTP")?,
        _ => return write!(out, " pid {protocol:#06x} length {}", rest.len),
    }
    write!(out, " ({protocol:#06x}) length {}", rest.len)
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
