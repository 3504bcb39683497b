// SPDX-License-Identifier: Apache-2.0 OR MIT

//! VXLAN (RFC 7348) with its group policy (draft-smith-vxlan-group-policy), and VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe).

use std::fmt;

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::inner::{Inner, write_inner};
use crate::skb::packet_text::link::ether_type;
use crate::skb::packet_text::notation::Flags;

const HEADER_LEN: usize = 8;

/// The network identifier is valid; the group policy is there.
const FLAGS: &[(u16, &str)] = &[(GROUP_POLICY, "G"), (NETWORK, "I")];
const NETWORK: u16 = 0x08;
const GROUP_POLICY: u16 = 0x80;

/// The receiver need not learn the address; the policy was applied already.
const POLICY_FLAGS: &[(u16, &str)] = &[(0x40, "D"), (0x08, "A")];

const GPE_FLAGS: &[(u16, &str)] = &[(0x08, "I"), (0x04, "P"), (0x02, "B"), (0x01, "O")];
const GPE_PROTOCOL: u16 = 0x04;

/// Writes a VXLAN header and the frame in it.
pub(in crate::skb::packet_text) fn write_vxlan(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let Some([flags, policy_flags, policy_high, policy_low, a, b, c, _]) = packet.array(0) else {
        return out.write_str("[|vxlan]");
    };
    let flags = u16::from(flags);
    write!(out, "VXLAN flags {} ({flags:#04x})", Flags { bits: flags, names: FLAGS })?;
    if flags & NETWORK == 0 {
        // The standard has such packets thrown away.
        return write!(out, " length {}", packet.len);
    }
    write!(out, " vni {}", u32::from_be_bytes([0, a, b, c]))?;
    if flags & GROUP_POLICY != 0 {
        let policy = u16::from_be_bytes([policy_high, policy_low]);
        write!(out, " policy {policy} {}", Flags { bits: policy_flags.into(), names: POLICY_FLAGS })?;
    }
    write_inner(out, Inner::Frame, packet.skip(HEADER_LEN))
}

/// Writes a VXLAN-GPE header and what it carries.
pub(in crate::skb::packet_text) fn write_vxlan_gpe(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let Some([flags, _, _, protocol, a, b, c, _]) = packet.array(0) else {
        return out.write_str("[|vxlan-gpe]");
    };
    let flags = u16::from(flags);
    write!(out, "VXLAN-GPE flags {} ({flags:#04x})", Flags { bits: flags & 0xf, names: GPE_FLAGS })?;
    if flags & NETWORK != 0 {
        write!(out, " vni {}", u32::from_be_bytes([0, a, b, c]))?;
    }
    let rest = packet.skip(HEADER_LEN);
    let (name, inner) = match protocol {
        // Without the flag it is VXLAN as ever.
        _ if flags & GPE_PROTOCOL == 0 => return write_inner(out, Inner::Frame, rest),
        1 => ("IPv4", Some(Inner::Ip)),
        2 => ("IPv6", Some(Inner::Ip)),
        3 => ("Ethernet", Some(Inner::Frame)),
        4 => ("NSH", None),
        5 => ("MPLS", Some(Inner::EtherType(ether_type::MPLS))),
        _ => ("unknown", None),
    };
    write!(out, " next-protocol {name} ({protocol})")?;
    match inner {
        Some(inner) => write_inner(out, inner, rest),
        None => write!(out, " length {}", rest.len),
    }
}
