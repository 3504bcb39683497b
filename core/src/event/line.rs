// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One stored event: its sections as the text that they have in the file, and typed access to what readers need.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::core_sections::{Link, LossSection, PacketKey, StartupSection, TrackingSection};
use super::section::Section as _;
use super::verdict_section::{InFlightSection, VerdictSection};
use crate::session::is_lost_event;

/// An event as it stands in a file. Nothing of it is lost: sections, keys and numbers that this program does not know
/// are still there, byte for byte.
#[derive(Clone, Debug)]
pub struct EventLine<'a> {
    text: &'a str,
    timestamp: u64,
    sections: Vec<RawSection<'a>>,
}

/// A section as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSection<'a> {
    /// Its key in the event.
    pub name: Cow<'a, str>,
    /// Its value.
    pub json: &'a str,
}

/// Which packet an event belongs to, out of its section `skb-tracking`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct PacketRef {
    /// With `orig_head` the id of the packet: when it was first seen, in nanoseconds of CLOCK_MONOTONIC.
    pub timestamp: u64,
    /// With `timestamp` the id of the packet: the address of its data when it was first seen.
    pub orig_head: u64,
    /// The address of the `struct sk_buff`.
    #[serde(default)]
    pub skb: u64,
    /// The number of this hit among all of the packet, from 0. Files of Retis don't have it.
    pub seq: Option<u64>,
}

impl PacketRef {
    /// The packet's id.
    pub fn key(&self) -> PacketKey {
        PacketKey { timestamp: self.timestamp, orig_head: self.orig_head }
    }
}

/// Where an event stands in its series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesPlace {
    /// Its number: at 0 a new series begins.
    pub idx: u64,
    /// How many hits of the packet were lost since the event before.
    pub lost: u64,
    /// When the packet came out of another one here: the number of the other one's last event before that, if there is one.
    pub parent_idx: Option<u64>,
}

/// The section that says which packet an event belongs to. The collector `skb-tracking` shows it; its fields are the
/// core's, because the core tracks.
pub const PACKET_SECTION: &str = "skb-tracking";

impl<'a> EventLine<'a> {
    /// Reads the event in `text`: one JSON object, with white space around it at most.
    ///
    /// # Errors
    /// When `text` is no JSON, no object, has a section twice, or has no `common.timestamp`.
    pub fn parse(text: &'a str) -> Result<Self, EventError> {
        let mut line = Self::members(trim(text))?;
        line.timestamp = line.light::<Timestamp>("common")?.ok_or(EventError::NoCommon)?.timestamp;
        Ok(line)
    }

    fn members(text: &'a str) -> serde_json::Result<Self> {
        let Members(sections) = serde_json::from_str(text)?;
        Ok(Self { text, timestamp: 0, sections })
    }

    /// The whole event as it stands in the file.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// When it happened, in nanoseconds of CLOCK_MONOTONIC.
    pub fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// The sections, in the order of the file.
    pub fn sections(&self) -> &[RawSection<'a>] {
        &self.sections
    }

    /// The JSON of section `name`.
    pub fn section(&self, name: &str) -> Option<&'a str> {
        self.sections.iter().find(|section| section.name == name).map(|section| section.json)
    }

    /// The packet that the event belongs to, if it belongs to one.
    ///
    /// # Errors
    /// When the section has not the fields that make up a packet's id.
    pub fn packet(&self) -> Result<Option<PacketRef>, EventError> {
        self.light(PACKET_SECTION)
    }

    /// What the packet has to do with another one, as far as the event says it. A link that can't be read is none: that is
    /// no reason to refuse the event.
    pub fn link(&self) -> Option<Link<'a>> {
        #[derive(serde::Deserialize)]
        struct Linked<'a> {
            #[serde(borrow)]
            link: Option<Link<'a>>,
        }
        self.light::<Linked<'a>>(PACKET_SECTION).ok().flatten()?.link
    }

    /// How the packet came out of another, when this is its first event and says so.
    pub(super) fn branch(&self) -> Option<Link<'a>> {
        self.link().filter(|link| !link.absorbs())
    }

    /// Number `idx` of a sorted file's series, and what the file says about that place.
    pub fn place(&self, idx: u64) -> SeriesPlace {
        #[derive(Default, serde::Deserialize)]
        struct Tracking {
            #[serde(default)]
            lost: u64,
            parent_idx: Option<u64>,
        }
        // Where it can't be read, nothing is known to be lost.
        let tracking = self.light::<Tracking>(TrackingSection::NAME).ok().flatten().unwrap_or_default();
        SeriesPlace { idx, lost: tracking.lost, parent_idx: tracking.parent_idx }
    }

    /// What a sorted file says about what became of the packet, in words.
    pub(super) fn verdict(&self) -> Option<Cow<'a, str>> {
        #[derive(serde::Deserialize)]
        struct Verdict<'a> {
            #[serde(borrow)]
            text: Cow<'a, str>,
        }
        self.light::<Verdict<'a>>(VerdictSection::NAME).ok().flatten().map(|verdict| verdict.text)
    }

    /// Whether a recording begins here, in a file where several may have been put together: this is a startup event, and not
    /// that of a later part of a recording in several files.
    pub(super) fn begins_recording(&self) -> bool {
        #[derive(serde::Deserialize)]
        struct Startup {
            split_file: Option<Part>,
        }
        #[derive(serde::Deserialize)]
        struct Part {
            id: u64,
        }
        match self.light::<Startup>(StartupSection::NAME) {
            Ok(None) => false,
            Ok(Some(startup)) => startup.split_file.is_none_or(|part| part.id == 0),
            Err(_) => true,
        }
    }

    /// Whether the event says something about the recording, which is needed whichever packets are of interest: how it was
    /// made, what was lost, or what was there at its end.
    pub(super) fn concerns_recording(&self) -> bool {
        let has = |name| self.section(name).is_some();
        has(StartupSection::NAME) || has(LossSection::NAME) || has(InFlightSection::NAME)
    }

    /// Whether it says that events were lost, and not just left out as the user wanted.
    pub(super) fn tells_of_lost_events(&self) -> bool {
        let losses = self.light::<LossSection<'_>>(LossSection::NAME).ok().flatten();
        losses.is_some_and(|losses| losses.0.iter().any(|loss| loss.count > 0 && is_lost_event(&loss.cause)))
    }

    /// Reads of section `name` only what `T` has.
    ///
    /// # Errors
    /// When the section has not what `T` must have.
    pub fn light<T: Deserialize<'a>>(&self, name: &'static str) -> Result<Option<T>, EventError> {
        let Some(json) = self.section(name) else {
            return Ok(None);
        };
        match serde_json::from_str(json) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(EventError::Section { name, error: error.into() }),
        }
    }

    /// The event without the sections called `names`, otherwise byte for byte as it was.
    pub fn without(&self, names: &[&str]) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(self.text);
        for name in names {
            if self.section(name).is_none() {
                continue;
            }
            // Where others were taken out already, everything is elsewhere.
            text = match text {
                Cow::Borrowed(_) => Cow::Owned(self.without_section(name)),
                Cow::Owned(text) => match EventLine::members(&text) {
                    Ok(rest) => Cow::Owned(rest.without_section(name)),
                    Err(_) => Cow::Owned(text),
                },
            };
        }
        text
    }

    fn without_section(&self, name: &str) -> String {
        let Some(index) = self.sections.iter().position(|section| section.name == name) else {
            return self.text.to_owned();
        };
        let cut = match (index.checked_sub(1), self.sections.get(index + 1)) {
            // The comma before it goes too ...
            (Some(previous), _) => self.span(previous).end..self.span(index).end,
            // ... or the one behind it.
            (None, Some(_)) => {
                let end = self.span(index).end;
                let comma = self.text[end..].find(',').map_or(end, |comma| end + comma + 1);
                1..comma
            }
            (None, None) => 1..self.span(index).end,
        };
        format!("{}{}", &self.text[..cut.start], &self.text[cut.end..])
    }

    /// Where in `text` the value of a section is.
    fn span(&self, index: usize) -> Range<usize> {
        let json = self.sections[index].json;
        // `json` is a part of `text`.
        let start = json.as_ptr() as usize - self.text.as_ptr() as usize;
        start..start + json.len()
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// Why something is no event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It is not encoded in UTF-8.
    #[error("not UTF-8 from column {} on", .valid_up_to + 1)]
    NotUtf8 {
        /// How many bytes are.
        valid_up_to: usize,
        /// Whether only the rest of the last character is missing.
        cut_off: bool,
    },
    /// It begins like neither an event nor a series of them.
    #[error("neither a JSON object nor an array of them")]
    NotJson,
    /// In a series there is something else.
    #[error("not a JSON object, as is expected in a series")]
    NotInSeries,
    /// Events of a series follow each other in another way than elements of an array do.
    #[error("neither `,` nor `]` behind an event of a series")]
    NotSeparated,
    /// A series goes on in the next line.
    #[error("the line ends inside a series")]
    SeriesNotClosed,
    /// A series is not all that is in its line.
    #[error("more behind the end of a series")]
    BehindSeries,
    /// There are NUL bytes in the middle of the file.
    #[error("NUL bytes, as a crash may leave them in a file")]
    Nul,
    /// It is no JSON, or not of the right shape.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The section that every event has is missing.
    #[error("no section `common`")]
    NoCommon,
    /// A section that is needed has not the fields that it must have.
    #[error("section `{name}`: {error}")]
    Section {
        /// The section.
        name: &'static str,
        /// What is wrong in it.
        error: JsonError,
    },
}

impl From<serde_json::Error> for EventError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.into())
    }
}

/// An error in a piece of JSON, which has just one line.
#[derive(Debug)]
pub struct JsonError {
    error: serde_json::Error,
}

impl JsonError {
    /// The text ended too early.
    pub(super) fn is_cut_off(&self) -> bool {
        self.error.is_eof()
    }
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self { error }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // serde_json counts lines within the text that it got, which is one line of a file: its "line 1" would mislead.
        let (line, column) = (self.error.line(), self.error.column());
        let text = self.error.to_string();
        match text.strip_suffix(&format!(" at line {line} column {column}")) {
            Some(message) => write!(f, "{message} at column {column}"),
            None => f.write_str(&text),
        }
    }
}

impl std::error::Error for JsonError {}

#[derive(serde::Deserialize)]
struct Timestamp {
    timestamp: u64,
}

/// The members of a JSON object, in order and unread.
struct Members<'a>(Vec<RawSection<'a>>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event (a JSON object)")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut sections: Vec<RawSection<'de>> = Vec::with_capacity(8);
        while let Some(Key(name)) = map.next_key()? {
            let json = map.next_value::<&RawValue>()?.get();
            sections.push(RawSection { name, json });
        }
        match repeated_name(&sections) {
            Some(name) => Err(A::Error::custom(format_args!("section `{name}` occurs twice"))),
            None => Ok(Members(sections)),
        }
    }
}

fn repeated_name<'s>(sections: &'s [RawSection<'_>]) -> Option<&'s str> {
    let mut names: Vec<&str> = sections.iter().map(|section| &*section.name).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// A key: borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Borrowing<'a>(#[serde(borrow)] Cow<'a, str>);
        Borrowing::deserialize(deserializer).map(|Borrowing(name)| Self(name))
    }
}

#[cfg(test)]
mod tests {
    use super::{EventLine, PacketRef};

    fn error(text: &str) -> String {
        EventLine::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn keeps_unknown_content_as_it_stands() {
        let text = r#"{ "common" : {"timestamp":5, "x":1.50e3},"new\u0041":[ 1,18446744073709551616 ]}"#;
        let event = EventLine::parse(text).unwrap();
        assert_eq!(event.timestamp(), 5);
        assert_eq!(event.section("newA"), Some("[ 1,18446744073709551616 ]"));
        assert_eq!(event.text(), text);
    }

    #[test]
    fn finds_the_packet() {
        let event = EventLine::parse(
            r#"{"common":{"timestamp":5},"skb-tracking":{"orig_head":18446744073709551615,"timestamp":4,"skb":9}}"#,
        )
        .unwrap();
        let packet = PacketRef { timestamp: 4, orig_head: u64::MAX, skb: 9, seq: None };
        assert_eq!(event.packet().unwrap(), Some(packet));
        let event = EventLine::parse(r#"{"common":{"timestamp":5},"skb-tracking":{"skb":9}}"#).unwrap();
        assert_eq!(
            event.packet().unwrap_err().to_string(),
            "section `skb-tracking`: missing field `timestamp` at column 9"
        );
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(error("{}"), "no section `common`");
        assert_eq!(error("5"), "invalid type: integer `5`, expected an event (a JSON object) at column 1");
        assert_eq!(error(r#"{"common":{}}"#), "section `common`: missing field `timestamp` at column 2");
        assert_eq!(error(r#"{"a":1,"b":2,"a":3}"#), "section `a` occurs twice at column 19");
        assert_eq!(error(r#"{"common":{"timestamp":1}} x"#), "trailing characters at column 28");
    }

    #[test]
    fn takes_a_section_out_and_leaves_the_rest() {
        let without = |text: &str| {
            let text = text.replace("COMMON", r#""common":{"timestamp":1}"#);
            EventLine::parse(&text).unwrap().without(&["gone", "too"]).replace(r#""common":{"timestamp":1}"#, "COMMON")
        };
        assert_eq!(without(r#"{COMMON, "gone" : {"gone":1} , "b": 2 }"#), r#"{COMMON , "b": 2 }"#);
        assert_eq!(without(r#"{"gone":1 , COMMON}"#), r#"{ COMMON}"#);
        assert_eq!(without(r#"{COMMON,"gone":1}"#), r#"{COMMON}"#);
        assert_eq!(without(r#"{"too":{}, COMMON , "gone":[1],"a":1,"b":2}"#), r#"{ COMMON,"a":1,"b":2}"#);
        assert_eq!(without(r#"{"gone":1,"too":2,COMMON}"#), r#"{COMMON}"#);
        assert_eq!(without(r#"{COMMON,"a":{"gone":1}}"#), r#"{COMMON,"a":{"gone":1}}"#);
    }
}
