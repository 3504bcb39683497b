// SPDX-License-Identifier: Apache-2.0 OR MIT

//! MACsec (IEEE 802.1AE).

use std::fmt;

use etherparse::MacsecHeaderSlice;
use etherparse::err::macsec::HeaderSliceError;

use super::ether_type::Named;
use crate::skb::packet_text::Payload;
use crate::skb::packet_text::inner::{Inner, write_inner};
use crate::skb::packet_text::notation::Flags;

/// tcpdump's letters: encrypted, changed, end station, single copy broadcast, SCI present.
const FLAGS: &[(u16, &str)] = &[(0x08, "E"), (0x04, "C"), (0x40, "S"), (0x10, "B"), (0x20, "I")];

/// All cipher suites of the standard have an integrity check value of this size.
const ICV_LEN: usize = 16;

/// Writes the SecTAG, and the packet behind it where it is only signed.
pub(super) fn write_macsec(out: &mut dyn fmt::Write, frame: Payload<'_>) -> fmt::Result {
    let header = match MacsecHeaderSlice::from_slice(frame.bytes) {
        Ok(header) => header,
        Err(HeaderSliceError::Len(_)) => return out.write_str("[|macsec]"),
        Err(HeaderSliceError::Content(_)) => return write!(out, "MACsec [bad SecTAG] length {}", frame.len),
    };
    write!(
        out,
        "MACsec an {} pn {} flags {}",
        header.an().value(),
        header.packet_nr(),
        Flags { bits: header.tci_an_raw().into(), names: FLAGS }
    )?;
    let short_len = usize::from(header.short_len().value());
    if short_len != 0 {
        write!(out, " sl {short_len}")?;
    }
    if let Some(sci) = header.sci() {
        write!(out, " sci {sci:016x}")?;
    }
    let rest = frame.skip(header.header_len());
    // What a short frame carries is told, so that padding is not taken for the check value; that of a longer one
    // reaches up to it.
    let payload = rest.limit(header.expected_payload_len().unwrap_or(rest.len.saturating_sub(ICV_LEN)));
    match header.next_ether_type() {
        Some(ether_type) => {
            write!(out, " ethertype {}", Named(ether_type))?;
            write_inner(out, Inner::EtherType(ether_type), payload)
        }
        None if header.encrypted() => write!(out, " encrypted length {}", payload.len),
        None => write!(out, " changed length {}", payload.len),
    }
}
