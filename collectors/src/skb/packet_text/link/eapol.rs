// SPDX-License-Identifier: Apache-2.0 OR MIT

//! EAP over LANs (IEEE 802.1X): who may use the port.

use std::fmt;

use crate::skb::packet_text::Payload;

const EAP: u8 = 0;

/// Writes a frame of EAPOL, and the head of an EAP packet in it (RFC 3748).
pub(super) fn write_eapol(out: &mut dyn fmt::Write, frame: Payload<'_>) -> fmt::Result {
    let Some([version, kind, len_high, len_low]) = frame.array(0) else {
        return out.write_str("[|eapol]");
    };
    let name = match kind {
        EAP => "EAP packet",
        1 => "EAPOL start",
        2 => "EAPOL logoff",
        3 => "EAPOL key",
        4 => "EAPOL encap ASF alert",
        5 => "EAPOL MKA",
        _ => "EAPOL unknown type",
    };
    let len = usize::from(u16::from_be_bytes([len_high, len_low]));
    write!(out, "{name} ({kind}) v{version}")?;
    let packet = frame.skip(4).limit(len);
    if kind == EAP {
        match packet.array(0) {
            Some([code, id]) => write_eap(out, code, id, packet.array(4).map(|[method]| method))?,
            None => out.write_str(" [|eap]")?,
        }
    }
    write!(out, " length {len}")
}

/// Requests and responses say by which method; the others have none.
fn write_eap(out: &mut dyn fmt::Write, code: u8, id: u8, method: Option<u8>) -> fmt::Result {
    match code {
        1 => out.write_str(" Request")?,
        2 => out.write_str(" Response")?,
        3 => out.write_str(" Success")?,
        4 => out.write_str(" Failure")?,
        _ => out.write_str(" code")?,
    }
    write!(out, " ({code}) id {id}")?;
    let Some(method) = method else { return Ok(()) };
    let name = match method {
        1 => "Identity",
        2 => "Notification",
        3 => "Nak",
        4 => "MD5-challenge",
        6 => "GTC",
        13 => "TLS",
        21 => "TTLS",
        25 => "PEAP",
        26 => "MS-CHAPv2",
        43 => "FAST",
        52 => "PWD",
        55 => "TEAP",
        _ => return write!(out, " type {method}"),
    };
    write!(out, " type {name} ({method})")
}
