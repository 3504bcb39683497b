// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Fields of flow keys in the words of `ovs-appctl dpctl/dump-flows`, as far as actions set them. The structs are those of
//! `include/uapi/linux/openvswitch.h`.

use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};

/// How a part of a field is written.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// In the machine's byte order.
    Hexadecimal,
    /// In the network's.
    Decimal,
    NetworkHexadecimal,
    Mac,
    Ipv4,
    Ipv6,
}

/// Name, place and size of a part, and how it is written.
type Part = (&'static str, usize, usize, Form);

/// The parts of each field.
const FIELDS: &[(&str, &[Part])] = &[
    ("priority", &[("", 0, 4, Form::Hexadecimal)]),
    ("skb_mark", &[("", 0, 4, Form::Hexadecimal)]),
    ("ct_mark", &[("", 0, 4, Form::Hexadecimal)]),
    ("dp_hash", &[("", 0, 4, Form::Hexadecimal)]),
    ("recirc_id", &[("", 0, 4, Form::Hexadecimal)]),
    ("ethernet", &[("src", 0, 6, Form::Mac), ("dst", 6, 6, Form::Mac)]),
    (
        "ipv4",
        &[
            ("src", 0, 4, Form::Ipv4),
            ("dst", 4, 4, Form::Ipv4),
            ("proto", 8, 1, Form::Decimal),
            ("tos", 9, 1, Form::NetworkHexadecimal),
            ("ttl", 10, 1, Form::Decimal),
            ("frag", 11, 1, Form::Decimal),
        ],
    ),
    (
        "ipv6",
        &[
            ("src", 0, 16, Form::Ipv6),
            ("dst", 16, 16, Form::Ipv6),
            ("label", 32, 4, Form::NetworkHexadecimal),
            ("proto", 36, 1, Form::Decimal),
            ("tclass", 37, 1, Form::NetworkHexadecimal),
            ("hlimit", 38, 1, Form::Decimal),
            ("frag", 39, 1, Form::Decimal),
        ],
    ),
    ("tcp", PORTS),
    ("udp", PORTS),
    ("sctp", PORTS),
    ("icmp", TYPE_AND_CODE),
    ("icmpv6", TYPE_AND_CODE),
    (
        "arp",
        &[
            ("sip", 0, 4, Form::Ipv4),
            ("tip", 4, 4, Form::Ipv4),
            ("op", 8, 2, Form::Decimal),
            ("sha", 10, 6, Form::Mac),
            ("tha", 16, 6, Form::Mac),
        ],
    ),
    ("nd", &[("target", 0, 16, Form::Ipv6), ("sll", 16, 6, Form::Mac), ("tll", 22, 6, Form::Mac)]),
];

const PORTS: &[Part] = &[("src", 0, 2, Form::Decimal), ("dst", 2, 2, Form::Decimal)];
const TYPE_AND_CODE: &[Part] = &[("type", 0, 1, Form::Decimal), ("code", 1, 1, Form::Decimal)];

/// Fields that have another name in the words of Open vSwitch.
const OTHER_NAMES: &[(&str, &str)] = &[("priority", "skb_priority"), ("ethernet", "eth"), ("ct_labels", "ct_label")];

/// Writes what is set: all of `value`, or those parts of it that have bits in `mask`. What has no known form, or is too short for it, is
/// written in hexadecimal digits.
pub(super) fn write(out: &mut String, name: &str, value: &[u8], mask: Option<&[u8]>) -> fmt::Result {
    let shown = OTHER_NAMES.iter().find(|(kernel, _)| *kernel == name).map_or(name, |(_, shown)| *shown);
    write!(out, "{shown}(")?;
    if name == "mpls" && write_mpls(out, value, mask).is_some() {
        return out.write_str(")");
    }
    let parts = FIELDS.iter().find(|(field, _)| *field == name).map(|(_, parts)| *parts);
    let fits = |part: &Part| part.1 + part.2 <= value.len() && mask.is_none_or(|mask| mask.len() == value.len());
    let Some(parts) = parts.filter(|parts| parts.iter().all(fits)) else {
        write!(out, "0x{}", Hexadecimal(value))?;
        mask.map_or(Ok(()), |mask| write!(out, "/0x{}", Hexadecimal(mask)))?;
        return out.write_str(")");
    };
    let mut separator = "";
    for &(part, at, size, form) in parts {
        let mask = mask.map(|mask| &mask[at..at + size]);
        if mask.is_some_and(|mask| mask.iter().all(|byte| *byte == 0)) {
            continue;
        }
        out.write_str(separator)?;
        separator = ",";
        if !part.is_empty() {
            write!(out, "{part}=")?;
        }
        write_part(out, &value[at..at + size], form)?;
        if let Some(mask) = mask.filter(|mask| mask.iter().any(|byte| *byte != u8::MAX)) {
            out.write_str("/")?;
            let form = if matches!(form, Form::Decimal) { Form::NetworkHexadecimal } else { form };
            write_part(out, mask, form)?;
        }
    }
    out.write_str(")")
}

fn write_part(out: &mut String, bytes: &[u8], form: Form) -> fmt::Result {
    let number = bytes.iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    match form {
        Form::Hexadecimal => {
            let number = bytes.try_into().map_or(number, |bytes| u64::from(u32::from_ne_bytes(bytes)));
            write!(out, "{number:#x}")
        }
        Form::Decimal => write!(out, "{number}"),
        Form::NetworkHexadecimal => write!(out, "{number:#x}"),
        Form::Mac => write!(out, "{}", Mac(bytes)),
        Form::Ipv4 => write!(out, "{}", Ipv4Addr::from(number as u32)),
        Form::Ipv6 => match <[u8; 16]>::try_from(bytes) {
            Ok(bytes) => write!(out, "{}", Ipv6Addr::from(bytes)),
            Err(_) => write!(out, "0x{}", Hexadecimal(bytes)),
        },
    }
}

/// An entry of a stack of MPLS labels is one word.
fn write_mpls(out: &mut String, value: &[u8], mask: Option<&[u8]>) -> Option<()> {
    let entry = MplsEntry::read(value)?;
    let mask = match mask {
        Some(mask) => MplsEntry::read(mask)?,
        None => MplsEntry { label: u32::MAX, tc: u8::MAX, ttl: u8::MAX, bos: true },
    };
    let parts = [
        ("label", entry.label, mask.label != 0),
        ("tc", entry.tc.into(), mask.tc != 0),
        ("ttl", entry.ttl.into(), mask.ttl != 0),
        ("bos", entry.bos.into(), mask.bos),
    ];
    let mut separator = "";
    for (name, number, _) in parts.into_iter().filter(|(_, _, is_set)| *is_set) {
        write!(out, "{separator}{name}={number}").ok()?;
        separator = ",";
    }
    Some(())
}

/// An entry of a stack of MPLS labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MplsEntry {
    pub(super) label: u32,
    pub(super) tc: u8,
    pub(super) ttl: u8,
    pub(super) bos: bool,
}

impl MplsEntry {
    /// From the beginning of these bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let word = u32::from_be_bytes(bytes.first_chunk().copied()?);
        Some(Self { label: word >> 12, tc: (word >> 9 & 7) as u8, ttl: word as u8, bos: word >> 8 & 1 != 0 })
    }
}

/// Bytes as digits.
pub(super) struct Hexadecimal<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The address of a network card.
pub(super) struct Mac<'a>(pub(super) &'a [u8]);

impl fmt::Display for Mac<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if index > 0 { ":" } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::write;

    fn text(name: &str, value: &[u8], mask: Option<&[u8]>) -> String {
        let mut text = String::new();
        write(&mut text, name, value, mask).unwrap();
        text
    }

    #[test]
    fn writes_what_is_set() {
        let ipv4 = [10, 0, 0, 1, 10, 0, 0, 2, 17, 4, 63, 0];
        assert_eq!(text("ipv4", &ipv4, None), "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0x4,ttl=63,frag=0)");
        let ttl = [0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 255, 0];
        assert_eq!(text("ipv4", &ipv4, Some(&ttl)), "ipv4(dst=10.0.0.2/255.255.0.0,ttl=63)");
        assert_eq!(
            text("ethernet", &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], None),
            "eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)"
        );
        assert_eq!(text("udp", &[0, 53, 4, 0], Some(&[255, 255, 0, 0])), "udp(src=53)");
        assert_eq!(text("skb_mark", &5_u32.to_ne_bytes(), Some(&7_u32.to_ne_bytes())), "skb_mark(0x5/0x7)");
        assert_eq!(text("mpls", &[0, 1, 0x03, 64], None), "mpls(label=16,tc=1,ttl=64,bos=1)");
        assert_eq!(text("mpls", &[0, 1, 0x03, 64], Some(&[0, 0, 0, 255])), "mpls(ttl=64)");
    }

    #[test]
    fn what_is_odd_is_written_as_it_is() {
        assert_eq!(text("ipv4", &[1, 2, 3], None), "ipv4(0x010203)");
        assert_eq!(text("ipv4", &[1; 12], Some(&[1; 5])), "ipv4(0x010101010101010101010101/0x0101010101)");
        assert_eq!(text("mpls", &[1], None), "mpls(0x01)");
        assert_eq!(text("new_field", &[1], Some(&[255])), "new_field(0x01/0xff)");
        assert_eq!(text("tcp", &[], None), "tcp(0x)");
    }
}
