// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The section `skb-tracking`.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracer_core::event::section::{Place, Section};
use tracer_core::event::text::TextOptions;

/// Which packet this is: events with the same `timestamp` and `orig_head` are of one packet.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct SkbTrackingSection {
    /// Address of the buffer that held the packet when it was first seen.
    pub(super) orig_head: u64,
    /// When it was first seen, in ns of CLOCK_MONOTONIC.
    pub(super) timestamp: u64,
    /// Address of the packet's `sk_buff`; at the return of a function, as it was at the entry.
    pub(super) skb: u64,
    /// Number of the event among all of this packet, from 0; where one is missing, it was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<u64>,
    /// What this packet came out of, at its first event; or which other one it took in here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link: Option<Link>,
}

/// How two packets belong together.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct Link {
    /// "copy", "segment", "fragment" or "retransmission" of the other one; "merge" or "reassembly": the other one became a part of it.
    pub(super) kind: Cow<'static, str>,
    /// The other packet.
    pub(super) parent: PacketName,
    /// The oldest packet of those that this one came out of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) root: Option<PacketName>,
}

/// Who a packet is.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct PacketName {
    /// When it was first seen, in ns of CLOCK_MONOTONIC.
    pub(super) timestamp: u64,
    /// Address of the buffer that held it then.
    pub(super) orig_head: u64,
}

impl Section for SkbTrackingSection {
    const NAME: &'static str = "skb-tracking";
    const PLACE: Place = Place::Header;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "#{:x}{:x} (skb {:x})", self.timestamp, self.orig_head, self.skb)
    }
}
