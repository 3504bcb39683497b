// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a section of an event is: a typed value that can be written as JSON, read back, described and shown as text.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::clues::Clues;
use super::text::TextOptions;

/// Where the text of a section stands in the text of its event.
///
/// The order of the variants is the order on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On the header line, behind the time and the probe.
    Header,
    /// On a line of its own, directly below the header: the packet itself.
    Packet,
    /// On the line that says where the packet is, first: its network namespace.
    Namespace,
    /// On the same line, behind: its device.
    Device,
    /// On a line of its own, after the others.
    Line,
}

/// A collector's part of an event.
///
/// `Serialize` gives the JSON that `docs/events.md` promises; a value that was written can be read back and shown, so that
/// live text and the text of a stored file cannot differ.
pub trait Section: Serialize + JsonSchema {
    /// The key in the JSON event, e.g. `skb-tracking`.
    const NAME: &'static str;
    /// Where its text goes.
    const PLACE: Place;

    /// Writes the section in one line, without a newline at the end.
    ///
    /// Text that comes from the kernel or from a file must pass through [`Escaped`](super::text::Escaped).
    ///
    /// # Errors
    /// Only those of `out`.
    fn write_text(&self, out: &mut dyn fmt::Write, options: &TextOptions) -> fmt::Result;

    /// Adds what the section, which reads `json`, says about where the packet is and how it ends. What can't be read says
    /// nothing. It is asked of every event that is sorted: only what is needed should be read.
    fn tell<'a>(json: &'a str, clues: &mut Clues<'a>) {
        let _ = (json, clues);
    }
}

/// A section type with its type erased: what readers, the schema and the docs work with.
#[derive(Clone, Copy, Debug)]
pub struct SectionDescriptor {
    /// The key in the JSON event.
    pub name: &'static str,
    /// Where the section's text goes.
    pub place: Place,
    /// Reads the section's JSON and appends its text.
    pub write_text: fn(json: &str, out: &mut dyn fmt::Write, options: &TextOptions) -> Result<(), SectionError>,
    /// Adds what the section's JSON says about where the packet is and how it ends.
    pub clues: for<'a> fn(json: &'a str, clues: &mut Clues<'a>),
    /// The JSON schema of the section's value.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl SectionDescriptor {
    /// The descriptor of section type `S`.
    pub const fn of<S: Section + DeserializeOwned>() -> Self {
        Self {
            name: S::NAME,
            place: S::PLACE,
            write_text: |json, out, options| {
                let section: S = serde_json::from_str(json).map_err(SectionError::Json)?;
                section.write_text(out, options).map_err(SectionError::Write)
            },
            clues: |json, clues| S::tell(json, clues),
            schema: |generator| generator.subschema_for::<S>(),
        }
    }
}

/// Why a stored section could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum SectionError {
    /// The JSON is not what this section looks like.
    #[error("not readable as this section")]
    Json(#[source] serde_json::Error),
    /// The text could not be written.
    #[error("could not be written as text")]
    Write(#[source] fmt::Error),
}
