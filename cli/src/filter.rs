// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Filters on events that are stored: the options of all commands that read files, and whether an event matches.

use clap::Args;
use serde::Deserialize;
use tracer_core::error::Error;
use tracer_core::event::line::{EventError, EventLine};
use tracer_core::filter::FilterText;
use tracer_filters::metadata::EventMatcher;
use tracer_filters::packet::{AcceleratedTag, Matcher, RecordedPacket};

use crate::input::Source;
use crate::packet_bytes::PacketBytes;
use crate::report;

/// Which packets are of interest.
#[derive(Args, Clone, Debug)]
pub(crate) struct FilterArgs {
    /// Only packets that match, by their recorded bytes, in the syntax of tcpdump: `udp port 53`. One event that matches is enough
    /// for a packet
    #[arg(short = 'f', long, value_name = "PCAP_FILTER")]
    filter_packet: Option<String>,
    /// Only packets that match, by what else was recorded: `ifname == "eth0"`. With `-f`, both must match the same event
    #[arg(short = 'm', long, value_name = "META_FILTER")]
    filter_meta: Option<String>,
}

/// The filters that the user has given.
pub(crate) struct EventFilter {
    packet: Option<PacketMatcher>,
    metadata: Option<EventMatcher>,
}

/// The packet filter, and what it has seen.
struct PacketMatcher {
    matcher: Matcher,
    /// Those of the packet at hand.
    bytes: PacketBytes,
    has_seen_event: bool,
    has_seen_packet: bool,
}

/// What the filter needs of section `skb`.
#[derive(Deserialize)]
struct Skb {
    vlan_accel: Option<Vlan>,
}

#[derive(Deserialize)]
struct Vlan {
    proto: u16,
    pcp: u8,
    dei: bool,
    vid: u16,
}

impl FilterArgs {
    /// The filters that were given; `None` when there are none, and all events are wanted.
    ///
    /// # Errors
    /// When one is wrong.
    pub(crate) fn compile(&self) -> Result<Option<EventFilter>, Error> {
        let text = FilterText::new(self.filter_packet.as_deref(), self.filter_meta.as_deref());
        let packet = text.packet.as_deref().map(Matcher::new).transpose()?;
        let metadata = text.metadata.as_deref().map(EventMatcher::new).transpose()?;
        if packet.is_none() && metadata.is_none() {
            return Ok(None);
        }
        Ok(Some(EventFilter { packet: packet.map(PacketMatcher::new), metadata }))
    }
}

impl EventFilter {
    /// Whether `event` matches all filters, by itself.
    ///
    /// # Errors
    /// When it has a packet that cannot be read.
    pub(crate) fn matches(&mut self, event: &EventLine<'_>) -> Result<bool, EventError> {
        if let Some(packet) = &mut self.packet
            && !packet.matches(event)?
        {
            return Ok(false);
        }
        Ok(self.metadata.as_ref().is_none_or(|metadata| metadata.matches(event)))
    }

    /// Tells the user at the end when there were events, and none that the packet filter can look at.
    pub(crate) fn report_end(&self, source: &Source) {
        if self.packet.as_ref().is_some_and(|packet| packet.has_seen_event && !packet.has_seen_packet) {
            report::warning(format_args!(
                "no event of {} has packet bytes, so none matches `-f`; `tracer collect -c skb` records them",
                source.name()
            ));
        }
    }
}

impl PacketMatcher {
    fn new(matcher: Matcher) -> Self {
        Self { matcher, bytes: PacketBytes::default(), has_seen_event: false, has_seen_packet: false }
    }

    fn matches(&mut self, event: &EventLine<'_>) -> Result<bool, EventError> {
        self.has_seen_event = true;
        let Some(length) = self.bytes.read(event)? else {
            return Ok(false);
        };
        self.has_seen_packet = true;
        let vlan = event.light::<Skb>("skb")?.and_then(|skb| skb.vlan_accel).map(|tag| AcceleratedTag {
            proto: tag.proto,
            tci: u16::from(tag.pcp) << 13 | u16::from(tag.dei) << 12 | tag.vid,
        });
        Ok(self.matcher.matches(&RecordedPacket { data: self.bytes.data(), length, vlan }))
    }
}
