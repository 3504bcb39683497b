// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is wrong with a filter, and where.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use tracer_core::error::{Error, ErrorKind};

/// The languages in which filters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// libpcap's syntax, as given to `-f`.
    Packet,
    /// Expressions over `sk_buff`, as given to `-m`.
    Metadata,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Packet => "packet filter",
            Self::Metadata => "metadata filter",
        })
    }
}

/// A filter that can't be used: what is wrong and, where that is known, which part of the text.
///
/// Reads as two or three lines: the reason, the line of the text that it is about, and a mark under that part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FilterError {
    language: Language,
    text: String,
    problem: String,
    /// In bytes of `text`.
    place: Option<Range<usize>>,
    hint: Option<Cow<'static, str>>,
}

impl FilterError {
    /// Says what is wrong with `text`. The problem is a phrase in lower case, without a period.
    pub fn new(language: Language, text: &str, problem: impl Into<String>) -> Self {
        Self { language, text: text.to_owned(), problem: problem.into(), place: None, hint: None }
    }

    /// Adds which part of the text is wrong, in bytes. A place at the end of the text says that something is missing there.
    #[must_use]
    pub fn at(mut self, place: Range<usize>) -> Self {
        self.place = Some(place);
        self
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The filter's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// Where: the first character that is wrong, counted from 1.
    pub fn column(&self) -> Option<usize> {
        self.place.as_ref().map(|place| self.text[..place.start].chars().count() + 1)
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// Characters of a text that a message shows.
const SHOWN: usize = 200;

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One character stands for one column, whatever a terminal would make of it.
        let visible = |text: &str| text.replace(char::is_control, "\u{fffd}");
        write!(f, "{}", self.language)?;
        if let Some(column) = self.column() {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", visible(&self.problem))?;
        if self.text.trim().is_empty() {
            return Ok(());
        }
        // Of a long text only what is around the place.
        let (length, column) = (self.text.chars().count(), self.column().unwrap_or(1));
        let skipped = if length > SHOWN { column.saturating_sub(SHOWN / 2).min(length - SHOWN) } else { 0 };
        let shown: String = self.text.chars().skip(skipped).take(SHOWN).collect();
        let (before, behind) =
            (if skipped > 0 { "..." } else { "" }, if skipped + SHOWN < length { "..." } else { "" });
        write!(f, "\n    {before}{}{behind}", visible(&shown))?;
        if let Some(place) = &self.place {
            let (indent, room) = (before.len() + column - 1 - skipped, skipped + SHOWN + 1 - column);
            let width = self.text[place.clone()].chars().count().clamp(1, room.max(1));
            write!(f, "\n    {:indent$}{:^<width$}", "", "^")?;
        }
        Ok(())
    }
}

impl From<FilterError> for Error {
    fn from(mut error: FilterError) -> Self {
        let hint = error.hint.take();
        let error = Self::new(ErrorKind::BadFilter, error);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_the_part_that_is_wrong() {
        let error = FilterError::new(Language::Packet, "host früh and tcp", "unknown host `früh`").at(5..10);
        assert_eq!(
            error.to_string(),
            "packet filter, column 6: unknown host `früh`\n    host früh and tcp\n         ^^^^"
        );
        assert_eq!(error.column(), Some(6));
    }

    #[test]
    fn marks_what_is_missing_behind_the_end() {
        let error = FilterError::new(Language::Metadata, "sk_buff.len >", "a value is missing").at(13..13);
        assert_eq!(
            error.to_string(),
            "metadata filter, column 14: a value is missing\n    sk_buff.len >\n                 ^"
        );
    }

    #[test]
    fn keeps_control_characters_from_the_terminal() {
        let error = FilterError::new(Language::Packet, "tcp\u{1b}[2J", "syntax error");
        assert_eq!(error.to_string(), "packet filter: syntax error\n    tcp\u{fffd}[2J");
    }

    #[test]
    fn is_a_bad_filter_with_the_hint() {
        let error =
            Error::from(FilterError::new(Language::Packet, "x", "syntax error").with_hint("see pcap-filter(7)"));
        assert_eq!((error.kind(), error.hint()), (ErrorKind::BadFilter, Some("see pcap-filter(7)")));
    }
}
