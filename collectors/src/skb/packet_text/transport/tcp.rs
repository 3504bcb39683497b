// SPDX-License-Identifier: Apache-2.0 OR MIT

//! TCP (RFC 9293).

use std::fmt;

use etherparse::{TcpHeader, TcpHeaderSlice};

use super::tcp_options::write_options;
use crate::skb::packet_text::Payload;
use crate::skb::packet_text::service::dns;

/// Writes a TCP segment, without its ports.
pub(in crate::skb::packet_text) fn write_tcp(out: &mut dyn fmt::Write, segment: Payload<'_>) -> fmt::Result {
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
    write!(out, " length {payload_len}")?;
    if dns::is_dns(header.source_port()) || dns::is_dns(header.destination_port()) {
        dns::write_dns_over_tcp(out, segment.skip(header_len))?;
    }
    Ok(())
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
