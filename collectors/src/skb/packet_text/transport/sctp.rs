// SPDX-License-Identifier: Apache-2.0 OR MIT

//! SCTP (RFC 9260) and its chunks.

use std::fmt;

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::notation::{Hex, RareFlags};

/// Ports, verification tag, checksum.
const HEADER_LEN: usize = 12;

/// Type, flags and length of a chunk.
const CHUNK_HEADER_LEN: usize = 4;

/// More chunks than are bundled on purpose.
const MAX_CHUNKS: usize = 16;

/// More gaps, causes or numbers than a reader of one line wants.
const MAX_LISTED: usize = 8;

/// Writes an SCTP packet, without its ports: each chunk between brackets.
pub(in crate::skb::packet_text) fn write_sctp(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let (Some(tag), Some(_checksum)) = (packet.u32(4), packet.u32(8)) else {
        return out.write_str("[|sctp]");
    };
    write!(out, "vtag {tag:#x}")?;
    let mut rest = packet.skip(HEADER_LEN);
    for _ in 0..MAX_CHUNKS {
        if rest.len == 0 {
            break;
        }
        let (Some([kind, flags]), Some(len)) = (rest.array(0), rest.u16(2).map(usize::from)) else {
            out.write_str(" [|sctp]")?;
            rest = rest.limit(0);
            break;
        };
        out.write_str(" [")?;
        match chunk_name(kind) {
            Some(name) => out.write_str(name)?,
            None => write!(out, "chunk {kind}")?,
        }
        if len < CHUNK_HEADER_LEN || len > rest.len {
            write!(out, " [bad chunk length {len}]]")?;
            rest = rest.limit(0);
            break;
        }
        write_chunk(out, kind, flags, rest.limit(len).skip(CHUNK_HEADER_LEN))?;
        out.write_char(']')?;
        // Padded to four bytes; the last one need not be.
        rest = rest.skip(len.next_multiple_of(4));
    }
    if rest.len > 0 {
        out.write_str(" ...")?;
    }
    write!(out, " length {}", packet.len)
}

/// Writes what a chunk says, with a space in front of each part.
fn write_chunk(out: &mut dyn fmt::Write, kind: u8, flags: u8, chunk: Payload<'_>) -> fmt::Result {
    let complete = match kind {
        DATA => write_data(out, flags, chunk),
        I_DATA => write_interleaved_data(out, flags, chunk),
        1 | 2 => write_init(out, chunk),
        3 => write_selective_acknowledgement(out, chunk),
        6 | 9 => Some(write_causes(out, chunk)),
        7 => chunk.u32(0).map(|tsn| write!(out, " cum ack {tsn}")),
        12 | 13 => chunk.u32(0).map(|tsn| write!(out, " lowest tsn {tsn}")),
        192 => chunk.u32(0).map(|tsn| write!(out, " new cum tsn {tsn}")),
        193 | 128 => chunk.u32(0).map(|serial| write!(out, " serial {serial}")),
        15 => chunk.u16(0).zip(chunk.u16(2)).map(|(key, hmac)| write!(out, " key {key} hmac {hmac}")),
        _ if chunk_name(kind).is_none() => Some(write!(out, " ({} bytes)", chunk.len)),
        _ => Some(Ok(())),
    };
    complete.unwrap_or_else(|| out.write_str(" [|sctp]"))
}

const DATA: u8 = 0;
const I_DATA: u8 = 64;

/// User data (RFC 9260, 3.3.1).
fn write_data(out: &mut dyn fmt::Write, flags: u8, chunk: Payload<'_>) -> Option<fmt::Result> {
    let (tsn, stream, sequence, protocol) = (chunk.u32(0)?, chunk.u16(4)?, chunk.u16(6)?, chunk.u32(8)?);
    let flags = data_flags(flags);
    let length = chunk.skip(12).len;
    Some(write!(out, "{} tsn {tsn} sid {stream} sseq {sequence} ppid {protocol} length {length}", RareFlags(&flags)))
}

/// User data whose messages may be interleaved (RFC 8260, 2.1). What the last number is depends on the first flag.
fn write_interleaved_data(out: &mut dyn fmt::Write, flags: u8, chunk: Payload<'_>) -> Option<fmt::Result> {
    let (tsn, stream, message, last) = (chunk.u32(0)?, chunk.u16(4)?, chunk.u32(8)?, chunk.u32(12)?);
    let name = if flags & 2 != 0 { "ppid" } else { "fsn" };
    let flags = data_flags(flags);
    let length = chunk.skip(16).len;
    Some(write!(out, "{} tsn {tsn} sid {stream} mid {message} {name} {last} length {length}", RareFlags(&flags)))
}

/// Beginning and end of a user message, as tcpdump has them; unordered; acknowledge at once.
fn data_flags(flags: u8) -> [(bool, &'static str); 4] {
    [(flags & 2 != 0, "B"), (flags & 1 != 0, "E"), (flags & 4 != 0, "U"), (flags & 8 != 0, "I")]
}

/// INIT and its acknowledgement (RFC 9260, 3.3.2).
fn write_init(out: &mut dyn fmt::Write, chunk: Payload<'_>) -> Option<fmt::Result> {
    let (tag, window, tsn) = (chunk.u32(0)?, chunk.u32(4)?, chunk.u32(12)?);
    let (outbound, inbound) = (chunk.u16(8)?, chunk.u16(10)?);
    Some(write!(out, " init tag {tag:#x} rwnd {window} os {outbound} mis {inbound} init tsn {tsn}"))
}

/// What has arrived, and what has behind a gap (RFC 9260, 3.3.4).
fn write_selective_acknowledgement(out: &mut dyn fmt::Write, chunk: Payload<'_>) -> Option<fmt::Result> {
    let (tsn, window, gaps, duplicates) = (chunk.u32(0)?, chunk.u32(4)?, chunk.u16(8)?, chunk.u16(10)?);
    let blocks = chunk.skip(12);
    let mut write = || {
        write!(out, " cum ack {tsn} a_rwnd {window} gaps {gaps} dups {duplicates}")?;
        let mut separator = " {";
        for index in 0..usize::from(gaps).min(MAX_LISTED) {
            let (Some(start), Some(end)) = (blocks.u16(4 * index), blocks.u16(4 * index + 2)) else {
                return out.write_str(" [|sctp]");
            };
            // Counted from what is acknowledged; shown as the numbers that were received.
            write!(out, "{separator}{}-{}", tsn.wrapping_add(start.into()), tsn.wrapping_add(end.into()))?;
            separator = ",";
        }
        match usize::from(gaps) {
            0 => Ok(()),
            count if count > MAX_LISTED => out.write_str(",...}"),
            _ => out.write_char('}'),
        }
    };
    Some(write())
}

/// Causes of an error or of an end (RFC 9260, 3.3.10).
fn write_causes(out: &mut dyn fmt::Write, mut causes: Payload<'_>) -> fmt::Result {
    for _ in 0..MAX_LISTED {
        if causes.len == 0 {
            return Ok(());
        }
        let (Some(code), Some(len)) = (causes.u16(0), causes.u16(2).map(usize::from)) else {
            return out.write_str(" [|sctp]");
        };
        match cause_name(code) {
            Some(name) => write!(out, " cause {name}")?,
            None => write!(out, " cause {code}")?,
        }
        if len < 4 || len > causes.len {
            return write!(out, " [bad cause length {len}]");
        }
        let data = causes.limit(len).skip(4);
        if !data.bytes.is_empty() {
            write!(out, " {}", Hex(data.bytes))?;
        }
        causes = causes.skip(len.next_multiple_of(4));
    }
    out.write_str(" ...")
}

/// The IANA's chunk types, in tcpdump's words where it has some.
fn chunk_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        DATA => "DATA",
        1 => "INIT",
        2 => "INIT ACK",
        3 => "SACK",
        4 => "HB REQ",
        5 => "HB ACK",
        6 => "ABORT",
        7 => "SHUTDOWN",
        8 => "SHUTDOWN ACK",
        9 => "OP ERR",
        10 => "COOKIE ECHO",
        11 => "COOKIE ACK",
        12 => "ECN ECHO",
        13 => "CWR",
        14 => "SHUTDOWN COMPLETE",
        15 => "AUTH",
        I_DATA => "I-DATA",
        128 => "ASCONF-ACK",
        130 => "RE-CONFIG",
        132 => "PAD",
        192 => "FORWARD TSN",
        193 => "ASCONF",
        194 => "I-FORWARD TSN",
        _ => return None,
    })
}

/// The IANA's error causes.
fn cause_name(code: u16) -> Option<&'static str> {
    Some(match code {
        1 => "invalid stream identifier",
        2 => "missing mandatory parameter",
        3 => "stale cookie",
        4 => "out of resource",
        5 => "unresolvable address",
        6 => "unrecognized chunk type",
        7 => "invalid mandatory parameter",
        8 => "unrecognized parameters",
        9 => "no user data",
        10 => "cookie received while shutting down",
        11 => "restart with new addresses",
        12 => "user-initiated abort",
        13 => "protocol violation",
        _ => return None,
    })
}
