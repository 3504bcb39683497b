// SPDX-License-Identifier: Apache-2.0 OR MIT

//! L2TP, versions 2 (RFC 2661) and 3 (RFC 3931).

use std::fmt;

use crate::skb::packet_text::Payload;
use crate::skb::packet_text::inner::{Inner, write_inner};
use crate::skb::packet_text::notation::Flags;

const CONTROL: u16 = 0x8000;
const LENGTH: u16 = 0x4000;
const SEQUENCE: u16 = 0x0800;
const OFFSET: u16 = 0x0200;
const PRIORITY: u16 = 0x0100;

/// tcpdump's letters.
const FLAGS: &[(u16, &str)] = &[(CONTROL, "T"), (LENGTH, "L"), (SEQUENCE, "S"), (OFFSET, "O"), (PRIORITY, "P")];

/// Writes an L2TP message in UDP.
pub(in crate::skb::packet_text) fn write_l2tp(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let Some(head) = packet.u16(0) else {
        return out.write_str("[|l2tp]");
    };
    match head & 0xf {
        2 => write_version_2(out, head, packet),
        3 if head & CONTROL != 0 => write_version_3_control(out, packet),
        3 => write_version_3_data(out, packet.skip(4)),
        version => write!(out, "L2TP [bad version {version}] length {}", packet.len),
    }
}

/// Writes an L2TPv3 message in IP: the session, or zero and a control message.
pub(in crate::skb::packet_text) fn write_l2tp_in_ip(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    match packet.u32(0) {
        Some(0) => write_version_3_control(out, packet.skip(4)),
        _ => write_version_3_data(out, packet),
    }
}

fn write_version_2(out: &mut dyn fmt::Write, head: u16, packet: Payload<'_>) -> fmt::Result {
    write!(out, "L2TPv2 flags {}", Flags { bits: head, names: FLAGS })?;
    let mut fields = Fields { rest: packet.skip(2) };
    let Some(header) = fields.header(head) else {
        return out.write_str(" [|l2tp]");
    };
    write!(out, " tunnel {} session {}", header.tunnel, header.session)?;
    if let Some((sent, received)) = header.sequence {
        write!(out, " ns {sent} nr {received}")?;
    }
    let header_len = packet.len.saturating_sub(fields.rest.len);
    let payload = match header.len {
        Some(len) => fields.rest.limit(usize::from(len).saturating_sub(header_len)),
        None => fields.rest,
    };
    if head & CONTROL != 0 { write_message_type(out, payload) } else { write_inner(out, Inner::Ppp, payload) }
}

struct Header {
    len: Option<u16>,
    tunnel: u16,
    session: u16,
    sequence: Option<(u16, u16)>,
}

/// The fields of version 2, most of which are optional.
struct Fields<'a> {
    rest: Payload<'a>,
}

impl Fields<'_> {
    fn next(&mut self) -> Option<u16> {
        let value = self.rest.u16(0)?;
        self.rest = self.rest.skip(2);
        Some(value)
    }

    /// `None` when the capture ends in between.
    fn header(&mut self, head: u16) -> Option<Header> {
        let len = if head & LENGTH != 0 { Some(self.next()?) } else { None };
        let (tunnel, session) = (self.next()?, self.next()?);
        let sequence = if head & SEQUENCE != 0 { Some((self.next()?, self.next()?)) } else { None };
        if head & OFFSET != 0 {
            let padding = self.next()?;
            self.rest = self.rest.skip(padding.into());
        }
        Some(Header { len, tunnel, session, sequence })
    }
}

/// The first attribute of a control message is its type; one without attributes acknowledges.
fn write_message_type(out: &mut dyn fmt::Write, attributes: Payload<'_>) -> fmt::Result {
    if attributes.len == 0 {
        return out.write_str(" ZLB");
    }
    let (Some(kind), Some(message)) = (attributes.u16(4), attributes.u16(6)) else {
        return out.write_str(" [|l2tp]");
    };
    match message_name(message).filter(|_| kind == 0) {
        Some(name) => write!(out, " {name} length {}", attributes.len),
        None => write!(out, " control length {}", attributes.len),
    }
}

fn write_version_3_control(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    let (Some(connection), Some(sent), Some(received)) = (packet.u32(4), packet.u16(8), packet.u16(10)) else {
        return out.write_str("[|l2tp]");
    };
    write!(out, "L2TPv3 control connection {connection} ns {sent} nr {received}")?;
    write_message_type(out, packet.skip(12))
}

/// Only the two ends know what follows: a cookie, a sublayer, a frame.
fn write_version_3_data(out: &mut dyn fmt::Write, packet: Payload<'_>) -> fmt::Result {
    match packet.u32(0) {
        Some(session) => write!(out, "L2TPv3 session {session} length {}", packet.len),
        None => out.write_str("[|l2tp]"),
    }
}

/// The IANA's list of message types.
fn message_name(message: u16) -> Option<&'static str> {
    Some(match message {
        1 => "SCCRQ",
        2 => "SCCRP",
        3 => "SCCCN",
        4 => "StopCCN",
        6 => "HELLO",
        7 => "OCRQ",
        8 => "OCRP",
        9 => "OCCN",
        10 => "ICRQ",
        11 => "ICRP",
        12 => "ICCN",
        14 => "CDN",
        15 => "WEN",
        16 => "SLI",
        20 => "ACK",
        _ => return None,
    })
}
