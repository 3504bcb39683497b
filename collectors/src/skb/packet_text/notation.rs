// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The small forms that several protocols share: sets of flags, and text from packets.

use std::fmt;

/// The names of the bits that are set, in brackets and with commas: `[P,C]`, `[none]`.
pub(super) struct Flags<'a> {
    pub(super) bits: u16,
    /// A bit and its name, in the order in which they are shown.
    pub(super) names: &'a [(u16, &'a str)],
}

impl fmt::Display for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "[";
        for (_, name) in self.names.iter().filter(|(bit, _)| self.bits & bit != 0) {
            write!(f, "{separator}{name}")?;
            separator = ",";
        }
        f.write_str(if separator == "[" { "[none]" } else { "]" })
    }
}

/// Bytes of a name that are shown: as many as LLDP allows it. A hostile packet could be one long name.
const MAX_SHOWN: usize = 255;

/// Text that a packet carries: in quotes, and what is not printable ASCII escaped.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, end) = shown(self.0);
        write!(f, "\"{}\"{end}", bytes.escape_ascii())
    }
}

/// Bytes as a number in hexadecimal, `0x` in front.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, end) = shown(self.0);
        f.write_str("0x")?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(end)
    }
}

/// The bytes to show, and what stands for the others.
fn shown(bytes: &[u8]) -> (&[u8], &'static str) {
    match bytes.get(..MAX_SHOWN) {
        Some(head) if bytes.len() > MAX_SHOWN => (head, "..."),
        _ => (bytes, ""),
    }
}
