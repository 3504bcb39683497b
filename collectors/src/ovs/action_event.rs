// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An action in an event, and its text: the words are those of `ovs-appctl dpctl/dump-flows` where there are any.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracer_core::event::text::Escaped;

/// An action that is executed on a packet.
#[derive(Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(super) struct ActionEvent<'a> {
    /// Its name: the kernel's, without `OVS_ACTION_ATTR_` and in small letters; "unknown" when it has none.
    pub(super) action: Cow<'a, str>,
    /// Of "output": the number of the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u32>,
    /// Of "recirc": the number under which the packet comes back. Of "unknown": the kernel's number for the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<u32>,
    /// Of "drop": 0, or an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<u32>,
    /// Of "ct": the zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) zone_id: Option<u16>,
    /// Of "ct": 1 commit, 2 force, 4 IPv4 and 8 IPv6 addresses, 16 NAT, 32 of the source, 64 of the destination, 128 to addresses, 256 to
    /// ports, 512 and 2048 random, 1024 persistent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flags: Option<u32>,
    /// Of "ct": how addresses are translated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nat: Option<Nat<'a>>,
    /// The recirculation that the packet is in; 0: none.
    pub(super) recirc_id: u32,
    /// As in `upcall_enqueue`, when the action is ovs-vswitchd's answer to an upcall.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue_id: Option<u32>,
    /// Ours: that upcall.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upcall_id: Option<u64>,
    /// Ours: what else the action carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) args: Option<Arguments<'a>>,
}

/// Flags of "ct".
pub(super) mod ct_flags {
    pub(in super::super) const COMMIT: u32 = 1;
    pub(in super::super) const FORCE: u32 = 2;
    pub(in super::super) const IPV4: u32 = 4;
    pub(in super::super) const IPV6: u32 = 8;
    pub(in super::super) const NAT: u32 = 16;
    pub(in super::super) const NAT_SOURCE: u32 = 32;
    pub(in super::super) const NAT_DESTINATION: u32 = 64;
    pub(in super::super) const NAT_ADDRESSES: u32 = 128;
    pub(in super::super) const NAT_PORTS: u32 = 256;
    pub(in super::super) const NAT_RANDOM: u32 = 512;
    pub(in super::super) const NAT_PERSISTENT: u32 = 1024;
    pub(in super::super) const NAT_RANDOM_FULLY: u32 = 2048;
}

/// How addresses are translated.
#[derive(Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(super) struct Nat<'a> {
    /// "src" or "dst"; missing: as the connection has it.
    pub(super) dir: Option<Cow<'a, str>>,
    /// The first address.
    pub(super) min_addr: Option<Cow<'a, str>>,
    /// The last one.
    pub(super) max_addr: Option<Cow<'a, str>>,
    /// The first port.
    pub(super) min_port: Option<u16>,
    /// The last one.
    pub(super) max_port: Option<u16>,
}

/// What an action carries beside what has a place of its own. Which are there depends on the action.
#[derive(Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(super) struct Arguments<'a> {
    /// What is set or put in front, in the words of `ovs-appctl dpctl/dump-flows`: "ipv4(ttl=63)".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<Cow<'a, str>>,
    /// The VLAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vid: Option<u16>,
    /// The priority of the VLAN tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pcp: Option<u8>,
    /// The type of the tag or of the packet behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) eth_type: Option<u16>,
    /// The MPLS label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<u32>,
    /// The traffic class of the MPLS header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tc: Option<u8>,
    /// The TTL of the MPLS header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<u8>,
    /// It is the bottom of the stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bos: Option<bool>,
    /// The number of the hash algorithm: 0 over addresses and ports, 1 the same for both directions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hash_alg: Option<u32>,
    /// What is hashed along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) basis: Option<u32>,
    /// How many packets in 2^32 - 1 are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) probability: Option<u32>,
    /// The meter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meter: Option<u32>,
    /// Bytes that are kept, or that the packet is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u32>,
    /// The netlink port that the packet is sent to, if one is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<u32>,
    /// What ovs-vswitchd gave the packet to take along, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cookie: Option<Cow<'a, str>>,
    /// What that is for: "controller", "slow_path", "sFlow", "flow_sample", "ipfix".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) purpose: Option<Cow<'a, str>>,
    /// The group of samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<u32>,
    /// The mark of the connection: value and mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mark: Option<[u32; 2]>,
    /// The labels of the connection: value and mask, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) labels: Option<[Cow<'a, str>; 2]>,
    /// The helper of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) helper: Option<Cow<'a, str>>,
    /// The policy of time-outs of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout: Option<Cow<'a, str>>,
    /// What can't be read, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<Cow<'a, str>>,
}

impl ActionEvent<'_> {
    pub(super) fn write_text(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        if self.recirc_id != 0 {
            write!(out, "recirc_id({:#x}) ", self.recirc_id)?;
        }
        out.write_str("exec ")?;
        self.write_action(out)?;
        match self.upcall_id {
            Some(upcall) => write!(out, " for upcall {upcall}"),
            None => Ok(()),
        }
    }

    fn write_action(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let name = &*self.action;
        let mut list = List::new(out);
        match (name, self.port, self.id) {
            ("output", Some(port), _) => return write!(list.out, "output({port})"),
            ("recirc", _, Some(id)) => return write!(list.out, "recirc({id:#x})"),
            ("unknown", _, Some(id)) => list.begin(format_args!("action{id}"))?,
            ("ct", ..) => return self.write_ct(list),
            ("set" | "set_masked" | "set_to_masked", ..) => list.begin(format_args!("set"))?,
            _ => list.begin(format_args!("{}", Escaped(name)))?,
        }
        if let Some(reason) = self.reason.filter(|reason| *reason != 0) {
            list.item(format_args!("error={reason}"))?;
        }
        if let Some(args) = &self.args {
            args.write(name, &mut list)?;
        }
        list.end()
    }

    fn write_ct(&self, mut list: List<'_>) -> fmt::Result {
        let flags = self.flags.unwrap_or(0);
        let has = |flag: u32| flags & flag != 0;
        list.begin(format_args!("ct"))?;
        if has(ct_flags::COMMIT) {
            list.item(format_args!("{}", if has(ct_flags::FORCE) { "force_commit" } else { "commit" }))?;
        }
        if let Some(zone) = self.zone_id.filter(|zone| *zone != 0) {
            list.item(format_args!("zone={zone}"))?;
        }
        if let Some(args) = &self.args {
            args.write("ct", &mut list)?;
        }
        if let Some(nat) = &self.nat {
            let words = [
                (ct_flags::NAT_PERSISTENT, "persistent"),
                (ct_flags::NAT_RANDOM, "hash"),
                (ct_flags::NAT_RANDOM_FULLY, "random"),
            ];
            let words: Vec<&str> = words.iter().filter(|(flag, _)| has(*flag)).map(|(_, word)| *word).collect();
            list.item(format_args!("{}", NatText(nat, &words)))?;
        }
        list.end()
    }
}

struct NatText<'a>(&'a Nat<'a>, &'a [&'a str]);

impl fmt::Display for NatText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Nat { dir, min_addr, max_addr, min_port, max_port }, words) = self;
        f.write_str("nat")?;
        let Some(dir) = dir else { return Ok(()) };
        write!(f, "({}", Escaped(dir))?;
        if min_addr.is_some() || min_port.is_some() {
            f.write_str("=")?;
        }
        if let Some(first) = min_addr {
            let bracketed = first.contains(':') && min_port.is_some();
            let (open, close) = if bracketed { ("[", "]") } else { ("", "") };
            write!(f, "{open}{}{close}", Escaped(first))?;
            if let Some(last) = max_addr.as_ref().filter(|last| *last != first) {
                write!(f, "-{open}{}{close}", Escaped(last))?;
            }
        }
        if let Some(first) = min_port {
            write!(f, ":{first}")?;
            if let Some(last) = max_port.filter(|last| last != first) {
                write!(f, "-{last}")?;
            }
        }
        words.iter().try_for_each(|word| write!(f, ",{word}"))?;
        f.write_str(")")
    }
}

impl Arguments<'_> {
    fn write(&self, action: &str, list: &mut List<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            list.item(format_args!("{}", Escaped(field)))?;
        }
        if let Some(vid) = self.vid {
            list.item(format_args!("vid={vid}"))?;
        }
        if let Some(pcp) = self.pcp {
            list.item(format_args!("pcp={pcp}"))?;
        }
        if let Some(label) = self.label {
            list.item(format_args!("label={label}"))?;
        }
        if let Some(tc) = self.tc {
            list.item(format_args!("tc={tc}"))?;
        }
        if let Some(ttl) = self.ttl {
            list.item(format_args!("ttl={ttl}"))?;
        }
        if let Some(bos) = self.bos {
            list.item(format_args!("bos={}", u8::from(bos)))?;
        }
        match (action, self.eth_type) {
            // The usual tag.
            ("push_vlan", Some(0x8100)) | (_, None) => {}
            ("push_vlan", Some(kind)) => list.item(format_args!("tpid={kind:#06x}"))?,
            (_, Some(kind)) => list.item(format_args!("eth_type={kind:#x}"))?,
        }
        if let Some(algorithm) = self.hash_alg {
            let basis = self.basis.unwrap_or(0);
            match algorithm {
                0 => list.item(format_args!("hash_l4({basis})"))?,
                1 => list.item(format_args!("sym_l4({basis})"))?,
                other => list.item(format_args!("alg{other}({basis})"))?,
            }
        }
        if let Some(probability) = self.probability {
            list.item(format_args!("sample={:.1}%", 100.0 * f64::from(probability) / f64::from(u32::MAX)))?;
        }
        if let Some(meter) = self.meter {
            list.item(format_args!("{meter}"))?;
        }
        match (action, self.size) {
            (_, None) => {}
            ("trunc", Some(size)) => list.item(format_args!("{size}"))?,
            (_, Some(size)) => list.item(format_args!("size={size}"))?,
        }
        if let Some(pid) = self.pid {
            list.item(format_args!("pid={pid}"))?;
        }
        if let Some(group) = self.group {
            list.item(format_args!("group={group}"))?;
        }
        if let Some(purpose) = &self.purpose {
            list.item(format_args!("{}", Escaped(purpose)))?;
        } else if let Some(cookie) = &self.cookie {
            list.item(format_args!("cookie={}", Escaped(cookie)))?;
        }
        if let Some([mark, mask]) = self.mark {
            list.item(format_args!("mark={mark:#x}/{mask:#x}"))?;
        }
        if let Some([labels, mask]) = &self.labels {
            list.item(format_args!("label=0x{}/0x{}", Escaped(labels), Escaped(mask)))?;
        }
        if let Some(helper) = &self.helper {
            list.item(format_args!("helper={}", Escaped(helper)))?;
        }
        if let Some(timeout) = &self.timeout {
            list.item(format_args!("timeout={}", Escaped(timeout)))?;
        }
        match &self.bytes {
            Some(bytes) => list.item(format_args!("0x{}", Escaped(bytes))),
            None => Ok(()),
        }
    }
}

/// A name, and in brackets, when there is any, what belongs to it.
struct List<'a> {
    out: &'a mut dyn fmt::Write,
    items: u32,
}

impl<'a> List<'a> {
    fn new(out: &'a mut dyn fmt::Write) -> Self {
        Self { out, items: 0 }
    }

    fn begin(&mut self, name: fmt::Arguments<'_>) -> fmt::Result {
        self.out.write_fmt(name)
    }

    fn item(&mut self, item: fmt::Arguments<'_>) -> fmt::Result {
        self.out.write_str(if self.items == 0 { "(" } else { "," })?;
        self.items += 1;
        self.out.write_fmt(item)
    }

    fn end(&mut self) -> fmt::Result {
        if self.items == 0 { Ok(()) } else { self.out.write_str(")") }
    }
}
