// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Frames, right or wrong in one detail.

/// The address of the device that they arrive at.
pub(super) const BLUE: [u8; 6] = [2, 0, 0, 0, 0, 2];
const RED: [u8; 6] = [2, 0, 0, 0, 0, 1];

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// An IPv4 packet from 10.0.0.1 to 10.0.0.2, unless something else is said.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) to: [u8; 6],
    pub(super) source: [u8; 4],
    pub(super) destination: [u8; 4],
    pub(super) ttl: u8,
    pub(super) protocol: u8,
    /// From the transport header on, without a checksum.
    pub(super) body: Vec<u8>,
    /// Where the checksum goes.
    pub(super) checksum_at: usize,
    pub(super) is_wrong: bool,
}

/// What is of interest in a TCP header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tcp {
    pub(super) own_port: u16,
    pub(super) port: u16,
    pub(super) sequence: u32,
    pub(super) flags: u8,
}

impl Default for Tcp {
    fn default() -> Self {
        Self { own_port: 7000, port: 0, sequence: 1, flags: 0 }
    }
}

impl Packet {
    fn new(protocol: u8, body: Vec<u8>, checksum_at: usize) -> Self {
        Self {
            to: BLUE,
            source: [10, 0, 0, 1],
            destination: [10, 0, 0, 2],
            ttl: 64,
            protocol,
            body,
            checksum_at,
            is_wrong: false,
        }
    }

    pub(super) fn udp(port: u16, payload: &[u8]) -> Self {
        let mut body = Vec::new();
        for word in [7000, port, 8 + payload.len() as u16, 0] {
            body.extend(word.to_be_bytes());
        }
        body.extend(payload);
        Self::new(UDP, body, 6)
    }

    pub(super) fn tcp(tcp: Tcp, payload: &[u8]) -> Self {
        let mut body = Vec::new();
        body.extend(tcp.own_port.to_be_bytes());
        body.extend(tcp.port.to_be_bytes());
        body.extend(tcp.sequence.to_be_bytes());
        body.extend(1_u32.to_be_bytes());
        // Header of five words; window; checksum; urgent pointer.
        body.extend([0x50, tcp.flags, 0x10, 0, 0, 0, 0, 0]);
        body.extend(payload);
        Self::new(TCP, body, 16)
    }

    pub(super) fn echo_request(payload: &[u8]) -> Self {
        Self::new(ICMP, [&[8, 0, 0, 0, 0, 1, 0, 1], payload].concat(), 2)
    }

    #[must_use]
    pub(super) fn with_bad_checksum(mut self) -> Self {
        self.is_wrong = true;
        self
    }

    pub(super) fn frame(&self) -> Vec<u8> {
        let mut header = vec![0x45, 0];
        header.extend((20 + self.body.len() as u16).to_be_bytes());
        // Not to be fragmented.
        header.extend([0, 1, 0x40, 0, self.ttl, self.protocol, 0, 0]);
        header.extend(self.source);
        header.extend(self.destination);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());

        let mut pseudo = Vec::new();
        if self.protocol != ICMP {
            pseudo.extend(self.source);
            pseudo.extend(self.destination);
            pseudo.extend([0, self.protocol]);
            pseudo.extend((self.body.len() as u16).to_be_bytes());
        }
        let sum = checksum(&[&pseudo, &*self.body].concat()) ^ u16::from(self.is_wrong);
        let mut body = self.body.clone();
        body[self.checksum_at..self.checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
        [&self.to[..], &RED, &[0x08, 0x00], &header, &body].concat()
    }
}

/// An IPv6 packet to fd00::2, of a protocol for experiments.
pub(super) fn ipv6(payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((payload.len() as u16).to_be_bytes());
    header.extend([253, 64]);
    for last in [1, 2] {
        header.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    [&BLUE[..], &RED, &[0x86, 0xdd], &header, payload].concat()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
