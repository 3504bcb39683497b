// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sections that say what became of packets: `verdict`, which `sort` writes, and `in-flight`.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::core_sections::PacketKey;
use super::section::{Place, Section};
use super::text::{Escaped, TextOptions};

/// What became of a packet, in the last event of its series. Only sorted files have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictSection<'a> {
    /// What happened to it. Of clones that ended in different ways, the last one counts.
    pub kind: VerdictKind,
    /// The same in words, with what is known about it.
    pub text: Cow<'a, str>,
    /// What `text` is made of.
    pub facts: VerdictFacts<'a>,
}

/// What happened to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// It was handed to whom it was for: a socket, or a protocol of the kernel such as ICMP.
    Delivered,
    /// It was handed to the driver of a device, and not seen again on this host.
    Transmitted,
    /// It was dropped.
    Dropped,
    /// It was used up without having been dropped, e.g. put into another packet.
    Consumed,
    /// It was seen, and then no more.
    Unknown,
}

/// The facts behind a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VerdictFacts<'a> {
    /// The number, in the series, of the event that decided; where the end is unknown, of the last one that says where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idx: Option<u64>,
    /// The function or tracepoint of that event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<Cow<'a, str>>,
    /// The name of the device at that event, or before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Cow<'a, str>>,
    /// The number of the network namespace at that event, or before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<u32>,
    /// To whom it was delivered, maybe before it was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Cow<'a, str>>,
    /// Why it was dropped, in the kernel's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// The subsystem whose reason that is, unless it is the network core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subsys: Option<Cow<'a, str>>,
    /// Where in the kernel's code it was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Cow<'a, str>>,
    /// Who decided that it be dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Cow<'a, str>>,
    /// It was put into another packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
    /// It was still there when collection ended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_flight: bool,
    /// How many of its hits were lost between those that are in the series.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost: u64,
    /// Hits were lost in the recording after the packet's last event: some of them may have been its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lost_after: bool,
    /// What happened to other clones of it.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub also: Cow<'a, [Other<'a>]>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Where a packet was put into another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Merged {
    /// The other packet.
    pub into: PacketKey,
    /// When, in nanoseconds of CLOCK_MONOTONIC.
    pub timestamp: u64,
}

/// What happened to another clone of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Other<'a> {
    /// What happened to it.
    pub kind: VerdictKind,
    /// The same in words.
    pub text: Cow<'a, str>,
    /// The number, in the series, of the event that says so.
    pub idx: u64,
}

impl Section for VerdictSection<'_> {
    const NAME: &'static str = "verdict";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "verdict: {}", Escaped(&self.text))
    }
}

/// The packets that were tracked when collection ended. Written once, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct InFlightSection<'a>(
    /// Their ids.
    pub Cow<'a, [PacketKey]>,
);

impl Section for InFlightSection<'_> {
    const NAME: &'static str = "in-flight";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        let plural = if self.0.len() == 1 { "" } else { "s" };
        write!(out, "{} packet{plural} in flight when collection ended", self.0.len())
    }
}
