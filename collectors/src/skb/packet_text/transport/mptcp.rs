// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The option of Multipath TCP (RFC 8684, 3; version 0: RFC 6824).

use std::fmt;
use std::net::IpAddr;

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::notation::{Hex, RareFlags};

/// Writes an option, without its kind and length; `data` holds all of it.
pub(super) fn write_mptcp(out: &mut dyn fmt::Write, data: Payload<'_>) -> fmt::Result {
    out.write_str("mptcp")?;
    let Some([first]) = data.array(0) else {
        return out.write_str(" [bad opt]");
    };
    let complete = match first >> 4 {
        0 => write_capable(out, data),
        1 => write_join(out, data),
        2 => write_sequence_signal(out, data),
        3 => write_add_address(out, data),
        4 => {
            out.write_str(" rem-addr id")?;
            let [_, ids @ ..] = data.bytes else { return Ok(()) };
            let mut separator = ' ';
            for id in ids {
                write!(out, "{separator}{id}")?;
                separator = ',';
            }
            Some(Ok(()))
        }
        5 => {
            write!(out, " prio{}", RareFlags(&[(first & 1 != 0, "backup")]))?;
            data.array(1).map_or(Some(Ok(())), |[id]| Some(write!(out, " id {id}")))
        }
        6 => number(data, 2, 8).map(|sequence| write!(out, " fail seq {sequence}")),
        7 => number(data, 2, 8).map(|key| write!(out, " fast-close key {key:#x}")),
        8 => data
            .array(1)
            .map(|[reason]| write!(out, " rst{} reason {reason}", RareFlags(&[(first & 1 != 0, "transient")]))),
        other => Some(write!(out, " unknown subtype {other} ({} bytes)", data.len)),
    };
    complete.unwrap_or_else(|| out.write_str(" [bad opt]"))
}

/// The number of this many bytes.
fn number(data: Payload<'_>, offset: usize, len: usize) -> Option<u64> {
    let bytes = data.bytes.get(offset..offset + len)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The start of a connection (RFC 8684, 3.1): the keys are there or not, and then the length of the data.
fn write_capable(out: &mut dyn fmt::Write, data: Payload<'_>) -> Option<fmt::Result> {
    let [first, flags] = data.array(0)?;
    let names = [(0x80, "csum"), (0x40, "extensions"), (0x20, "no join"), (0x01, "sha256")];
    let flags = names.map(|(bit, name)| (flags & bit != 0, name));
    let (sender, receiver, len) = (number(data, 2, 8), number(data, 10, 8), data.u16(18));
    let mut write = || {
        write!(out, " capable{} v{}", RareFlags(&flags), first & 0xf)?;
        match (sender, receiver) {
            (Some(sender), Some(receiver)) => write!(out, " {{{sender:#x},{receiver:#x}}}")?,
            (Some(sender), None) => write!(out, " {{{sender:#x}}}")?,
            (None, _) => {}
        }
        if let Some(len) = len {
            write!(out, " len {len}")?;
        }
        data.u16(20).map_or(Ok(()), |checksum| write!(out, " csum {checksum:#x}"))
    };
    Some(write())
}

/// Another subflow (RFC 8684, 3.2): its three steps differ in length.
fn write_join(out: &mut dyn fmt::Write, data: Payload<'_>) -> Option<fmt::Result> {
    let [first, id] = data.array(0)?;
    let backup = [(first & 1 != 0, "backup")];
    let backup = RareFlags(&backup);
    Some(match data.len {
        10 => write!(out, " join{backup} id {id} token {:#x} nonce {:#x}", data.u32(2)?, data.u32(6)?),
        14 => write!(out, " join{backup} id {id} hmac {:#x} nonce {:#x}", number(data, 2, 8)?, data.u32(10)?),
        22 => write!(out, " join hmac 0x{}", Hex(data.bytes.get(2..)?)),
        _ => return None,
    })
}

/// Where the data of this segment belongs in the connection (RFC 8684, 3.3).
fn write_sequence_signal(out: &mut dyn fmt::Write, data: Payload<'_>) -> Option<fmt::Result> {
    let [_, flags] = data.array(0)?;
    let mut at = 2;
    let mut next = |len| {
        at += len;
        number(data, at - len, len)
    };
    let long = |bit| if flags & bit != 0 { 8 } else { 4 };
    let acknowledgement = if flags & 1 != 0 { Some(next(long(2))?) } else { None };
    let mapping = if flags & 4 != 0 { Some((next(long(8))?, next(4)?, next(2)?)) } else { None };
    let checksum = if mapping.is_some() { next(2) } else { None };
    let mut write = || {
        write!(out, " dss{}", RareFlags(&[(flags & 0x10 != 0, "fin")]))?;
        if let Some(number) = acknowledgement {
            write!(out, " ack {number}")?;
        }
        if let Some((sequence, subflow, len)) = mapping {
            write!(out, " seq {sequence} subseq {subflow} len {len}")?;
        }
        checksum.map_or(Ok(()), |checksum| write!(out, " csum {checksum:#x}"))
    };
    Some(write())
}

/// Another address of the peer (RFC 8684, 3.4.1), its port and the proof that it is the peer's, where they are there.
/// Version 0 has the IP version where version 1 has flags.
fn write_add_address(out: &mut dyn fmt::Write, data: Payload<'_>) -> Option<fmt::Result> {
    let [first, id] = data.array(0)?;
    let (address, rest) = match data.len - 2 {
        4 | 6 | 12 | 14 => (IpAddr::from(data.array::<4>(2)?), data.skip(6)),
        16 | 18 | 24 | 26 => (IpAddr::from(data.array::<16>(2)?), data.skip(18)),
        _ => return None,
    };
    // Two bytes, eight, or both.
    let port = if rest.len % 8 == 2 { rest.u16(0) } else { None };
    let hmac = number(rest, rest.len % 8, 8);
    let echo = [(first & 0xf == 1, "echo")];
    let mut write = || {
        write!(out, " add-addr{} id {id} {address}", RareFlags(&echo))?;
        if let Some(port) = port {
            write!(out, " port {port}")?;
        }
        hmac.map_or(Ok(()), |hmac| write!(out, " hmac {hmac:#x}"))
    };
    Some(write())
}
