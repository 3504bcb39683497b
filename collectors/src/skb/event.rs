// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sections `packet` and `skb`.

use std::fmt;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracer_core::event::section::{Place, Section};
use tracer_core::event::text::TextOptions;

use super::packet_text::{PacketTextOptions, write_packet};

/// The packet itself.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct PacketSection<'a> {
    /// Bytes of the whole packet, from the Ethernet header on.
    pub(super) len: u32,
    /// Bytes of it that are in `data`.
    pub(super) capture_len: u32,
    /// The bytes, from the Ethernet header on. A packet that has none (yet) gets one of zeroes with the right type.
    pub(super) data: Bytes<'a>,
}

/// Bytes, written as base64.
#[derive(Debug)]
pub(super) enum Bytes<'a> {
    /// On their way into JSON.
    Borrowed(&'a [u8]),
    /// Read from JSON.
    Owned(Vec<u8>),
}

impl Bytes<'_> {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.as_slice(), &STANDARD))
    }
}

impl<'de> Deserialize<'de> for Bytes<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Self::Owned).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Bytes<'_> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Base64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64" })
    }
}

impl Section for PacketSection<'_> {
    const NAME: &'static str = "packet";
    const PLACE: Place = Place::Packet;

    fn write_text(&self, out: &mut dyn fmt::Write, options: &TextOptions) -> fmt::Result {
        write_packet(out, self.data.as_slice(), self.len, PacketTextOptions { link_layer: options.link_layer })
    }
}

/// What the kernel notes about the packet in its `sk_buff`.
#[derive(Debug, Default, Deserialize, JsonSchema, Serialize)]
pub(super) struct SkbSection {
    /// A VLAN tag that travels beside the packet's bytes (hardware acceleration).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vlan_accel: Option<VlanAccel>,
    /// Lengths, checksum state, mark (`--skb-sections meta`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meta: Option<Meta>,
    /// Who else uses the packet's memory (`--skb-sections dataref`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data_ref: Option<DataRef>,
    /// Segmentation that is still to be done (`--skb-sections gso`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gso: Option<Gso>,
}

/// A VLAN tag.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct VlanAccel {
    /// Ethertype of the tag: 0x8100 or 0x88a8.
    pub(super) proto: u16,
    /// Priority code point.
    pub(super) pcp: u8,
    /// Drop eligible indicator.
    pub(super) dei: bool,
    /// VLAN id.
    pub(super) vid: u16,
}

/// Lengths, checksum state, mark.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct Meta {
    /// Bytes of the packet from where the kernel is reading it (`skb->data`).
    pub(super) len: u32,
    /// Those of them outside the linear buffer.
    pub(super) data_len: u32,
    /// Flow hash, 0: not computed.
    pub(super) hash: u32,
    /// State of the checksum: 0 none, 1 unnecessary, 2 complete, 3 partial.
    pub(super) ip_summed: u8,
    /// The checksum, or where it starts and goes.
    pub(super) csum: u32,
    /// How many checksums were verified beyond the first.
    pub(super) csum_level: u8,
    /// Priority for queueing.
    pub(super) priority: u32,
    /// Packet mark, as set by nftables and read by routing rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mark: Option<u32>,
}

/// Who else uses the packet's memory.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct DataRef {
    /// The header part must not be changed: only the payload is shared.
    pub(super) nohdr: bool,
    /// The head may be shared with a clone.
    pub(super) cloned: bool,
    /// Its place in a pair that was allocated together: 0 none, 1 original, 2 clone.
    pub(super) fclone: u8,
    /// References to the `sk_buff`.
    pub(super) users: u32,
    /// References to the data.
    pub(super) dataref: u32,
}

/// Segmentation that is still to be done.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct Gso {
    /// Flags of the shared info (SKBFL_*).
    pub(super) flags: u8,
    /// Fragments outside the linear buffer.
    pub(super) frags: u32,
    /// Payload bytes of a segment.
    pub(super) size: u32,
    /// Segments.
    pub(super) segs: u32,
    /// Kinds of segmentation (SKB_GSO_*).
    #[serde(rename = "type")]
    pub(super) kind: u32,
}

impl SkbSection {
    pub(super) fn is_empty(&self) -> bool {
        self.vlan_accel.is_none() && self.meta.is_none() && self.data_ref.is_none() && self.gso.is_none()
    }
}

impl Section for SkbSection {
    const NAME: &'static str = "skb";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        let mut separator = "";
        if let Some(vlan) = &self.vlan_accel {
            let dei = if vlan.dei { " dei" } else { "" };
            write!(out, "vlan {} p {}{dei} proto {:#06x} accel", vlan.vid, vlan.pcp, vlan.proto)?;
            separator = " ";
        }
        if let Some(meta) = &self.meta {
            let summed = match meta.ip_summed {
                0 => "none",
                1 => "unnecessary",
                2 => "complete",
                3 => "partial",
                _ => "unknown",
            };
            write!(
                out,
                "{separator}skb [len {} data_len {} hash {:#x} csum {summed} ({}) {:#x} level {} priority {}",
                meta.len, meta.data_len, meta.hash, meta.ip_summed, meta.csum, meta.csum_level, meta.priority
            )?;
            if let Some(mark) = meta.mark {
                write!(out, " mark {mark:#x}")?;
            }
            out.write_char(']')?;
            separator = " ";
        }
        if let Some(data) = &self.data_ref {
            write!(
                out,
                "{separator}dataref [users {} dataref {} fclone {}{}{}]",
                data.users,
                data.dataref,
                data.fclone,
                if data.cloned { " cloned" } else { "" },
                if data.nohdr { " nohdr" } else { "" }
            )?;
            separator = " ";
        }
        if let Some(gso) = &self.gso {
            write!(
                out,
                "{separator}gso [type {:#x} flags {:#x} frags {} segs {} size {}]",
                gso.kind, gso.flags, gso.frags, gso.segs, gso.size
            )?;
        }
        Ok(())
    }
}
