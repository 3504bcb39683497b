// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The options of TCP (RFC 9293, 3.1).

use std::fmt;

use etherparse::{TcpOptionElement, TcpOptionReadError, TcpOptionsIterator};

use super::mptcp::write_mptcp;
use crate::skb::packet_text::Payload;
use crate::skb::packet_text::notation::Hex;

/// Writes options with commas between them.
pub(super) fn write_options(out: &mut dyn fmt::Write, options: Payload<'_>) -> fmt::Result {
    let truncated = options.bytes.len() < options.len;
    let mut rest = options.bytes;
    let mut separator = "";
    while let Some((&kind, after_kind)) = rest.split_first() {
        out.write_str(separator)?;
        separator = ",";
        // The iterator gives up at the first option that it does not know: take one step at a time.
        let mut iterator = TcpOptionsIterator::from_slice(rest);
        match iterator.next() {
            Some(Ok(option)) => {
                write_option(out, &option)?;
                rest = iterator.rest();
            }
            // The end of the list (kind 0): what follows is padding.
            None => return out.write_str("eol"),
            Some(Err(TcpOptionReadError::UnexpectedEndOfSlice { .. })) if truncated => {
                return out.write_str("[|tcp]");
            }
            Some(Err(TcpOptionReadError::UnexpectedEndOfSlice { .. } | TcpOptionReadError::UnexpectedSize { .. })) => {
                return write!(out, "[bad opt {kind}]");
            }
            Some(Err(TcpOptionReadError::UnknownId(_))) => {
                // Kind, length of the whole option, data (RFC 9293, 3.1).
                let len = after_kind.first().copied().map(usize::from);
                match len.map(|len| (len, rest.get(len..))) {
                    Some((0 | 1, _)) => return write!(out, "[bad opt {kind}]"),
                    Some((len, Some(after))) => {
                        let before = options.bytes.len() - rest.len();
                        write_other_option(out, kind, options.skip(before).limit(len).skip(2))?;
                        rest = after;
                    }
                    Some((_, None)) | None if truncated => return out.write_str("[|tcp]"),
                    Some((_, None)) | None => return write!(out, "[bad opt {kind}]"),
                }
            }
        }
    }
    if truncated { write!(out, "{separator}[|tcp]") } else { Ok(()) }
}

/// The options of RFC 9293 (MSS), RFC 7323 (window scale, timestamps) and RFC 2018 (SACK).
fn write_option(out: &mut dyn fmt::Write, option: &TcpOptionElement) -> fmt::Result {
    match option {
        TcpOptionElement::Noop => out.write_str("nop"),
        TcpOptionElement::MaximumSegmentSize(size) => write!(out, "mss {size}"),
        TcpOptionElement::WindowScale(shift) => write!(out, "wscale {shift}"),
        TcpOptionElement::SelectiveAcknowledgementPermitted => out.write_str("sackOK"),
        TcpOptionElement::SelectiveAcknowledgement(first, more) => {
            write!(out, "sack {} ", 1 + more.iter().flatten().count())?;
            std::iter::once(first)
                .chain(more.iter().flatten())
                .try_for_each(|(left, right)| write!(out, "{{{left}:{right}}}"))
        }
        TcpOptionElement::Timestamp(value, echo) => write!(out, "TS val {value} ecr {echo}"),
    }
}

/// An option that etherparse does not know. A header has room for 40 bytes of them.
fn write_other_option(out: &mut dyn fmt::Write, kind: u8, data: Payload<'_>) -> fmt::Result {
    match (kind, data.bytes) {
        // RFC 2385.
        (19, digest) if digest.len() == 16 => write!(out, "md5 {}", Hex(digest)),
        // RFC 5482: the highest bit tells minutes from seconds.
        (28, [high, low]) => {
            let unit = if high & 0x80 == 0 { "s" } else { "min" };
            write!(out, "uto {}{unit}", u16::from_be_bytes([high & 0x7f, *low]))
        }
        // RFC 5925.
        (29, [key, next_key, mac @ ..]) => write!(out, "tcp-ao keyid {key} rnextkeyid {next_key} mac 0x{}", Hex(mac)),
        (30, _) => write_mptcp(out, data),
        (34, cookie) => write_fast_open(out, "tfo", cookie),
        // Experiments, which begin with a number of their own (RFC 6994); this one is Fast Open's (RFC 7413, 4.1.1).
        (253 | 254, [0xf9, 0x89, cookie @ ..]) => write_fast_open(out, "exp-tfo", cookie),
        (253 | 254, [high, low, rest @ ..]) => {
            write!(out, "exp-{:#06x} ({} bytes)", u16::from_be_bytes([*high, *low]), rest.len())
        }
        (19 | 28 | 29, _) => write!(out, "[bad opt {kind}]"),
        (_, []) => write!(out, "unknown-{kind}"),
        (_, data) => write!(out, "unknown-{kind} 0x{}", Hex(data)),
    }
}

fn write_fast_open(out: &mut dyn fmt::Write, name: &str, cookie: &[u8]) -> fmt::Result {
    if cookie.is_empty() { write!(out, "{name} cookiereq") } else { write!(out, "{name} cookie {}", Hex(cookie)) }
}
