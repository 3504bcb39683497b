// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The spanning tree's BPDUs: STP (IEEE 802.1D-1998), RSTP (802.1D-2004), MSTP (802.1Q).

use std::fmt;

use super::notation::{Flags, Text};
use super::{Mac, Payload};

/// The bits between them are the port's role: see [`role`].
const FLAGS: &[(u16, &str)] = &[
    (0x01, "Topology change"),
    (0x02, "Proposal"),
    (0x10, "Learn"),
    (0x20, "Forward"),
    (0x40, "Agreement"),
    (0x80, "Topology change ACK"),
];

const CONFIG: u8 = 0;
const RAPID: u8 = 2;
const TOPOLOGY_CHANGE: u8 = 0x80;

/// Writes a BPDU, which starts behind the LLC header.
pub(super) fn write_stp(out: &mut dyn fmt::Write, bpdu: Payload<'_>) -> fmt::Result {
    let (Some(protocol), Some([version, kind])) = (bpdu.u16(0), bpdu.array(2)) else {
        return out.write_str("[|stp]");
    };
    if protocol != 0 {
        return write!(out, "STP unknown protocol {protocol:#06x} length {}", bpdu.len);
    }
    match version {
        0 => out.write_str("STP 802.1d")?,
        2 => out.write_str("STP 802.1w")?,
        3 => out.write_str("STP 802.1s")?,
        4 => out.write_str("STP 802.1aq")?,
        _ => return write!(out, "STP unknown version {version} length {}", bpdu.len),
    }
    match kind {
        CONFIG => out.write_str(" Config")?,
        RAPID => out.write_str(" Rapid STP")?,
        TOPOLOGY_CHANGE => return write!(out, " Topology Change length {}", bpdu.len),
        _ => return write!(out, " unknown type {kind:#04x} length {}", bpdu.len),
    }
    // All but the length of what only version 1 has; MSTP's own parameters follow.
    let Some(fields) = bpdu.array::<31>(4) else {
        return out.write_str(" [|stp]");
    };
    write_fields(out, kind, &fields)?;
    if version >= 3 && kind == RAPID {
        write_multiple(out, bpdu)?;
    }
    write!(out, " length {}", bpdu.len)
}

/// What configuration and rapid BPDUs have in common.
fn write_fields(out: &mut dyn fmt::Write, kind: u8, fields: &[u8; 31]) -> fmt::Result {
    let Some((flags, rest)) = fields.split_first() else { return Ok(()) };
    let u16 = |at: usize| rest.get(at..).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u16::from_be_bytes);
    let u32 = |at: usize| u32::from(u16(at)) << 16 | u32::from(u16(at + 2));
    let mac = |at: usize| Mac(rest.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default());

    write!(out, " flags {}", Flags { bits: u16::from(*flags), names: FLAGS })?;
    if kind == RAPID {
        write!(out, " port-role {}", role(*flags))?;
    }
    write!(
        out,
        " root-id {:04x}.{} root-pathcost {} bridge-id {:04x}.{}.{:04x}",
        u16(0),
        mac(2),
        u32(8),
        u16(12),
        mac(14),
        u16(20),
    )?;
    write!(
        out,
        " message-age {} max-age {} hello-time {} forwarding-delay {}",
        Seconds(u16(22)),
        Seconds(u16(24)),
        Seconds(u16(26)),
        Seconds(u16(28)),
    )
}

/// The region that an MSTP BPDU was sent in (IEEE 802.1Q, 14.4).
fn write_multiple(out: &mut dyn fmt::Write, bpdu: Payload<'_>) -> fmt::Result {
    let (Some(name), Some(revision), Some([hops])) = (bpdu.array::<32>(39), bpdu.u16(71), bpdu.array(101)) else {
        return out.write_str(" [|stp]");
    };
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let name = name.get(..end).unwrap_or_default();
    write!(out, " region {} revision {revision} remaining-hops {hops}", Text(name))
}

fn role(flags: u8) -> &'static str {
    match flags >> 2 & 3 {
        1 => "Alternate",
        2 => "Root",
        3 => "Designated",
        _ => "Unknown",
    }
}

/// A time in units of 1/256 s.
struct Seconds(u16);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}s", f32::from(self.0) / 256.0)
    }
}
