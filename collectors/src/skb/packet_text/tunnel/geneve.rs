// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Geneve (RFC 8926).

use std::fmt;

use etherparse::EtherType;

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::inner::{Inner, write_inner};
use crate::skb::packet_text::link::ether_type;
use crate::skb::packet_text::link::ether_type::Named;
use crate::skb::packet_text::notation::{Flags, Hex};

const HEADER_LEN: usize = 8;
const OPTION_HEADER_LEN: usize = 4;

/// A control packet; a critical option is there.
const FLAGS: &[(u16, &str)] = &[(0x80, "O"), (0x40, "C")];
const CRITICAL: u8 = 0x80;

/// More options than any sender needs; 63 fit, and would make a long line.
const MAX_OPTIONS: usize = 16;

/// Writes a Geneve header with its options, and what it carries.
pub(in crate::skb::packet_text) fn write_geneve(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let Some([version_and_len, flags, high, low, a, b, c, _]) = packet.array(0) else {
        return out.write_str("[|geneve]");
    };
    let version = version_and_len >> 6;
    if version != 0 {
        return write!(out, "Geneve [bad version {version}] length {}", packet.len);
    }
    let protocol = EtherType(u16::from_be_bytes([high, low]));
    write!(
        out,
        "Geneve flags {} vni {} proto {}",
        Flags { bits: flags.into(), names: FLAGS },
        u32::from_be_bytes([0, a, b, c]),
        Named(protocol)
    )?;
    let options_len = usize::from(version_and_len & 0x3f) * 4;
    let rest = packet.skip(HEADER_LEN);
    if options_len > rest.len {
        return write!(out, " [bad options length {options_len} > {}]", rest.len);
    }
    if options_len > 0 {
        out.write_str(" options [")?;
        write_options(out, rest.limit(options_len))?;
        out.write_char(']')?;
    }
    let payload = rest.skip(options_len);
    match protocol {
        ether_type::TRANSPARENT_BRIDGING => write_inner(out, Inner::Frame, payload),
        _ => write_inner(out, Inner::EtherType(protocol), payload),
    }
}

fn write_options(out: &mut dyn fmt::Write, options: Payload<'_>) -> fmt::Result {
    let mut rest = options;
    let mut separator = "";
    for _ in 0..MAX_OPTIONS {
        if rest.len == 0 {
            return Ok(());
        }
        out.write_str(separator)?;
        separator = ",";
        let Some([class_high, class_low, kind, len]) = rest.array(0) else {
            return out.write_str("[|geneve]");
        };
        let len = usize::from(len & 0x1f) * 4;
        let data = rest.skip(OPTION_HEADER_LEN);
        if len > data.len {
            return write!(out, "[bad opt length {len} > {}]", data.len);
        }
        if len > data.bytes.len() {
            return out.write_str("[|geneve]");
        }
        let class = u16::from_be_bytes([class_high, class_low]);
        out.write_str("class ")?;
        write_class(out, class)?;
        let critical = if kind & CRITICAL != 0 { "(C)" } else { "" };
        write!(out, " type {kind:#x}{critical} len {}", OPTION_HEADER_LEN + len)?;
        if len > 0 {
            write!(out, " data 0x{}", Hex(data.limit(len).bytes))?;
        }
        rest = data.skip(len);
    }
    if rest.len == 0 { Ok(()) } else { out.write_str(",[too many options]") }
}

/// Some of the IANA's list of option classes.
fn write_class(out: &mut dyn fmt::Write, class: u16) -> fmt::Result {
    let name = match class {
        0x0000..=0x00ff => "Standard",
        0x0100 => "Linux",
        0x0101 => "Open vSwitch",
        0x0102 => "OVN",
        0x0103 => "INT",
        0x0104 => "VMware",
        0x0105 => "Amazon",
        0x0106 => "Cisco",
        0xff00..=0xffff => "Experimental",
        _ => return write!(out, "{class:#x}"),
    };
    write!(out, "{name} ({class:#x})")
}
