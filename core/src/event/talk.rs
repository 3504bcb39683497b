// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The conversations that have the most packets.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::Serialize;

use super::core_sections::PacketKey;
use super::flow::{CONVERSATION_WORDS, Conversation, Flow};
use super::statistics::FlowCounts;

/// A conversation, its direction with the recording, the packet, the time, the place in the file, and the length.
pub(super) const CAPTURE_WORDS: usize = CONVERSATION_WORDS + 6;

/// An event that has a packet's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capture {
    pub(super) recording: u64,
    pub(super) packet: Option<PacketKey>,
    pub(super) time: u64,
    /// The length of the packet.
    pub(super) length: u32,
}

/// What is sorted: by conversation, direction, packet and time.
pub(super) fn capture_key(flow: &Flow, capture: &Capture, number: u64) -> [u64; CAPTURE_WORDS] {
    let [a, b, c, d, e] = flow.conversation().words();
    let &Capture { recording, packet, time, length } = capture;
    let direction = u64::from(flow.is_backward()) << 63 | recording << 1 | u64::from(packet.is_some());
    let PacketKey { timestamp, orig_head } = packet.unwrap_or(PacketKey { timestamp: 0, orig_head: 0 });
    [a, b, c, d, e, direction, timestamp, orig_head, time, number, u64::from(length)]
}

/// A conversation, from the end that was seen first to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Talk {
    /// `tcp`, `icmp`, ...
    pub protocol: String,
    /// Address and port of the end whose packet was seen first.
    pub from: String,
    /// The other end.
    pub to: String,
    /// From the first end to the other.
    pub forward: TalkCounts,
    /// From the other end to the first.
    pub backward: TalkCounts,
}

/// What goes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TalkCounts {
    /// Packets that had these addresses at any event. Without collector `skb-tracking`, packets can't be told apart: 0.
    pub packets: u64,
    /// The bytes that these packets had when they were first seen so, link-layer header included.
    pub bytes: u64,
    /// Events.
    pub events: u64,
}

/// Goes through sorted captures and keeps the conversations with the most packets.
#[derive(Debug)]
pub(super) struct TopTalks {
    most: usize,
    /// The largest, by packets and events. Of equals the one that comes first is larger.
    top: BTreeSet<Ranked>,
    all: u64,
    packets: u64,
    current: Option<Current>,
}

/// By packets, events, place in the order of conversations; and what it is.
type Ranked = (u64, u64, Reverse<[u64; CONVERSATION_WORDS]>, Details);

/// Of both directions: packets, bytes, events; and whether the second one was seen first.
type Details = ([[u64; 3]; 2], bool);

#[derive(Debug)]
struct Current {
    conversation: [u64; CONVERSATION_WORDS],
    counts: [TalkCounts; 2],
    /// When each direction was seen first: the recording, the time, the place in the file.
    first: [Option<(u64, u64, u64)>; 2],
    packet: Option<(u64, u64, u64)>,
}

impl TopTalks {
    pub(super) fn new(most: usize) -> Self {
        Self { most, top: BTreeSet::new(), all: 0, packets: 0, current: None }
    }

    pub(super) fn add(
        &mut self,
        [a, b, c, d, e, direction, timestamp, head, time, number, length]: [u64; CAPTURE_WORDS],
    ) {
        let conversation = [a, b, c, d, e];
        if self.current.as_ref().is_none_or(|current| current.conversation != conversation) {
            self.end();
        }
        let current = self.current.get_or_insert(Current {
            conversation,
            counts: <[TalkCounts; 2]>::default(),
            first: [None; 2],
            packet: None,
        });
        let side = usize::from(direction >> 63 == 1);
        let recording = direction << 1 >> 2;
        let counts = &mut current.counts[side];
        counts.events += 1;
        let seen = (recording, time, number);
        current.first[side] = Some(current.first[side].map_or(seen, |first| first.min(seen)));
        let packet = (direction, timestamp, head);
        if direction & 1 == 1 && current.packet.replace(packet) != Some(packet) {
            counts.packets += 1;
            counts.bytes += length;
        }
    }

    fn end(&mut self) {
        let Some(Current { conversation, counts, first, .. }) = self.current.take() else {
            return;
        };
        let sum = |of: fn(&TalkCounts) -> u64| counts.iter().map(of).sum::<u64>();
        let (packets, events) = (sum(|counts| counts.packets), sum(|counts| counts.events));
        self.all += 1;
        self.packets += packets;
        let is_reversed = match first {
            [Some(forward), Some(backward)] => backward < forward,
            [forward, _] => forward.is_none(),
        };
        let details = counts.map(|counts| [counts.packets, counts.bytes, counts.events]);
        self.top.insert((packets, events, Reverse(conversation), (details, is_reversed)));
        if self.top.len() > self.most {
            self.top.pop_first();
        }
    }

    /// How many conversations there are, the largest of them, how many are left out, and how many packets those have.
    pub(super) fn finish(mut self) -> FlowCounts {
        self.end();
        let shown: u64 = self.top.iter().map(|(packets, ..)| packets).sum();
        let left_out = self.all - self.top.len() as u64;
        let top = self.top.into_iter().rev().map(talk).collect();
        FlowCounts { all: self.all, top, left_out, left_out_packets: self.packets - shown }
    }
}

fn talk((_, _, Reverse(conversation), (details, is_reversed)): Ranked) -> Talk {
    let conversation = Conversation::from_words(conversation);
    let [mut forward, mut backward] = details.map(|[packets, bytes, events]| TalkCounts { packets, bytes, events });
    if is_reversed {
        std::mem::swap(&mut forward, &mut backward);
    }
    let [from, to] = conversation.ends(is_reversed);
    Talk { protocol: conversation.protocol(), from, to, forward, backward }
}
