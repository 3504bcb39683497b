// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Texts in a profile that have a form of their own. They are checked while the file is read, so that an error has its line.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{self, Visitor};

/// Reads a text that has to be a `T`. Takes numbers as they are written: `6.10` is not `6.1`.
pub(crate) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    deserializer.deserialize_str(ParsedText(PhantomData))
}

/// The same where the text may be left out; when its key is there, so must be the text.
pub(crate) fn parsed_if_there<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    parsed(deserializer).map(Some)
}

struct ParsedText<T>(PhantomData<T>);

impl<T> Visitor<'_> for ParsedText<T>
where
    T: FromStr<Err: fmt::Display>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// The name of a profile, which is also a file name and an argument: letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug)]
pub(crate) struct Name(pub(crate) String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("`{}` is no name of a profile: letters, digits, `-`, `_` and `.` make one", printable(text)))
    }
}

/// Text for people, safe to show on a terminal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prose(pub(crate) String);

impl FromStr for Prose {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.trim().is_empty() {
            return Err("the text is empty");
        }
        if text.contains(|c: char| c.is_control() && c != '\n') {
            return Err("the text contains control characters");
        }
        Ok(Self(text.trim().to_owned()))
    }
}

/// `text` with control characters escaped, for messages.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}
