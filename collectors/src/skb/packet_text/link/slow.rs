// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The slow protocols: LACP (IEEE 802.1AX) and its marker, OAM (IEEE 802.3, clause 57).

use std::fmt;

use crate::skb::packet_text::notation::Flags;
use crate::skb::packet_text::{Mac, Payload};

const LACP: u8 = 1;
const MARKER: u8 = 2;
const OAM: u8 = 3;

const STATE: &[(u16, &str)] = &[
    (0x01, "Activity"),
    (0x02, "Timeout"),
    (0x04, "Aggregation"),
    (0x08, "Synchronization"),
    (0x10, "Collecting"),
    (0x20, "Distributing"),
    (0x40, "Default"),
    (0x80, "Expired"),
];

/// Where an LACPDU has its two TLVs of 20 bytes, whose places are fixed.
const ACTOR: usize = 2;
const PARTNER: usize = 22;

/// Writes a frame of one of the slow protocols.
pub(super) fn write_slow(out: &mut dyn fmt::Write, frame: Payload<'_>) -> fmt::Result {
    let Some([subtype, version]) = frame.array(0) else {
        return out.write_str("[|slow]");
    };
    match subtype {
        LACP => {
            write!(out, "LACPv{version}")?;
            for (name, at) in [("actor", ACTOR), ("partner", PARTNER)] {
                let Some(tlv) = frame.array(at) else {
                    return out.write_str(" [|lacp]");
                };
                write_participant(out, name, &tlv)?;
            }
        }
        MARKER => write!(out, "MARKERv{version}")?,
        OAM => out.write_str("OAM")?,
        _ => write!(out, "slow protocol subtype {subtype} version {version}")?,
    }
    write!(out, " length {}", frame.len)
}

/// One of the two sides of a link, as the sender sees it. The priorities, which are seldom of interest, are left out.
fn write_participant(out: &mut dyn fmt::Write, name: &str, tlv: &[u8; 20]) -> fmt::Result {
    let [_kind, _len, _, _, a, b, c, d, e, f, key_high, key_low, _, _, port_high, port_low, state, ..] = *tlv;
    write!(
        out,
        " {name} {} key {} port {} state {}",
        Mac([a, b, c, d, e, f]),
        u16::from_be_bytes([key_high, key_low]),
        u16::from_be_bytes([port_high, port_low]),
        Flags { bits: state.into(), names: STATE },
    )
}
