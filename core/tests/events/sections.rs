// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sections as collectors have them, in small: enough to see where text goes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracer_core::event::clues::{Clues, Question};
use tracer_core::event::core_sections::Link;
use tracer_core::event::section::{Place, Section, SectionDescriptor};
use tracer_core::event::section_table::SectionTable;
use tracer_core::event::text::{Escaped, TextOptions};

/// Some sections of each place; `ct` and others stay unknown.
pub(crate) fn table() -> SectionTable {
    SectionTable::with_sections([
        SectionDescriptor::of::<SkbTracking>(),
        SectionDescriptor::of::<Packet>(),
        SectionDescriptor::of::<Netns>(),
        SectionDescriptor::of::<Dev>(),
        SectionDescriptor::of::<Nft>(),
        SectionDescriptor::of::<SkbDrop>(),
        SectionDescriptor::of::<Rule>(),
        SectionDescriptor::of::<Daemon>(),
    ])
    .unwrap()
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct SkbTracking {
    orig_head: u64,
    timestamp: u64,
    skb: u64,
    link: Option<Link<'static>>,
}

impl Section for SkbTracking {
    const NAME: &'static str = "skb-tracking";
    const PLACE: Place = Place::Header;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "#{:x}{:x} (skb {:x})", self.timestamp, self.orig_head, self.skb)?;
        match &self.link {
            Some(link) => write!(out, " {link}"),
            None => Ok(()),
        }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Packet {
    len: u32,
}

impl Section for Packet {
    const NAME: &'static str = "packet";
    const PLACE: Place = Place::Packet;

    fn write_text(&self, out: &mut dyn fmt::Write, options: &TextOptions) -> fmt::Result {
        if options.link_layer {
            out.write_str("ethernet ")?;
        }
        write!(out, "len {}", self.len)
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Netns {
    inum: u32,
}

impl Section for Netns {
    const NAME: &'static str = "netns";
    const PLACE: Place = Place::Namespace;

    /// Says nothing about the initial namespace.
    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        match self.inum {
            4026531840 => Ok(()),
            inum => write!(out, "ns {inum}"),
        }
    }

    fn tell<'a>(json: &'a str, clues: &mut Clues<'a>) {
        if let Ok(Self { inum }) = serde_json::from_str(json) {
            clues.namespace = Some((None, inum));
        }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Dev {
    name: String,
    ifindex: u32,
}

impl Section for Dev {
    const NAME: &'static str = "dev";
    const PLACE: Place = Place::Device;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "if {} ({})", self.ifindex, Escaped(&self.name))
    }

    fn tell<'a>(json: &'a str, clues: &mut Clues<'a>) {
        if let Ok(Self { name, ifindex }) = serde_json::from_str(json) {
            clues.device = Some((name.into(), ifindex));
        }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Nft {
    verdict: String,
    /// Files don't have it: stands for a section that has changed.
    needed: u32,
}

impl Section for Nft {
    const NAME: &'static str = "nft";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "{}", Escaped(&self.verdict))
    }
}

/// Tells of drops.
#[derive(Serialize, Deserialize, JsonSchema)]
struct SkbDrop {
    drop_reason: String,
    subsys: Option<String>,
    location: Option<String>,
}

impl Section for SkbDrop {
    const NAME: &'static str = "skb-drop";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "drop ({})", Escaped(&self.drop_reason))
    }

    fn tell<'a>(json: &'a str, clues: &mut Clues<'a>) {
        let Ok(Self { drop_reason, subsys, location }) = serde_json::from_str(json) else {
            return;
        };
        let clue = clues.dropped();
        clue.reason = Some(drop_reason.into());
        clue.subsys = subsys.map(Into::into);
        clue.location = location.map(Into::into);
    }
}

/// Knows who decides about packets.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Rule {
    drop: String,
}

impl Section for Rule {
    const NAME: &'static str = "rule";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "rule {}", Escaped(&self.drop))
    }

    fn tell<'a>(json: &'a str, clues: &mut Clues<'a>) {
        if let Ok(Self { drop }) = serde_json::from_str(json) {
            clues.dropped().by = Some(drop.into());
        }
    }
}

/// Tells of a program that is asked about packets.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Daemon {
    id: u64,
    answers: bool,
}

impl Section for Daemon {
    const NAME: &'static str = "daemon";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        write!(out, "question {}", self.id)
    }

    fn tell<'a>(json: &'a str, clues: &mut Clues<'a>) {
        if let Ok(Self { id, answers }) = serde_json::from_str(json) {
            let asked = Question::Asked { whom: "the daemon", id };
            clues.question = Some(if answers { Question::Answered { id } } else { asked });
        }
    }
}
