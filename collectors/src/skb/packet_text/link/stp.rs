// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The spanning tree's BPDUs: STP (IEEE 802.1D-1998), RSTP (802.1D-2004), MSTP (802.1Q).

use std::fmt;

use crate::skb::packet_text::notation::{Flags, Quoted};
use crate::skb::packet_text::{Mac, Payload};

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
    let Some(fields) = Fields::read(bpdu) else {
        return out.write_str(" [|stp]");
    };
    fields.write(out, kind)?;
    if version >= 3 && kind == RAPID {
        write_multiple(out, bpdu)?;
    }
    write!(out, " length {}", bpdu.len)
}

/// What configuration and rapid BPDUs have in common.
struct Fields {
    flags: u8,
    root: BridgeId,
    root_cost: u32,
    bridge: BridgeId,
    port: u16,
    message_age: Seconds,
    max_age: Seconds,
    hello_time: Seconds,
    forwarding_delay: Seconds,
}

impl Fields {
    fn read(bpdu: Payload<'_>) -> Option<Self> {
        let [flags] = bpdu.array(4)?;
        Some(Self {
            flags,
            root: BridgeId::read(bpdu.skip(5))?,
            root_cost: bpdu.u32(13)?,
            bridge: BridgeId::read(bpdu.skip(17))?,
            port: bpdu.u16(25)?,
            message_age: Seconds(bpdu.u16(27)?),
            max_age: Seconds(bpdu.u16(29)?),
            hello_time: Seconds(bpdu.u16(31)?),
            forwarding_delay: Seconds(bpdu.u16(33)?),
        })
    }

    fn write(&self, out: &mut dyn fmt::Write, kind: u8) -> fmt::Result {
        write!(out, " flags {}", Flags { bits: self.flags.into(), names: FLAGS })?;
        if kind == RAPID {
            write!(out, " port-role {}", role(self.flags))?;
        }
        write!(
            out,
            " root-id {} root-pathcost {} bridge-id {}.{:04x}",
            self.root, self.root_cost, self.bridge, self.port
        )?;
        write!(
            out,
            " message-age {} max-age {} hello-time {} forwarding-delay {}",
            self.message_age, self.max_age, self.hello_time, self.forwarding_delay
        )
    }
}

/// A priority and an address, as `8000.aa:bb:cc:dd:ee:ff`.
struct BridgeId(u16, Mac);

impl BridgeId {
    fn read(id: Payload<'_>) -> Option<Self> {
        Some(Self(id.u16(0)?, Mac(id.array(2)?)))
    }
}

impl fmt::Display for BridgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}.{}", self.0, self.1)
    }
}

/// The region that an MSTP BPDU was sent in (IEEE 802.1Q, 14.4).
fn write_multiple(out: &mut dyn fmt::Write, bpdu: Payload<'_>) -> fmt::Result {
    let (Some(name), Some(revision), Some([hops])) = (bpdu.array::<32>(39), bpdu.u16(71), bpdu.array(101)) else {
        return out.write_str(" [|stp]");
    };
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let name = name.get(..end).unwrap_or_default();
    write!(out, " region {} revision {revision} remaining-hops {hops}", Quoted(name))
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
