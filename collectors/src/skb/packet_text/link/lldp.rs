// SPDX-License-Identifier: Apache-2.0 OR MIT

//! LLDP (IEEE 802.1AB): who is at the other end of the cable.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::skb::packet_text::notation::{Hex, Quoted};
use crate::skb::packet_text::{Mac, Payload};

const TLV_HEADER_LEN: usize = 2;

const END: u16 = 0;
const CHASSIS_ID: u16 = 1;
const PORT_ID: u16 = 2;
const TIME_TO_LIVE: u16 = 3;
const PORT_DESCRIPTION: u16 = 4;
const SYSTEM_NAME: u16 = 5;

/// More TLVs than any switch sends; a hostile frame could hold hundreds.
const MAX_TLVS: usize = 64;

/// Writes the TLVs that name the neighbour; the others are passed over.
pub(super) fn write_lldp(out: &mut dyn fmt::Write, frame: Payload<'_>) -> fmt::Result {
    out.write_str("LLDP")?;
    let mut rest = frame;
    for _ in 0..MAX_TLVS {
        let Some(header) = rest.u16(0) else {
            return out.write_str(" [|lldp]");
        };
        let (kind, len) = (header >> 9, usize::from(header & 0x1ff));
        let value = rest.skip(TLV_HEADER_LEN);
        if kind == END {
            break;
        }
        if len > value.len {
            return write!(out, " [bad tlv {kind} length {len} > {}]", value.len);
        }
        if len > value.bytes.len() {
            return out.write_str(" [|lldp]");
        }
        write_tlv(out, kind, value.limit(len).bytes)?;
        rest = value.skip(len);
    }
    write!(out, " length {}", frame.len)
}

fn write_tlv(out: &mut dyn fmt::Write, kind: u16, value: &[u8]) -> fmt::Result {
    match (kind, value) {
        (CHASSIS_ID, [subtype, id @ ..]) => {
            out.write_str(" chassis-id ")?;
            write_id(out, chassis_id(*subtype), id)
        }
        (PORT_ID, [subtype, id @ ..]) => {
            out.write_str(" port-id ")?;
            write_id(out, port_id(*subtype), id)
        }
        (TIME_TO_LIVE, [high, low, ..]) => write!(out, " ttl {}", u16::from_be_bytes([*high, *low])),
        (PORT_DESCRIPTION, _) => write!(out, " port-description {}", Quoted(value)),
        (SYSTEM_NAME, _) => write!(out, " system-name {}", Quoted(value)),
        (CHASSIS_ID | PORT_ID | TIME_TO_LIVE, _) => write!(out, " [bad tlv {kind} length {}]", value.len()),
        _ => Ok(()),
    }
}

/// What an identifier is.
enum Id {
    Mac,
    Network,
    Quoted,
    Bytes,
}

/// IEEE 802.1AB, table 8-2.
fn chassis_id(subtype: u8) -> Id {
    match subtype {
        4 => Id::Mac,
        5 => Id::Network,
        1 | 2 | 3 | 6 | 7 => Id::Quoted,
        _ => Id::Bytes,
    }
}

/// IEEE 802.1AB, table 8-3.
fn port_id(subtype: u8) -> Id {
    match subtype {
        3 => Id::Mac,
        4 => Id::Network,
        1 | 2 | 5 | 7 => Id::Quoted,
        _ => Id::Bytes,
    }
}

fn write_id(out: &mut dyn fmt::Write, kind: Id, id: &[u8]) -> fmt::Result {
    match (kind, id) {
        (Id::Mac, [a, b, c, d, e, f]) => write!(out, "{}", Mac([*a, *b, *c, *d, *e, *f])),
        // In front of the address, its family as the IANA numbers them.
        (Id::Network, [1, a, b, c, d]) => write!(out, "{}", Ipv4Addr::new(*a, *b, *c, *d)),
        (Id::Network, [2, address @ ..]) if address.len() == 16 => {
            let address: [u8; 16] = address.try_into().unwrap_or_default();
            write!(out, "{}", Ipv6Addr::from(address))
        }
        (Id::Quoted, _) => write!(out, "{}", Quoted(id)),
        _ => write!(out, "0x{}", Hex(id)),
    }
}
