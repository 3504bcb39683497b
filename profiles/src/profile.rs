// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A profile, read from its YAML.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tracer_core::error::Error;

use crate::args::{Arg, Args};
use crate::conditions::{Conditions, When};
use crate::error::ProfileError;
use crate::text::{Name, Prose, parsed, parsed_if_there, printable};

/// Options for a kind of task.
#[derive(Clone, Debug)]
pub struct Profile {
    name: String,
    about: String,
    origin: Origin,
    collect: Vec<Entry>,
}

/// Where a profile comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is part of the program.
    BuiltIn {
        /// Its name.
        name: &'static str,
    },
    /// A file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn { name } => write!(f, "{name} (built in)"),
            Self::File(path) => f.write_str(&printable(&path.to_string_lossy())),
        }
    }
}

impl Profile {
    /// Reads a profile. `origin` is where `text` comes from.
    ///
    /// # Errors
    /// When the text is no YAML or not a profile; the message names the origin, the line and the key.
    pub fn parse(text: &str, origin: Origin) -> Result<Self, Error> {
        Ok(Self::read(text, origin)?)
    }

    pub(crate) fn read(text: &str, origin: Origin) -> Result<Self, ProfileError> {
        if text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > MOST_BRACKETS {
            let message = format!("there are more than {MOST_BRACKETS} brackets");
            return Err(ProfileError::Malformed { origin, line: None, message });
        }
        let malformed = |error| ProfileError::malformed(&origin, &error);
        // First and alone: a later version may have keys that are unknown here, and they would be blamed otherwise.
        serde_yaml::from_str::<Versioned>(text).map_err(malformed)?;
        let document: Document = serde_yaml::from_str(text).map_err(malformed)?;
        Ok(Self { name: document.name.0, about: document.about.0, origin, collect: document.collect })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is good for, in a sentence or two. May be empty.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Where it comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The options of `tracer collect` that it sets on a kernel: those of all entries whose conditions hold, in their order.
    ///
    /// # Errors
    /// When no entry's conditions hold, or one asks for the version of a kernel that does not tell it.
    pub fn collect_args(&self, conditions: &dyn Conditions) -> Result<Vec<Arg>, Error> {
        let mut args = Vec::new();
        let mut applies = false;
        for entry in &self.collect {
            if entry.when.holds(conditions)? {
                applies = true;
                args.extend_from_slice(&entry.args.0);
            }
        }
        if !applies {
            let release = printable(conditions.kernel_release());
            return Err(ProfileError::NothingApplies { name: self.name.clone(), release }.into());
        }
        Ok(args)
    }
}

/// The time that the YAML parser needs grows with the square of how deep lists and maps in brackets are nested.
const MOST_BRACKETS: usize = 1000;

/// What one file may have, because aliases cost its writer nothing.
const MOST_ENTRIES: usize = 100;

/// What every version of the format has.
#[derive(Deserialize)]
#[serde(expecting = "a map with `version`, `name`, `about`, `collect`")]
struct Versioned {
    #[serde(rename = "version", deserialize_with = "parsed")]
    _version: FormatVersion,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "version", deserialize_with = "parsed")]
    _version: FormatVersion,
    #[serde(deserialize_with = "parsed")]
    name: Name,
    #[serde(default, deserialize_with = "parsed")]
    about: Prose,
    #[serde(deserialize_with = "entries")]
    collect: Vec<Entry>,
}

/// Options, and when they are set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with `name`, `when`, `args`")]
struct Entry {
    /// For the reader of the file only.
    #[serde(rename = "name", default, deserialize_with = "parsed_if_there")]
    _name: Option<Prose>,
    #[serde(default)]
    when: When,
    args: Args,
}

fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
    struct EntriesVisitor;

    impl<'de> Visitor<'de> for EntriesVisitor {
        type Value = Vec<Entry>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of entries with `args`")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Entry>, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = list.next_element()? {
                if entries.len() == MOST_ENTRIES {
                    return Err(de::Error::custom(format!("there are more than {MOST_ENTRIES} entries")));
                }
                entries.push(entry);
            }
            if entries.is_empty() {
                return Err(de::Error::custom("the list is empty"));
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_seq(EntriesVisitor)
}

struct FormatVersion;

impl FromStr for FormatVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1" | "1.0" => Ok(Self),
            _ => Err(format!("`{}` is not known: this program reads version 1", printable(text))),
        }
    }
}

#[cfg(test)]
mod tests;
