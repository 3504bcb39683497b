// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an event says about where a packet is and what becomes of it: filled in by the sections of the event, each of which
//! knows what its own fields mean.

use std::borrow::Cow;

use super::line::EventLine;
use super::section_table::SectionTable;

/// What one event says about its packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clues<'a> {
    /// The place in the code.
    pub symbol: Option<Cow<'a, str>>,
    /// What is known to happen to packets there.
    pub stage: Stage,
    /// Name and index of the device that the packet is on.
    pub device: Option<(Cow<'a, str>, u32)>,
    /// Name, if it has one, and number of the network namespace.
    pub namespace: Option<(Option<Cow<'a, str>>, u32)>,
    /// How the packet ends here, or seems to.
    pub fate: Option<Fate<'a>>,
    /// Somebody outside the kernel is asked what to do with it, or has answered.
    pub question: Option<Question>,
}

/// What is to be done with the packet is asked of a program, which may send it back or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The packet, or a copy of it, is with that program.
    Asked {
        /// Its name.
        whom: &'static str,
        /// The question.
        id: u64,
    },
    /// It has come back.
    Answered {
        /// The question.
        id: u64,
    },
}

/// What is known to happen to packets in some place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is known about it.
    #[default]
    Somewhere,
    /// They are on their way: what seemed to be an end before was none.
    Passing,
    /// They are cleared away after their end, or nothing happens to them at all, as at the return of a function.
    Aside,
}

/// How a packet ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate<'a> {
    /// It is handed to whom it is for: "a UDP socket", "ICMP".
    Delivered {
        /// To whom, as in "delivered to ...".
        to: Cow<'a, str>,
    },
    /// It is handed to the driver of its device.
    Transmitted,
    /// It is dropped.
    Dropped(DropClue<'a>),
    /// It is used up as it should be, for whatever it was good.
    Consumed,
}

/// What is known about a drop. Several events may tell of one, each something else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropClue<'a> {
    /// Why, in the kernel's words.
    pub reason: Option<Cow<'a, str>>,
    /// The subsystem whose reason it is, unless it is the network core.
    pub subsys: Option<Cow<'a, str>>,
    /// The place in the code.
    pub location: Option<Cow<'a, str>>,
    /// Who decided it, as in "dropped by ...": a rule, a program.
    pub by: Option<Cow<'a, str>>,
}

impl<'a> Clues<'a> {
    /// What `event` says, as far as its sections are known.
    pub fn of(event: &EventLine<'a>, sections: &SectionTable) -> Self {
        let mut clues = Self::default();
        for section in event.sections() {
            if let Some(known) = sections.get(&section.name) {
                (known.clues)(section.json, &mut clues);
            }
        }
        clues
    }

    /// Says that the packet is dropped here; what is known about it can be filled in.
    pub fn dropped(&mut self) -> &mut DropClue<'a> {
        if !matches!(self.fate, Some(Fate::Dropped(_))) {
            self.fate = Some(Fate::Dropped(DropClue::default()));
        }
        match &mut self.fate {
            Some(Fate::Dropped(clue)) => clue,
            _ => unreachable!("it was set a moment ago"),
        }
    }
}

impl DropClue<'_> {
    /// Adds what a later event tells about the same drop. Who tells first is nearer to the cause and knows it better.
    pub(super) fn add(&mut self, later: DropClue<'static>) {
        if self.reason.is_none() {
            (self.reason, self.subsys) = (later.reason, later.subsys);
        }
        self.location = self.location.take().or(later.location);
        self.by = self.by.take().or(later.by);
    }

    /// The same, independent of the event.
    pub(super) fn into_owned(self) -> DropClue<'static> {
        DropClue {
            reason: self.reason.map(owned),
            subsys: self.subsys.map(owned),
            location: self.location.map(owned),
            by: self.by.map(owned),
        }
    }
}

impl Fate<'_> {
    /// The same, independent of the event.
    pub(super) fn into_owned(self) -> Fate<'static> {
        match self {
            Self::Delivered { to } => Fate::Delivered { to: owned(to) },
            Self::Transmitted => Fate::Transmitted,
            Self::Dropped(clue) => Fate::Dropped(clue.into_owned()),
            Self::Consumed => Fate::Consumed,
        }
    }
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}
