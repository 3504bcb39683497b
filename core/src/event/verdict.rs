// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What became of a packet: found out from the events of its series, one after the other, while nothing is held but what the latest
//! of each kind have said.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::clues::{Clues, Fate, Question, Stage};
use super::core_sections::PacketKey;
use super::line::{EventLine, PacketRef, SeriesPlace};
use super::section::Section as _;
use super::section_table::SectionTable;
use super::verdict_section::{InFlightSection, Merged, Other, VerdictFacts, VerdictKind, VerdictSection};

/// What is known about the end of a series beside what its own events say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Circumstances {
    /// The packet was put into another one.
    pub(super) merged: Option<Merged>,
    /// It was there when collection ended.
    pub(super) in_flight: bool,
    /// The time of the last loss in the recording.
    pub(super) last_loss: Option<u64>,
}

/// How many different endings of clones are remembered. The kernel knows fewer ways to deliver a packet.
const MOST_ENDINGS: usize = 8;

/// What the events of a series have told so far.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// How the packet seems to end, in the order of time: of the same endings the latest, and not more than [`MOST_ENDINGS`]. Clones
    /// may have different ones.
    endings: Vec<Ending>,
    /// Where it was seen last, apart from being cleared away, and the address of the `sk_buff`.
    seen: Option<(Sighting, u64)>,
    /// The last clone whose device or namespace was told, and what is known of them.
    located: Option<(u64, Location)>,
    /// The time of the last event.
    timestamp: u64,
    /// How many of its events are missing.
    lost: u64,
    /// Who was asked about it last, the question, and the last one that was answered.
    asked: Option<(&'static str, u64)>,
    answered: Option<u64>,
}

/// What a verdict rests on.
enum Decision<'a> {
    Ending(&'a Ending),
    Merged(Merged),
    Unknown,
}

/// An event that seems to be the end.
#[derive(Debug)]
struct Ending {
    fate: Fate<'static>,
    /// The address of the `sk_buff`, which tells clones apart.
    skb: u64,
    sighting: Sighting,
    /// To whom this `sk_buff` was handed before it was dropped.
    handed_to: Option<Cow<'static, str>>,
    /// Something else was seen of this `sk_buff` since.
    is_past: bool,
}

/// Where a packet was at an event.
#[derive(Clone, Debug, Default)]
struct Sighting {
    idx: u64,
    symbol: Option<String>,
    location: Location,
}

/// Name and number of the device, and of the network namespace.
#[derive(Clone, Debug, Default)]
struct Location {
    device: Option<(String, u32)>,
    namespace: Option<(Option<String>, u32)>,
}

impl Story {
    /// Forgets everything: a new series begins.
    pub(super) fn clear(&mut self) {
        let mut endings = std::mem::take(&mut self.endings);
        endings.clear();
        *self = Self { endings, ..Self::default() };
    }

    /// Takes in the next event of the series.
    pub(super) fn add(
        &mut self,
        event: &EventLine<'_>,
        packet: &PacketRef,
        place: &SeriesPlace,
        sections: &SectionTable,
    ) {
        let clues = Clues::of(event, sections);
        let mut sighting = Sighting::new(&clues, place.idx);
        self.timestamp = event.timestamp();
        self.lost = self.lost.saturating_add(place.lost);
        self.forget_what_was_no_end(packet.skb, clues.stage, &sighting);
        sighting.location = self.locate(packet.skb, sighting.location);
        if clues.stage != Stage::Aside || self.seen.is_none() {
            self.seen = Some((sighting.clone(), packet.skb));
        }
        match clues.question {
            Some(Question::Asked { whom, id }) => self.asked = Some((whom, id)),
            Some(Question::Answered { id }) => self.answered = Some(id),
            None => {}
        }
        if let Some(fate) = clues.fate {
            // That a transmission is over may be told when the packet is long elsewhere.
            if fate == Fate::Transmitted
                && clues.stage == Stage::Aside
                && self.endings.iter().any(|ending| ending.skb == packet.skb)
            {
                return;
            }
            let fate = fate.into_owned();
            let skb = packet.skb;
            self.end(Ending { fate, skb, sighting, handed_to: None, is_past: false });
        }
    }

    /// Where the clone is, by what this event and those before tell: sockets take a packet's device away.
    fn locate(&mut self, skb: u64, told: Location) -> Location {
        let location = match self.located.take() {
            Some((same, known)) if same == skb => told.or(known),
            other if told.device.is_none() && told.namespace.is_none() => {
                self.located = other;
                return told;
            }
            _ => told,
        };
        self.located = Some((skb, location.clone()));
        location
    }

    /// Endings of this `sk_buff` that were none, as it is seen again.
    fn forget_what_was_no_end(&mut self, skb: u64, stage: Stage, now: &Sighting) {
        if stage == Stage::Aside {
            return;
        }
        self.endings.retain_mut(|ending| {
            if ending.skb != skb {
                return true;
            }
            ending.is_past = true;
            let has_moved = ending.sighting.is_elsewhere(now);
            match ending.fate {
                // Drivers do much with a packet before it is gone; but that it is on the same device says that it is not elsewhere.
                Fate::Transmitted => stage == Stage::Somewhere && has_moved == Some(false),
                // What is delivered to a tunnel's socket goes on from the tunnel's device.
                Fate::Delivered { .. } => stage == Stage::Somewhere && has_moved != Some(true),
                // It was freed; the same address is another clone's now.
                Fate::Dropped(_) | Fate::Consumed => true,
            }
        });
    }

    fn end(&mut self, mut ending: Ending) {
        let is_same = |other: &Ending| other.skb == ending.skb && !other.is_past;
        match &ending.fate {
            // A packet that was used up is cleared away, and so is one that was sent.
            Fate::Consumed if self.endings.iter().any(is_same) => return,
            Fate::Dropped(_) => {
                let earlier = self.endings.iter().position(|other| is_same(other) && other.kind() == ending.kind());
                ending.handed_to = self.endings.iter().filter(|other| is_same(other)).find_map(Ending::delivered_to);
                if let Some(index) = earlier {
                    let later = std::mem::replace(&mut ending, self.endings.remove(index));
                    if let (Fate::Dropped(clue), Fate::Dropped(later)) = (&mut ending.fate, later.fate) {
                        clue.add(later);
                    }
                }
            }
            _ => {}
        }
        let was_no_end = |other: &Ending| {
            other.is_like(&ending)
                || other.skb == ending.skb && matches!(other.fate, Fate::Delivered { .. } | Fate::Transmitted)
        };
        self.endings.retain(|other| !was_no_end(other));
        if self.endings.len() >= MOST_ENDINGS {
            self.endings.remove(0);
        }
        self.endings.push(ending);
    }

    /// The verdict, after the last event.
    pub(super) fn verdict(&self, circumstances: &Circumstances) -> VerdictSection<'static> {
        let &Circumstances { merged, in_flight, last_loss } = circumstances;
        let lost_after = last_loss.is_some_and(|loss| loss >= self.timestamp);
        let mut text = String::new();
        let (kind, facts, others) = match self.decide(circumstances) {
            Decision::Ending(ending) => {
                ending.describe(&mut text);
                (ending.kind(), ending.facts(), self.others(Some(ending)))
            }
            Decision::Merged(merged) => {
                let _ = write!(text, "merged into {}", merged.into);
                (VerdictKind::Consumed, VerdictFacts::default(), Vec::new())
            }
            Decision::Unknown => {
                self.describe_unknown(in_flight, lost_after, &mut text);
                let facts = self.seen.as_ref().map(|(seen, _)| seen.facts()).unwrap_or_default();
                (VerdictKind::Unknown, facts, self.others(None))
            }
        };
        for other in &others {
            text.push_str("; another clone ");
            text.push_str(&other.text);
        }
        let also = Cow::Owned(others);
        let facts = VerdictFacts { merged, in_flight, lost: self.lost, lost_after, also, ..facts };
        VerdictSection { kind, text: Cow::Owned(text), facts }
    }

    fn decide(&self, circumstances: &Circumstances) -> Decision<'_> {
        let &Circumstances { merged, in_flight, .. } = circumstances;
        let mut latest = self.endings.iter().rev().filter(|ending| !self.outlives(ending));
        let last = latest.clone().find(|ending| ending.kind() != VerdictKind::Consumed).or(latest.next());
        match (last, merged) {
            // What is put into another packet in a socket's queue is delivered nevertheless.
            (Some(ending), _) if ending.kind() == VerdictKind::Delivered => Decision::Ending(ending),
            // A part is freed, or dropped, with the whole.
            (_, Some(merged)) => Decision::Merged(merged),
            (Some(ending), _) if ending.kind() != VerdictKind::Consumed => Decision::Ending(ending),
            // What a program has got is a copy.
            (Some(ending), _) if !in_flight && self.unanswered().is_none() => Decision::Ending(ending),
            _ => Decision::Unknown,
        }
    }

    /// Who has not sent it back.
    fn unanswered(&self) -> Option<&'static str> {
        self.asked.filter(|&(_, id)| self.answered != Some(id)).map(|(whom, _)| whom)
    }

    /// Whether another clone was seen after this one was freed.
    fn outlives(&self, ending: &Ending) -> bool {
        let is_freed = matches!(ending.kind(), VerdictKind::Dropped | VerdictKind::Consumed);
        let seen_later = |(seen, skb): &(Sighting, u64)| seen.idx > ending.sighting.idx && *skb != ending.skb;
        is_freed && self.seen.as_ref().is_some_and(seen_later)
    }

    /// How other clones ended.
    fn others(&self, decided: Option<&Ending>) -> Vec<Other<'static>> {
        let differs = |ending: &&Ending| {
            ending.kind() != VerdictKind::Consumed
                && decided.is_none_or(|decided| ending.skb != decided.skb && !ending.is_like(decided))
        };
        let other = |ending: &Ending| {
            let mut text = String::new();
            ending.describe(&mut text);
            Other { kind: ending.kind(), text: Cow::Owned(text), idx: ending.sighting.idx }
        };
        self.endings.iter().filter(differs).map(other).collect()
    }

    fn describe_unknown(&self, in_flight: bool, lost_after: bool, text: &mut String) {
        match (self.unanswered(), in_flight) {
            (Some(whom), true) => {
                let _ = write!(text, "not sent back by {whom} when collection ended; ");
            }
            (Some(whom), false) => {
                let _ = write!(text, "not sent back by {whom}; ");
            }
            (None, true) => text.push_str("still in flight when collection ended; "),
            (None, false) => {}
        }
        text.push_str("last seen");
        if let Some((seen, _)) = &self.seen {
            match &seen.symbol {
                Some(symbol) => {
                    let _ = write!(text, " at {symbol}");
                }
                None if seen.location.device.is_none() => text.push_str(" here"),
                None => {}
            }
            seen.describe(text);
        }
        if self.lost > 0 {
            let are = if self.lost == 1 { "is" } else { "are" };
            let _ = write!(text, "; {} of its events {are} missing", self.lost);
        }
        if lost_after && !in_flight {
            text.push_str("; events were lost afterwards, perhaps its own");
        }
    }
}

impl Ending {
    fn kind(&self) -> VerdictKind {
        match self.fate {
            Fate::Delivered { .. } => VerdictKind::Delivered,
            Fate::Transmitted => VerdictKind::Transmitted,
            Fate::Dropped(_) => VerdictKind::Dropped,
            Fate::Consumed => VerdictKind::Consumed,
        }
    }

    fn delivered_to(&self) -> Option<Cow<'static, str>> {
        match &self.fate {
            Fate::Delivered { to } => Some(to.clone()),
            _ => self.handed_to.clone(),
        }
    }

    /// Whether clones that end so are not told apart.
    fn is_like(&self, other: &Self) -> bool {
        match (&self.fate, &other.fate) {
            (Fate::Delivered { to }, Fate::Delivered { to: other }) => to == other,
            (Fate::Dropped(clue), Fate::Dropped(other)) => clue == other,
            _ => self.kind() == other.kind(),
        }
    }

    /// Appends what happened, as the end of a sentence about the packet.
    fn describe(&self, text: &mut String) {
        match &self.fate {
            Fate::Delivered { to } => {
                let _ = write!(text, "delivered to {to}");
            }
            Fate::Transmitted => text.push_str("transmitted"),
            Fate::Dropped(clue) => {
                text.push_str("dropped");
                if let Some(by) = &clue.by {
                    let _ = write!(text, " by {by}");
                }
                match (&clue.reason, &clue.subsys) {
                    (Some(reason), Some(subsys)) => {
                        let _ = write!(text, " ({subsys}: {reason})");
                    }
                    (Some(reason), None) => {
                        let _ = write!(text, " ({reason})");
                    }
                    (None, _) => {}
                }
                if let Some(location) = &clue.location {
                    let _ = write!(text, " at {location}");
                }
                if let Some(to) = &self.handed_to {
                    let _ = write!(text, " after delivery to {to}");
                }
            }
            Fate::Consumed => text.push_str("consumed"),
        }
        self.sighting.describe(text);
    }

    fn facts(&self) -> VerdictFacts<'static> {
        let mut facts = self.sighting.facts();
        match &self.fate {
            Fate::Delivered { to } => facts.to = Some(to.clone()),
            Fate::Dropped(clue) => {
                let clue = clue.clone();
                facts = VerdictFacts {
                    reason: clue.reason,
                    subsys: clue.subsys,
                    location: clue.location,
                    by: clue.by,
                    to: self.handed_to.clone(),
                    ..facts
                };
            }
            Fate::Transmitted | Fate::Consumed => {}
        }
        facts
    }
}

impl Sighting {
    fn new(clues: &Clues<'_>, idx: u64) -> Self {
        let device = clues.device.as_ref().map(|(name, index)| (name.to_string(), *index));
        let namespace = clues.namespace.as_ref().map(|(name, number)| (name.as_deref().map(str::to_owned), *number));
        let location = Location { device, namespace };
        Self { idx, symbol: clues.symbol.as_deref().map(str::to_owned), location }
    }

    /// Whether a later event has the packet on another device or in another namespace; `None` when neither is known.
    fn is_elsewhere(&self, later: &Self) -> Option<bool> {
        let (before, after) = (&self.location, &later.location);
        let device = before.device.as_ref().zip(after.device.as_ref()).map(|(before, after)| before != after);
        match (device, before.is_other_namespace(after)) {
            (Some(device), Some(namespace)) => Some(device || namespace),
            (known, None) => known,
            // In one namespace there are many devices.
            (None, Some(differs)) => differs.then_some(true),
        }
    }

    /// Appends device and namespace.
    fn describe(&self, text: &mut String) {
        if let Some((name, index)) = &self.location.device {
            if name.is_empty() {
                let _ = write!(text, " on interface {index}");
            } else {
                let _ = write!(text, " on {name}");
            }
        }
        if let Some((Some(name), _)) = &self.location.namespace {
            let _ = write!(text, " in {name}");
        }
    }

    fn facts(&self) -> VerdictFacts<'static> {
        let Location { device, namespace } = &self.location;
        VerdictFacts {
            idx: Some(self.idx),
            symbol: self.symbol.clone().map(Cow::Owned),
            device: device.as_ref().map(|(name, _)| Cow::Owned(name.clone())),
            netns: namespace.as_ref().map(|(_, number)| *number),
            ..VerdictFacts::default()
        }
    }
}

impl Location {
    fn is_other_namespace(&self, other: &Self) -> Option<bool> {
        let number = |location: &Self| location.namespace.as_ref().map(|(_, number)| *number);
        number(self).zip(number(other)).map(|(this, other)| this != other)
    }

    /// This, and what was known before, where that can still be.
    fn or(self, before: Self) -> Self {
        let has_left = self.is_other_namespace(&before) == Some(true);
        let device = self.device.or(before.device.filter(|_| !has_left));
        Self { device, namespace: self.namespace.or(before.namespace) }
    }
}

/// Where a packet was put into another one, as an earlier `sort` has found out.
pub(super) fn said_merged(event: &EventLine<'_>) -> Option<Merged> {
    #[derive(serde::Deserialize)]
    struct Verdict {
        facts: Facts,
    }
    #[derive(serde::Deserialize)]
    struct Facts {
        merged: Option<Merged>,
    }
    event.light::<Verdict>(VerdictSection::NAME).ok().flatten()?.facts.merged
}

/// The packets that an event lists as alive, if it is one that does.
pub(super) fn in_flight(event: &EventLine<'_>) -> Vec<PacketKey> {
    event.light(InFlightSection::NAME).ok().flatten().unwrap_or_default()
}
