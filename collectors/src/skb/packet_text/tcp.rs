// SPDX-License-Identifier: Apache-2.0 OR MIT

//! TCP (RFC 9293) and its options.

use std::fmt;

use etherparse::{TcpHeader, TcpHeaderSlice, TcpOptionElement, TcpOptionReadError, TcpOptionsIterator};

use super::Payload;

/// Writes a TCP segment, without its ports.
pub(super) fn write_tcp(out: &mut dyn fmt::Write, segment: Payload<'_>) -> fmt::Result {
    let Some(mut fixed) = segment.array::<{ TcpHeader::MIN_LEN }>(0) else {
        return out.write_str("[|tcp]");
    };
    // The fixed part is parsed on its own, as a header that ends there: options that are cut must not hide it.
    let header_len = usize::from(fixed[12] >> 4) * 4;
    fixed[12] = fixed[12] & 0x0f | 5 << 4;
    let Ok(header) = TcpHeaderSlice::from_slice(&fixed) else {
        return out.write_str("[|tcp]");
    };

    out.write_str("flags [")?;
    write_flags(out, &header)?;
    write!(out, "] seq {}", header.sequence_number())?;
    let Some(payload_len) = segment.len.checked_sub(header_len).filter(|_| header_len >= TcpHeader::MIN_LEN) else {
        return write!(out, " [bad hdr length {header_len}] length {}", segment.len);
    };
    if payload_len > 0 {
        // Sequence numbers wrap (RFC 9293, 3.4), and only their low 32 bits count.
        write!(out, ":{}", header.sequence_number().wrapping_add(payload_len as u32))?;
    }
    if header.ack() {
        write!(out, " ack {}", header.acknowledgment_number())?;
    }
    write!(out, " win {}", header.window_size())?;
    if header.urg() {
        write!(out, " urg {}", header.urgent_pointer())?;
    }
    let options = segment.limit(header_len).skip(TcpHeader::MIN_LEN);
    if options.len > 0 {
        out.write_str(" options [")?;
        write_options(out, options)?;
        out.write_char(']')?;
    }
    write!(out, " length {payload_len}")
}

/// One sign a flag, in the order of tcpdump; AE (RFC 9768, once NS) is `e`.
fn write_flags(out: &mut dyn fmt::Write, header: &TcpHeaderSlice<'_>) -> fmt::Result {
    let flags = [
        (header.fin(), 'F'),
        (header.syn(), 'S'),
        (header.rst(), 'R'),
        (header.psh(), 'P'),
        (header.ack(), '.'),
        (header.urg(), 'U'),
        (header.ece(), 'E'),
        (header.cwr(), 'W'),
        (header.ns(), 'e'),
    ];
    if flags.iter().all(|(set, _)| !set) {
        return out.write_str("none");
    }
    flags.iter().filter(|(set, _)| *set).try_for_each(|(_, sign)| out.write_char(*sign))
}

fn write_options(out: &mut dyn fmt::Write, options: Payload<'_>) -> fmt::Result {
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
                        write_other_option(out, kind, len - 2)?;
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

/// An option of which only the name is shown, or the number where it has none, and the length of its data.
fn write_other_option(out: &mut dyn fmt::Write, kind: u8, data_len: usize) -> fmt::Result {
    let name = match kind {
        19 => "md5",                            // RFC 2385
        28 => "uto",                            // RFC 5482
        29 => "tcp-ao",                         // RFC 5925
        30 => "mptcp",                          // RFC 8684
        34 if data_len == 0 => "tfo cookiereq", // RFC 7413
        34 => "tfo",
        _ => return write!(out, "unknown-{kind} ({data_len} bytes)"),
    };
    if data_len == 0 { out.write_str(name) } else { write!(out, "{name} ({data_len} bytes)") }
}
