// SPDX-License-Identifier: Apache-2.0 OR MIT

//! ARP (RFC 826).

use std::fmt;
use std::net::Ipv4Addr;

use etherparse::{ArpHardwareId, ArpOperation, ArpPacketSlice, EtherType};

use crate::skb::packet_text::{Mac, Payload};

/// Writes an ARP message, without the word ARP.
pub(super) fn write_arp(out: &mut dyn fmt::Write, payload: Payload<'_>) -> fmt::Result {
    let Ok(packet) = ArpPacketSlice::from_slice(payload.bytes) else {
        return out.write_str("[|arp]");
    };
    match (packet.operation(), ethernet_ipv4(&packet)) {
        (ArpOperation::REQUEST, Some(addresses)) => {
            write!(out, "request who-has {}", addresses.target_ip)?;
            // Normally zero, as it is what is asked for; a unicast probe of a known neighbour fills it in.
            if addresses.target_mac != [0; 6] && addresses.target_mac != [0xff; 6] {
                write!(out, " ({})", Mac(addresses.target_mac))?;
            }
            write!(out, " tell {}", addresses.sender_ip)?;
        }
        (ArpOperation::REPLY, Some(addresses)) => {
            write!(out, "reply {} is-at {}", addresses.sender_ip, Mac(addresses.sender_mac))?;
        }
        (operation, _) => {
            match operation_name(operation) {
                Some(name) => write!(out, "{name} (op {})", operation.0)?,
                None => write!(out, "op {}", operation.0)?,
            }
            write!(out, " hardware {} protocol {:#06x}", packet.hw_addr_type().0, packet.proto_addr_type().0)?;
        }
    }
    write!(out, " length {}", payload.len)
}

/// The addresses of a message that maps IPv4 addresses to Ethernet ones.
struct Addresses {
    sender_mac: [u8; 6],
    sender_ip: Ipv4Addr,
    target_mac: [u8; 6],
    target_ip: Ipv4Addr,
}

/// `None` for other hardware, other protocols, and sizes that do not fit them.
fn ethernet_ipv4(packet: &ArpPacketSlice<'_>) -> Option<Addresses> {
    if packet.hw_addr_type() != ArpHardwareId::ETHERNET || packet.proto_addr_type() != EtherType::IPV4 {
        return None;
    }
    Some(Addresses {
        sender_mac: packet.sender_hw_addr().try_into().ok()?,
        sender_ip: Ipv4Addr::from(<[u8; 4]>::try_from(packet.sender_protocol_addr()).ok()?),
        target_mac: packet.target_hw_addr().try_into().ok()?,
        target_ip: Ipv4Addr::from(<[u8; 4]>::try_from(packet.target_protocol_addr()).ok()?),
    })
}

/// Operations of RFC 826, 903 (RARP), 2390 (InARP) and 1577 (NAK).
fn operation_name(operation: ArpOperation) -> Option<&'static str> {
    Some(match operation.0 {
        1 => "request",
        2 => "reply",
        3 => "reverse request",
        4 => "reverse reply",
        8 => "inverse request",
        9 => "inverse reply",
        10 => "NACK",
        _ => return None,
    })
}
