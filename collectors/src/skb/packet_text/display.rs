// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Bytes of a packet that are shown to people.

use std::fmt::{self, Write as _};

/// Longer texts than this are cut: a packet must not fill the screen.
const MAX_TEXT: usize = 64;

/// Longer data than this is cut.
const MAX_HEX: usize = 32;

/// Text out of a packet, in quotes, with all that is not plain ASCII escaped.
pub(super) struct Quoted<'a>(pub(super) &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..MAX_TEXT).unwrap_or(self.0);
        write!(f, "\"{}\"{}", shown.escape_ascii(), if shown.len() < self.0.len() { "..." } else { "" })
    }
}

/// Bytes in hexadecimal, two digits each, with nothing in between.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..MAX_HEX).unwrap_or(self.0);
        shown.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        if shown.len() < self.0.len() { f.write_str("...") } else { Ok(()) }
    }
}

/// Names of the bits that are set, between brackets and with a space in front: ` [DF,+]`. Nothing when none is.
pub(super) struct Flags<'a>(pub(super) &'a [(bool, &'a str)]);

impl fmt::Display for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = " [";
        for (_, name) in self.0.iter().filter(|(set, _)| *set) {
            write!(f, "{separator}{name}")?;
            separator = ",";
        }
        if separator == "," { f.write_char(']') } else { Ok(()) }
    }
}
