// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How events are shown to people.

use std::fmt::{self, Write as _};

/// What the user chose about text output.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextOptions {
    /// Show the link-layer header (`-e`).
    pub link_layer: bool,
}

/// Text of foreign origin, shown with its control characters escaped (`\u{1b}`, `\n`), so that it cannot drive a terminal.
/// Characters that turn the direction of writing or end a line are escaped too.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control()
                || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}
