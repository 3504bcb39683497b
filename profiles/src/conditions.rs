// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When an entry of a profile applies.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

use crate::error::ProfileError;
use crate::text::{parsed_if_there, printable};
use crate::version::{Version, VersionRange};

/// What a profile can ask about the kernel that it is used on.
pub trait Conditions {
    /// The release, as `uname -r` prints it.
    fn kernel_release(&self) -> &str;
    /// Whether there is a kernel function of this name.
    fn has_symbol(&self, name: &str) -> bool;
    /// Whether there is this tracepoint.
    fn has_tracepoint(&self, group: &str, name: &str) -> bool;
}

/// Conditions, all of which must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map of conditions")]
pub(crate) struct When {
    #[serde(default, deserialize_with = "parsed_if_there")]
    kernel: Option<VersionRange>,
    #[serde(default, deserialize_with = "parsed_if_there")]
    symbol: Option<Symbol>,
    #[serde(default, deserialize_with = "parsed_if_there")]
    tracepoint: Option<Tracepoint>,
    #[serde(default, deserialize_with = "negated")]
    not: Option<Box<When>>,
}

impl When {
    /// # Errors
    /// When the version of the kernel matters and can't be read from its release.
    pub(crate) fn holds(&self, conditions: &dyn Conditions) -> Result<bool, ProfileError> {
        if let Some(range) = &self.kernel {
            let release = conditions.kernel_release();
            let version = Version::of_release(release).ok_or_else(|| ProfileError::Release(printable(release)))?;
            if !range.contains(version) {
                return Ok(false);
            }
        }
        if self.symbol.as_ref().is_some_and(|symbol| !conditions.has_symbol(&symbol.0)) {
            return Ok(false);
        }
        if self.tracepoint.as_ref().is_some_and(|Tracepoint { group, name }| !conditions.has_tracepoint(group, name)) {
            return Ok(false);
        }
        match &self.not {
            Some(not) => Ok(!not.holds(conditions)?),
            None => Ok(true),
        }
    }

    fn is_empty(&self) -> bool {
        self.kernel.is_none() && self.symbol.is_none() && self.tracepoint.is_none() && self.not.is_none()
    }
}

/// Nothing in `not` would mean never, which nobody writes on purpose.
fn negated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<When>>, D::Error> {
    let when = When::deserialize(deserializer)?;
    if when.is_empty() {
        return Err(de::Error::custom("`not` is empty"));
    }
    Ok(Some(Box::new(when)))
}

#[derive(Clone, Debug)]
struct Symbol(String);

impl FromStr for Symbol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if is_identifier(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("`{}` is no name of a function", printable(text)))
    }
}

#[derive(Clone, Debug)]
struct Tracepoint {
    group: String,
    name: String,
}

impl FromStr for Tracepoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((group, name)) if is_identifier(group) && is_identifier(name) => {
                Ok(Self { group: group.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("`{}` is no tracepoint, as `net:netif_rx` is", printable(text))),
        }
    }
}

/// Compilers put a dot into the names of functions that they have changed, as in `foo.isra.0`; tracepoint groups may have a `-`.
fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '$'))
}
