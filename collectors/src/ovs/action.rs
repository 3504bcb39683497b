// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what an action carries in the kernel to what an event says. The structs are those of `include/uapi/linux/openvswitch.h`, but for
//! the actions that the kernel keeps in a form of its own (`net/openvswitch/`): connection tracking, samples, comparisons of lengths.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use tracer_core::collector::{DecodeError, Wire as _};
use tracer_core::event::json::EventJson;
use tracer_core::session::text;

use super::action_event::{ActionEvent, Arguments, Nat, ct_flags};
use super::event::OvsSection;
use super::key::{self, Hexadecimal, Mac, MplsEntry};
use super::names::Names;
use super::wire;

/// The header of an attribute.
const HEADER: usize = 4;

/// What an attribute is, without the flags that stand beside.
const ATTRIBUTE_TYPE: u16 = 0x3fff;

/// Reads actions; what they are written with is used again for the next.
pub(super) struct ActionDecoder {
    names: Names,
    /// Two texts of an action, or of what it is taken for and what it is.
    texts: [String; 2],
}

impl ActionDecoder {
    pub(super) fn new(names: Names) -> Self {
        Self { names, texts: Default::default() }
    }

    /// Adds an action to an event. `payload` is what it carries.
    ///
    /// # Errors
    /// When the payload is not what the hook writes.
    pub(super) fn decode(
        &mut self,
        kind: u8,
        action: &wire::ovs_action_event,
        payload: &[u8],
        event: &mut EventJson,
    ) -> Result<(), DecodeError> {
        self.texts.iter_mut().for_each(String::clear);
        let number = u32::from(action.type_);
        let name = self.names.action(number);
        let mut section = match action.form {
            wire::OVS_FORM_CONNTRACK => return self.conntrack(kind, action, payload, event),
            wire::OVS_FORM_TUNNEL => tunnel(&wire::ovs_tunnel_action::read(kind, payload)?.0, &mut self.texts[0]),
            _ => {
                let [known, digits] = &mut self.texts;
                let known = name.and_then(|name| known_action(name, payload, &self.names, known));
                known.unwrap_or_else(|| unread(payload, digits))
            }
        };
        section.action = Cow::Borrowed(name.unwrap_or("unknown"));
        if name.is_none() {
            section.id = Some(number);
        }
        finish(section, action, event)
    }

    fn conntrack(
        &mut self,
        kind: u8,
        action: &wire::ovs_action_event,
        payload: &[u8],
        event: &mut EventJson,
    ) -> Result<(), DecodeError> {
        let (ct, _) = wire::ovs_conntrack_action::read(kind, payload)?;
        let [first, last] = &mut self.texts;
        let is_ipv4 = i32::from(ct.family) == libc::AF_INET;
        let address = |bytes: &[u8; 16], out: &mut String| {
            let [a, b, c, d, ..] = *bytes;
            // Strings take everything.
            let _ = match is_ipv4 {
                true => write!(out, "{}", Ipv4Addr::new(a, b, c, d)),
                false => write!(out, "{}", Ipv6Addr::from(*bytes)),
            };
        };
        let ranges = ct.range_flags;
        let has = |bit: u32| ranges & bit != 0;
        let nat = |bit: u8| ct.nat & bit != 0;
        if has(RANGE_ADDRESSES) {
            address(&ct.min_address, first);
            address(&ct.max_address, last);
        }
        let flags = [
            (ct.commit != 0, ct_flags::COMMIT),
            (ct.force != 0, ct_flags::FORCE),
            (nat(NAT) && is_ipv4 && has(RANGE_ADDRESSES), ct_flags::IPV4),
            (nat(NAT) && !is_ipv4 && has(RANGE_ADDRESSES), ct_flags::IPV6),
            (ct.nat != 0, ct_flags::NAT),
            (nat(NAT_SOURCE), ct_flags::NAT_SOURCE),
            (nat(NAT_DESTINATION), ct_flags::NAT_DESTINATION),
            (has(RANGE_ADDRESSES), ct_flags::NAT_ADDRESSES),
            (has(RANGE_PORTS), ct_flags::NAT_PORTS),
            (has(RANGE_RANDOM), ct_flags::NAT_RANDOM),
            (has(RANGE_PERSISTENT), ct_flags::NAT_PERSISTENT),
            (has(RANGE_RANDOM_FULLY), ct_flags::NAT_RANDOM_FULLY),
        ];
        let flags = flags.iter().filter(|(is_set, _)| *is_set).fold(0, |flags, (_, flag)| flags | flag);
        let direction = match (nat(NAT_SOURCE), nat(NAT_DESTINATION)) {
            (true, _) => Some("src".into()),
            (_, true) => Some("dst".into()),
            _ => None,
        };
        let port = |port: u16| Some(u16::from_be(port)).filter(|_| has(RANGE_PORTS));
        let section = ActionEvent {
            action: "ct".into(),
            zone_id: Some(ct.zone),
            flags: Some(flags),
            nat: (ct.nat != 0).then(|| Nat {
                dir: direction,
                min_addr: (!first.is_empty()).then_some(Cow::Borrowed(first.as_str())),
                max_addr: (!last.is_empty()).then_some(Cow::Borrowed(last.as_str())),
                min_port: port(ct.min_port),
                max_port: port(ct.max_port),
            }),
            args: Some(Arguments {
                mark: (ct.mark_mask != 0).then_some([ct.mark, ct.mark_mask]),
                labels: ct
                    .labels_mask
                    .iter()
                    .any(|byte| *byte != 0)
                    .then(|| [label(&ct.labels), label(&ct.labels_mask)]),
                helper: Some(text(&ct.helper)).filter(|name| !name.is_empty()),
                timeout: Some(text(&ct.timeout)).filter(|name| !name.is_empty()),
                ..Default::default()
            }),
            ..Default::default()
        };
        finish(section, action, event)
    }
}

/// Bits of `nat`: `enum ovs_ct_nat` of the kernel.
const NAT: u8 = 1;
const NAT_SOURCE: u8 = 2;
const NAT_DESTINATION: u8 = 4;

/// NF_NAT_RANGE_MAP_IPS and its like.
const RANGE_ADDRESSES: u32 = 1;
const RANGE_PORTS: u32 = 2;
const RANGE_RANDOM: u32 = 4;
const RANGE_PERSISTENT: u32 = 8;
const RANGE_RANDOM_FULLY: u32 = 16;

/// A connection's labels are a number of 128 bits.
fn label(bytes: &[u8; 16]) -> Cow<'static, str> {
    format!("{:x}", u128::from_le_bytes(*bytes)).into()
}

fn finish(
    mut section: ActionEvent<'_>,
    action: &wire::ovs_action_event,
    event: &mut EventJson,
) -> Result<(), DecodeError> {
    section.recirc_id = action.recirc_id;
    if action.upcall_id != 0 {
        section.queue_id = Some(action.queue_id);
        section.upcall_id = Some(action.upcall_id);
    }
    section.args = section.args.filter(|args| *args != Arguments::default());
    Ok(event.section(&OvsSection::ActionExecute(Box::new(section)))?)
}

/// An action that can't be read.
fn unread<'a>(payload: &[u8], digits: &'a mut String) -> ActionEvent<'a> {
    digits.clear();
    // Strings take everything.
    let _ = write!(digits, "{}", Hexadecimal(payload));
    let bytes = (!digits.is_empty()).then_some(Cow::Borrowed(digits.as_str()));
    with(Arguments { bytes, ..Default::default() })
}

fn with(args: Arguments<'_>) -> ActionEvent<'_> {
    ActionEvent { args: Some(args), ..Default::default() }
}

/// An action that is known by name. `None`: it has not the form that its name promises.
fn known_action<'a>(name: &str, payload: &[u8], names: &Names, text: &'a mut String) -> Option<ActionEvent<'a>> {
    let word = |at: usize| Some(u32::from_ne_bytes(payload.get(at..at + 4)?.try_into().ok()?));
    let network_half = |at: usize| Some(u16::from_be_bytes(payload.get(at..at + 2)?.try_into().ok()?));
    Some(match name {
        "output" => ActionEvent { port: Some(word(0)?), ..Default::default() },
        "recirc" => ActionEvent { id: Some(word(0)?), ..Default::default() },
        "drop" => ActionEvent { reason: Some(word(0)?), ..Default::default() },
        "userspace" => userspace(payload, text)?,
        "set" | "set_masked" | "set_to_masked" => {
            let (number, content, _) = attribute(payload)?;
            let key = names.key(number.into())?;
            let (value, mask) = match name {
                "set" => (content, None),
                // The mask has as many bytes as the value.
                _ if content.len() % 2 == 0 => {
                    let (value, mask) = content.split_at(content.len() / 2);
                    (value, Some(mask))
                }
                _ => return None,
            };
            key::write(text, key, value, mask).ok()?;
            with(Arguments { field: Some(Cow::Borrowed(text)), ..Default::default() })
        }
        "push_vlan" => {
            let tag = network_half(2)?;
            with(Arguments {
                vid: Some(tag & 0xfff),
                pcp: Some((tag >> 13) as u8),
                eth_type: Some(network_half(0)?),
                ..Default::default()
            })
        }
        "push_mpls" | "add_mpls" => {
            let entry = MplsEntry::read(payload)?;
            with(Arguments {
                label: Some(entry.label),
                tc: Some(entry.tc),
                ttl: Some(entry.ttl),
                bos: Some(entry.bos),
                eth_type: Some(network_half(4)?),
                ..Default::default()
            })
        }
        "pop_mpls" => with(Arguments { eth_type: Some(network_half(0)?), ..Default::default() }),
        "push_eth" => {
            let (src, dst) = payload.get(..12)?.split_at(6);
            write!(text, "src={},dst={}", Mac(src), Mac(dst)).ok()?;
            with(Arguments { field: Some(Cow::Borrowed(text)), ..Default::default() })
        }
        "push_nsh" => {
            write_nsh(text, payload)?;
            with(Arguments { field: Some(Cow::Borrowed(text)), ..Default::default() })
        }
        "hash" => with(Arguments { hash_alg: Some(word(0)?), basis: Some(word(4)?), ..Default::default() }),
        "meter" => with(Arguments { meter: Some(word(0)?), ..Default::default() }),
        "trunc" => with(Arguments { size: Some(word(0)?), ..Default::default() }),
        // The kernel keeps a struct of its own in the first attribute.
        "sample" => {
            let (_, argument, _) = attribute(payload)?;
            let probability = u32::from_ne_bytes(argument.get(4..8)?.try_into().ok()?);
            with(Arguments { probability: Some(probability), ..Default::default() })
        }
        "check_pkt_len" => {
            let (_, argument, _) = attribute(payload)?;
            let size = u16::from_ne_bytes(argument.first_chunk().copied()?);
            with(Arguments { size: Some(size.into()), ..Default::default() })
        }
        "psample" => psample(payload, text)?,
        // They carry nothing, or other actions, which come as events of their own.
        "pop_vlan" | "pop_eth" | "pop_nsh" | "ct_clear" | "clone" | "dec_ttl" => ActionEvent::default(),
        _ => return None,
    })
}

/// The attribute at the beginning: its type and content, and what stands behind. `None`: it is not all there.
fn attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let half = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let (length, kind) = (usize::from(half(0)?), half(2)? & ATTRIBUTE_TYPE);
    let content = bytes.get(HEADER..length)?;
    Some((kind, content, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (kind, content, behind) = attribute(rest)?;
        rest = behind;
        Some((kind, content))
    })
}

/// `enum ovs_userspace_attr`: 1 is the port, 2 what is to be taken along.
fn userspace<'a>(payload: &[u8], digits: &'a mut String) -> Option<ActionEvent<'a>> {
    let (mut pid, mut purpose) = (None, None);
    for (kind, content) in attributes(payload) {
        match kind {
            1 => pid = Some(u32::from_ne_bytes(content.first_chunk().copied()?)),
            2 => {
                write!(digits, "{}", Hexadecimal(content)).ok()?;
                purpose = purpose_of(content);
            }
            _ => {}
        }
    }
    pid?;
    let cookie = (!digits.is_empty()).then_some(Cow::Borrowed(digits.as_str()));
    Some(with(Arguments { pid, cookie, purpose, ..Default::default() }))
}

/// What ovs-vswitchd gives packets to take along begins with a number that says what for (`enum user_action_cookie_type`).
fn purpose_of(cookie: &[u8]) -> Option<Cow<'static, str>> {
    let number = u16::from_ne_bytes(cookie.first_chunk().copied()?);
    Some(match number {
        1 => "sFlow".into(),
        2 => "slow_path".into(),
        3 => "flow_sample".into(),
        4 => "ipfix".into(),
        5 => "controller".into(),
        _ => return None,
    })
}

/// `enum ovs_psample_attr`: 1 is the group, 2 what is to be taken along.
fn psample<'a>(payload: &[u8], digits: &'a mut String) -> Option<ActionEvent<'a>> {
    let mut group = None;
    for (kind, content) in attributes(payload) {
        match kind {
            1 => group = Some(u32::from_ne_bytes(content.first_chunk().copied()?)),
            2 => write!(digits, "{}", Hexadecimal(content)).ok()?,
            _ => {}
        }
    }
    group?;
    let cookie = (!digits.is_empty()).then_some(Cow::Borrowed(digits.as_str()));
    Some(with(Arguments { group, cookie, ..Default::default() }))
}

/// `struct ovs_nsh_key_base` and, in metadata of type 1, four words.
fn write_nsh(out: &mut String, payload: &[u8]) -> Option<()> {
    /// OVS_NSH_KEY_ATTR_BASE, OVS_NSH_KEY_ATTR_MD1
    const BASE: u16 = 1;
    const CONTEXT: u16 = 2;
    for (kind, content) in attributes(payload) {
        match kind {
            BASE => {
                let [flags, ttl, metadata, next] = content.first_chunk().copied()?;
                let path = u32::from_be_bytes(content.get(4..8)?.try_into().ok()?);
                let (spi, si) = (path >> 8, path & 0xff);
                write!(out, "flags={flags},ttl={ttl},mdtype={metadata},np={next},spi={spi:#x},si={si}").ok()?;
            }
            CONTEXT => {
                for (index, word) in content.chunks_exact(4).enumerate() {
                    write!(out, ",c{}=0x{}", index + 1, Hexadecimal(word)).ok()?;
                }
            }
            _ => {}
        }
    }
    (!out.is_empty()).then_some(())
}

/// A tunnel that the packet is to be sent into.
fn tunnel<'a>(to: &wire::ovs_tunnel_action, out: &'a mut String) -> ActionEvent<'a> {
    let address = |bytes: &[u8; 16]| match to.ipv6 {
        0 => std::net::IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]),
        _ => std::net::IpAddr::from(*bytes),
    };
    let (source, destination) = (address(&to.source), address(&to.destination));
    // Strings take everything.
    let _ = write!(out, "tunnel(tun_id={:#x}", u64::from_be_bytes(to.tunnel_id));
    if !source.is_unspecified() {
        let _ = write!(out, ",src={source}");
    }
    let _ = write!(out, ",dst={destination}");
    if to.tos != 0 {
        let _ = write!(out, ",tos={:#x}", to.tos);
    }
    let _ = write!(out, ",ttl={}", to.ttl);
    for (name, port) in [("tp_src", to.source_port), ("tp_dst", to.destination_port)] {
        if port != 0 {
            let _ = write!(out, ",{name}={}", u16::from_be(port));
        }
    }
    out.push(')');
    with(Arguments { field: Some(Cow::Borrowed(out)), ..Default::default() })
}

#[cfg(test)]
mod tests;
