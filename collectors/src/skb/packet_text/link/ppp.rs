// SPDX-License-Identifier: Apache-2.0 OR MIT

//! PPP (RFC 1661), as PPPoE, PPTP and L2TP carry it: without the framing of a serial line.

use std::fmt;

use super::mpls;
use crate::skb::packet_text::Payload;
use crate::skb::packet_text::inner::{Inner, write_inner};
use crate::skb::packet_text::notation::Quoted;

/// Protocols with their codes; see [`name`] for the others.
const IPV4: u16 = 0x0021;
const IPV6: u16 = 0x0057;
const MPLS: u16 = 0x0281;
const LCP: u16 = 0xc021;
const PAP: u16 = 0xc023;
const CHAP: u16 = 0xc223;

/// Address and control of a serial line, which some send although nobody needs them.
const ADDRESS_AND_CONTROL: [u8; 2] = [0xff, 0x03];

/// Writes the protocol and what it is. `frame` was entered by [`write_inner`] already.
pub(in crate::skb::packet_text) fn write_ppp(out: &mut dyn fmt::Write, frame: Payload<'_>) -> fmt::Result {
    let frame = match frame.array(0) {
        Some(ADDRESS_AND_CONTROL) => frame.skip(ADDRESS_AND_CONTROL.len()),
        _ => frame,
    };
    // A number below 0x100 may be sent in one byte, which is then odd (RFC 1661, section 6.5).
    let (protocol, payload) = match (frame.array(0), frame.u16(0)) {
        (Some([short]), _) if short & 1 == 1 => (short.into(), frame.skip(1)),
        (_, Some(protocol)) => (protocol, frame.skip(2)),
        _ => return out.write_str("[|ppp]"),
    };
    match name(protocol) {
        Some(name) => write!(out, "PPP {name} ({protocol:#06x})")?,
        None => write!(out, "PPP {protocol:#06x} (unknown)")?,
    }
    match protocol {
        IPV4 | IPV6 => write_inner(out, Inner::Ip, payload),
        MPLS => {
            out.write_str(": ")?;
            mpls::write_mpls(out, payload)
        }
        _ => {
            write_control(out, protocol, payload)?;
            write!(out, " length {}", payload.len)
        }
    }
}

/// Code, identifier and the one value of a control message that a reader looks for.
fn write_control(out: &mut dyn fmt::Write, protocol: u16, message: Payload<'_>) -> fmt::Result {
    let code_name: fn(u8) -> Option<&'static str> = match protocol {
        LCP | 0x8000..=0xbfff => negotiation_code,
        PAP => password_code,
        CHAP => challenge_code,
        _ => return Ok(()),
    };
    let Some([code, id]) = message.array(0) else {
        return out.write_str(" [|ppp]");
    };
    match code_name(code) {
        Some(name) => write!(out, " {name} ({code:#04x}) id {id}")?,
        None => write!(out, " code {code:#04x} id {id}")?,
    }
    match (protocol, code) {
        // Both begin with the length of a text. CHAP's name is behind the challenge; the rest is a secret.
        (PAP, 1) => write_counted(out, "peer", message.skip(4)),
        (CHAP, 1 | 2) => {
            let Some([size]) = message.array(4) else {
                return out.write_str(" [|ppp]");
            };
            let name = message.limit(message.u16(2).unwrap_or_default().into()).skip(5 + usize::from(size));
            write!(out, " name {}", Quoted(name.bytes))
        }
        _ => Ok(()),
    }
}

fn write_counted(out: &mut dyn fmt::Write, label: &str, text: Payload<'_>) -> fmt::Result {
    let Some([size]) = text.array(0) else {
        return out.write_str(" [|ppp]");
    };
    write!(out, " {label} {}", Quoted(text.skip(1).limit(size.into()).bytes))
}

/// Names of the IANA's list of PPP protocols.
fn name(protocol: u16) -> Option<&'static str> {
    Some(match protocol {
        IPV4 => "IP",
        0x002d => "VJC",
        0x002f => "VJNC",
        0x003d => "MLPPP",
        IPV6 => "IP6",
        0x00fd => "COMP",
        MPLS => "MPLS",
        0x8021 => "IPCP",
        0x8053 => "ECP",
        0x8057 => "IP6CP",
        0x80fd => "CCP",
        0x8281 => "MPLSCP",
        LCP => "LCP",
        PAP => "PAP",
        0xc025 => "LQR",
        CHAP => "CHAP",
        0xc227 => "EAP",
        _ => return None,
    })
}

/// The codes of LCP (RFC 1661, section 5), which the protocols that negotiate a network's parameters share.
fn negotiation_code(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "Conf-Request",
        2 => "Conf-Ack",
        3 => "Conf-Nack",
        4 => "Conf-Reject",
        5 => "Term-Request",
        6 => "Term-Ack",
        7 => "Code-Reject",
        8 => "Prot-Reject",
        9 => "Echo-Request",
        10 => "Echo-Reply",
        11 => "Disc-Req",
        _ => return None,
    })
}

/// RFC 1334, section 2.2.
fn password_code(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "Auth-Req",
        2 => "Auth-ACK",
        3 => "Auth-NACK",
        _ => return None,
    })
}

/// RFC 1994, section 4.
fn challenge_code(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "Challenge",
        2 => "Response",
        3 => "Success",
        4 => "Fail",
        _ => return None,
    })
}
