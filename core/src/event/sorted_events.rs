// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sorted events, one after the other, with what is known about their places and, at the end of a series, about the packet's end.

use std::mem;

use super::core_sections::{PacketId, StartupSection, TrackingSection};
use super::external_sort::Sorted;
use super::family::{SeriesNotes, SortedNotes};
use super::line::{EventLine, PacketRef, SeriesPlace};
use super::section::Section;
use super::section_table::SectionTable;
use super::series::LastLosses;
use super::sort::{Placed, SortError, WORDS};
use super::verdict::{Circumstances, Story};
use super::verdict_section::VerdictSection;

/// Events in series. Series of packets that came out of another one follow that one's; else the order is that in which packets were
/// first seen. Where recordings were put together, each begins with its startup event.
#[derive(Debug)]
pub struct SortedEvents {
    events: Sorted<WORDS>,
    notes: SortedNotes,
    losses: LastLosses,
    count: u64,
    sections: SectionTable,
    /// The event at hand.
    text: Vec<u8>,
    /// The one behind it, which tells whether a series ends.
    ahead: Option<Placed>,
    text_ahead: Vec<u8>,
    story: Story,
    series: SeriesNotes,
}

/// An event in its series.
#[derive(Clone, Debug)]
pub struct SortedEvent<'a> {
    /// The event as it stood in the file, but without `tracking` and `verdict`.
    pub event: EventLine<'a>,
    /// Its place in the series.
    pub place: SeriesPlace,
    /// The packet that it belongs to. Without one, the event is alone in its series.
    pub packet: Option<PacketRef>,
    /// What became of the packet, at its last event.
    pub verdict: Option<VerdictSection<'static>>,
}

impl SortedEvents {
    pub(super) fn new(
        events: Sorted<WORDS>,
        notes: SortedNotes,
        losses: LastLosses,
        count: u64,
        sections: SectionTable,
    ) -> Result<Self, SortError> {
        let mut sorted = Self {
            events,
            notes,
            losses,
            count,
            sections,
            text: Vec::new(),
            ahead: None,
            text_ahead: Vec::new(),
            story: Story::default(),
            series: SeriesNotes::default(),
        };
        sorted.look_ahead()?;
        Ok(sorted)
    }

    /// How many events there are, those included that were read already.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The next event, or `None` at the end.
    ///
    /// # Errors
    /// When a temporary file fails.
    pub fn next_event(&mut self) -> Result<Option<SortedEvent<'_>>, SortError> {
        let Some(Placed { series, idx, lost }) = self.ahead.take() else {
            return Ok(None);
        };
        mem::swap(&mut self.text, &mut self.text_ahead);
        self.look_ahead()?;
        if idx == 0 {
            self.series = self.notes.of(series)?;
            self.story.clear();
        }
        let parent_idx = self.series.parent_idx.filter(|_| idx == 0);
        let place = SeriesPlace { idx, lost, parent_idx };
        let event = std::str::from_utf8(&self.text).ok().and_then(|text| EventLine::parse(text).ok());
        let event = event.ok_or(SortError::Changed)?;
        let packet = if event.section(StartupSection::NAME).is_some() { None } else { event.packet()? };
        let mut verdict = None;
        if let Some(packet) = &packet {
            self.story.add(&event, packet, &place, &self.sections);
            if self.ahead.as_ref().is_none_or(|ahead| ahead.series != series) {
                let SeriesNotes { merged, in_flight, .. } = self.series;
                let last_loss = self.losses.of(series.recording())?;
                verdict = Some(self.story.verdict(&Circumstances { merged, in_flight, last_loss }));
            }
        }
        Ok(Some(SortedEvent { event, place, packet, verdict }))
    }

    fn look_ahead(&mut self) -> Result<(), SortError> {
        self.ahead = match self.events.next()? {
            Some((key, text)) => {
                self.text_ahead.clear();
                self.text_ahead.extend_from_slice(text);
                Some(Placed::from_key(key))
            }
            None => None,
        };
        Ok(())
    }
}

impl SortedEvent<'_> {
    /// Appends the event as a sorted file has it, with its `tracking` and `verdict`.
    pub fn write_json(&self, out: &mut String) {
        let text = self.event.text();
        let SeriesPlace { idx, lost, parent_idx } = self.place;
        let Some((packet, open)) = self.packet.zip(text.strip_suffix('}')) else {
            out.push_str(text);
            return;
        };
        out.push_str(open);
        if let Ok(idx) = u32::try_from(idx) {
            let PacketRef { timestamp, orig_head, skb, .. } = packet;
            let lost = Some(lost).filter(|lost| *lost > 0);
            let parent_idx = parent_idx.and_then(|idx| u32::try_from(idx).ok());
            let skb = PacketId { orig_head, timestamp, skb };
            push_section(&TrackingSection { skb, idx, lost, parent_idx }, out);
        }
        if let Some(verdict) = &self.verdict {
            push_section(verdict, out);
        }
        out.push('}');
    }
}

/// Appends a further section to an event.
fn push_section<S: Section>(section: &S, out: &mut String) {
    out.push_str(",\"");
    out.push_str(S::NAME);
    out.push_str("\":");
    out.push_str(&serde_json::to_string(section).expect("numbers and texts can be written"));
}
