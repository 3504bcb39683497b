// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The small forms that several protocols share: sets of flags, and bytes and text from packets.

use std::fmt::{self, Write as _};

/// Longer texts than this are cut: a packet must not fill the screen.
const MAX_TEXT: usize = 64;

/// Longer data than this is cut.
const MAX_HEX: usize = 32;

/// An IPv4 address. The standard library formats each byte as a number of its own: with the ports, a
/// third of the instructions for a line of TCP.
pub(super) struct Ipv4(pub(super) [u8; 4]);

impl fmt::Display for Ipv4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"255.255.255.255";
        let mut len = 0;
        let mut push = |sign| {
            text[len] = sign;
            len += 1;
        };
        for (index, byte) in self.0.into_iter().enumerate() {
            if index > 0 {
                push(b'.');
            }
            for (power, unless_leading) in [(100, byte >= 100), (10, byte >= 10), (1, true)] {
                if unless_leading {
                    push(b'0' + byte / power % 10);
                }
            }
        }
        f.write_str(str::from_utf8(&text[..len]).unwrap_or_default())
    }
}

/// Text out of a packet: in quotes, and what is not printable ASCII escaped.
pub(super) struct Quoted<'a>(pub(super) &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, end) = cut(self.0, MAX_TEXT);
        write!(f, "\"{}\"{end}", shown.escape_ascii())
    }
}

/// Bytes in hexadecimal, two digits each, with nothing in between.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, end) = cut(self.0, MAX_HEX);
        shown.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(end)
    }
}

/// The bytes to show, and what stands for the others.
fn cut(bytes: &[u8], limit: usize) -> (&[u8], &'static str) {
    match bytes.get(..limit) {
        Some(head) if bytes.len() > limit => (head, "..."),
        _ => (bytes, ""),
    }
}

/// The names of the bits that are set, in brackets and with commas: `[P,C]`, `[none]`.
pub(super) struct Flags<'a> {
    pub(super) bits: u16,
    /// A bit and its name, in the order in which they are shown.
    pub(super) names: &'a [(u16, &'a str)],
}

impl fmt::Display for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.names.iter().filter(|(bit, _)| self.bits & bit != 0).map(|(_, name)| *name);
        if write_list(f, "[", set)? { Ok(()) } else { f.write_str("[none]") }
    }
}

/// The names of what is set, with a space in front: ` [DF,+]`. Nothing when none is.
pub(super) struct RareFlags<'a>(pub(super) &'a [(bool, &'a str)]);

impl fmt::Display for RareFlags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, " [", self.0.iter().filter(|(set, _)| *set).map(|(_, name)| *name)).map(drop)
    }
}

/// Writes names behind `open`, and whether there were any.
fn write_list<'a>(
    f: &mut fmt::Formatter<'_>,
    open: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<bool, fmt::Error> {
    let mut separator = open;
    for name in names {
        f.write_str(separator)?;
        f.write_str(name)?;
        separator = ",";
    }
    let any = separator == ",";
    if any {
        f.write_char(']')?;
    }
    Ok(any)
}
