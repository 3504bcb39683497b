// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A profile, read from its YAML.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
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
        let malformed = |error| ProfileError::malformed(&origin, &error);
        // First and alone: a later version may have keys that are unknown here, and they would be blamed otherwise.
        serde_yaml::from_str::<Versioned>(text).map_err(malformed)?;
        let document: Document = serde_yaml::from_str(text).map_err(malformed)?;
        if document.collect.is_empty() {
            return Err(ProfileError::Malformed { origin, line: None, message: "`collect` is empty".to_owned() });
        }
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

struct FormatVersion;

impl FromStr for FormatVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1" | "1.0" => Ok(Self),
            _ => Err(format!("`{}` is a version of the format that is not known here, 1 is", printable(text))),
        }
    }
}

#[cfg(test)]
mod tests;
