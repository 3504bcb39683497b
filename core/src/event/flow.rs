// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who talks with whom: the addresses, ports and protocol of a packet, from its bytes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The conversation that a packet belongs to, and its direction in it. Of tunnelled packets it is that of the outer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    conversation: Conversation,
    is_backward: bool,
}

/// Two ends and a protocol, whoever began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conversation {
    family: Family,
    /// The lower end first.
    ends: [End; 2],
    /// The number of the protocol above IP; for other frames their Ethernet type.
    protocol: u16,
}

/// One side of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    address: u128,
    /// 0: no port, or not known.
    port: u16,
}

/// What the addresses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Ethernet,
    Arp,
    V4,
    V6,
}

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
/// Ethernet types of VLAN tags, which say nothing about who talks with whom.
const VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// Protocols that have the ports of source and destination at their beginning: TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];
/// Extension headers of IPv6 that have their length in their second byte, in units of eight bytes: hop-by-hop options, routing,
/// destination options, mobility.
const EXTENSIONS: [u8; 4] = [0, 43, 60, 135];
const FRAGMENT: u8 = 44;
/// Real packets have fewer extension headers than this.
const MOST_EXTENSIONS: usize = 8;

impl Flow {
    /// The flow of a packet, by its bytes from the Ethernet header on; `None` when they are too few.
    pub fn of(frame: &[u8]) -> Option<Self> {
        let (addresses, mut rest) = frame.split_at_checked(12)?;
        let mut kind = word(rest, 0)?;
        rest = &rest[2..];
        while VLAN.contains(&kind) {
            kind = word(rest, 2)?;
            rest = &rest[4..];
        }
        match kind {
            IPV4 => ipv4(rest),
            IPV6 => ipv6(rest),
            ARP if rest.get(4..6)? == [6, 4] => {
                let address = |at: usize| Some(End { address: number(rest.get(at..at + 4)?), port: 0 });
                Some(Self::new(Family::Arp, address(14)?, address(24)?, ARP))
            }
            kind => {
                let end = |bytes: &[u8]| End { address: number(bytes), port: 0 };
                Some(Self::new(Family::Ethernet, end(&addresses[6..]), end(&addresses[..6]), kind))
            }
        }
    }

    fn new(family: Family, source: End, destination: End, protocol: u16) -> Self {
        let is_backward = source > destination;
        let ends = if is_backward { [destination, source] } else { [source, destination] };
        Self { conversation: Conversation { family, ends, protocol }, is_backward }
    }

    /// The conversation.
    pub fn conversation(&self) -> Conversation {
        self.conversation
    }

    /// Whether the packet goes from the second end to the first.
    pub fn is_backward(&self) -> bool {
        self.is_backward
    }
}

/// How many words hold a conversation.
pub(super) const CONVERSATION_WORDS: usize = 5;

impl Conversation {
    /// The same as numbers.
    pub(super) fn words(&self) -> [u64; CONVERSATION_WORDS] {
        let [first, second] = self.ends;
        let [a, b] = halves(first.address);
        let [c, d] = halves(second.address);
        let ports = u64::from(first.port) << 32 | u64::from(second.port) << 16;
        [(self.family as u64) << 48 | ports | u64::from(self.protocol), a, b, c, d]
    }

    pub(super) fn from_words([kind, a, b, c, d]: [u64; CONVERSATION_WORDS]) -> Self {
        let family = match kind >> 48 {
            0 => Family::Ethernet,
            1 => Family::Arp,
            2 => Family::V4,
            _ => Family::V6,
        };
        let whole = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        let first = End { address: whole(a, b), port: (kind >> 32) as u16 };
        let second = End { address: whole(c, d), port: (kind >> 16) as u16 };
        Self { family, ends: [first, second], protocol: kind as u16 }
    }

    /// The protocol: its name where it has a common one.
    pub fn protocol(&self) -> String {
        let name = match (self.family, self.protocol) {
            (Family::Arp, _) => "arp",
            (Family::Ethernet, kind) => return format!("ethertype {kind:#06x}"),
            (_, 1) => "icmp",
            (_, 2) => "igmp",
            (_, 4) => "ipip",
            (_, 6) => "tcp",
            (_, 17) => "udp",
            (_, 33) => "dccp",
            (_, 41) => "ipv6",
            (_, 47) => "gre",
            (_, 50) => "esp",
            (_, 51) => "ah",
            (_, 58) => "icmp6",
            (_, 89) => "ospf",
            (_, 112) => "vrrp",
            (_, 132) => "sctp",
            (_, 136) => "udplite",
            (_, number) => return format!("proto {number}"),
        };
        name.to_owned()
    }

    /// The two ends, the one that a direction begins at first.
    pub fn ends(&self, is_backward: bool) -> [String; 2] {
        let [first, second] = self.ends.map(|end| Shown { family: self.family, end }.to_string());
        if is_backward { [second, first] } else { [first, second] }
    }
}

struct Shown {
    family: Family,
    end: End,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let End { address, port } = self.end;
        let address = match self.family {
            Family::Ethernet => {
                let [.., a, b, c, d, e, g] = address.to_be_bytes();
                return write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}");
            }
            Family::Arp | Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(address as u32)),
            Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(address)),
        };
        match (address, port) {
            (address, 0) => write!(f, "{address}"),
            (IpAddr::V4(address), port) => write!(f, "{address}:{port}"),
            (IpAddr::V6(address), port) => write!(f, "[{address}]:{port}"),
        }
    }
}

fn ipv4(packet: &[u8]) -> Option<Flow> {
    let header = packet.get(..20)?;
    let is_later_fragment = word(header, 6)? & 0x1fff != 0;
    let behind = packet.get(usize::from(header[0] & 0xf) * 4..).filter(|_| !is_later_fragment);
    let addresses = [&header[12..16], &header[16..20]];
    Some(ip(Family::V4, addresses, header[9], behind))
}

fn ipv6(packet: &[u8]) -> Option<Flow> {
    let header = packet.get(..40)?;
    let addresses = [&header[8..24], &header[24..40]];
    let (mut protocol, mut behind) = (header[6], packet.get(40..));
    for _ in 0..MOST_EXTENSIONS {
        let Some(extension) = behind.and_then(|behind| behind.get(..8)) else {
            break;
        };
        let length = match protocol {
            FRAGMENT if word(extension, 2)? & 0xfff8 != 0 => {
                return Some(ip(Family::V6, addresses, extension[0], None));
            }
            FRAGMENT => 8,
            protocol if EXTENSIONS.contains(&protocol) => usize::from(extension[1]) * 8 + 8,
            _ => break,
        };
        protocol = extension[0];
        behind = behind.and_then(|behind| behind.get(length..));
    }
    Some(ip(Family::V6, addresses, protocol, behind))
}

/// A flow between addresses, with the ports that are at the beginning of `behind`.
fn ip(family: Family, addresses: [&[u8]; 2], protocol: u8, behind: Option<&[u8]>) -> Flow {
    let behind = behind.filter(|_| WITH_PORTS.contains(&protocol));
    let port = |at| behind.and_then(|behind| word(behind, at)).unwrap_or(0);
    let [source, destination] = addresses.map(number);
    let (source, destination) = (End { address: source, port: port(0) }, End { address: destination, port: port(2) });
    Flow::new(family, source, destination, u16::from(protocol))
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// At most 16 bytes as a number.
fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn halves(address: u128) -> [u64; 2] {
    [(address >> 64) as u64, address as u64]
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Conversation, Flow};

    /// An Ethernet frame: its type, and what is behind.
    fn frame(kind: u16, behind: &[&[u8]]) -> Vec<u8> {
        [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], &kind.to_be_bytes()[..], &behind.concat()].concat()
    }

    /// An IPv4 header from 10.0.0.2 to 10.0.0.1, without options.
    fn v4(protocol: u8, fragment: u8) -> [u8; 20] {
        [0x45, 0, 0, 0, 0, 0, 0, fragment, 64, protocol, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]
    }

    /// An IPv6 header from ::2 to ::1.
    fn v6(next: u8) -> [u8; 40] {
        let mut header = [0; 40];
        (header[0], header[6], header[23], header[39]) = (0x60, next, 2, 1);
        header
    }

    /// Whom the packet goes from and to, and how.
    fn shown(frame: &[u8]) -> String {
        let flow = Flow::of(frame).unwrap();
        let conversation = Conversation::from_words(flow.conversation().words());
        assert_eq!(conversation, flow.conversation());
        let [from, to] = conversation.ends(flow.is_backward());
        format!("{} {from} > {to}", conversation.protocol())
    }

    const PORTS: [u8; 4] = [0, 80, 0x10, 0x92];

    #[test]
    fn finds_addresses_ports_and_protocol() {
        assert_eq!(shown(&frame(0x800, &[&v4(6, 0), &PORTS])), "tcp 10.0.0.2:80 > 10.0.0.1:4242");
        assert_eq!(shown(&frame(0x8100, &[&[0, 5, 8, 0], &v4(17, 0), &PORTS])), "udp 10.0.0.2:80 > 10.0.0.1:4242");
        assert_eq!(shown(&frame(0x800, &[&v4(1, 0), &PORTS])), "icmp 10.0.0.2 > 10.0.0.1");
        // Later fragments and packets that are cut off have no ports.
        assert_eq!(shown(&frame(0x800, &[&v4(17, 1), &PORTS])), "udp 10.0.0.2 > 10.0.0.1");
        assert_eq!(shown(&frame(0x800, &[&v4(17, 0)])), "udp 10.0.0.2 > 10.0.0.1");
        let hop_by_hop = [6, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(shown(&frame(0x86dd, &[&v6(0), &hop_by_hop, &PORTS])), "tcp [::2]:80 > [::1]:4242");
        let (first, later) = ([17, 0, 0, 1, 0, 0, 0, 0], [17, 0, 0, 8, 0, 0, 0, 0]);
        assert_eq!(shown(&frame(0x86dd, &[&v6(44), &first, &PORTS])), "udp [::2]:80 > [::1]:4242");
        assert_eq!(shown(&frame(0x86dd, &[&v6(44), &later, &PORTS])), "udp ::2 > ::1");
        let arp = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1];
        assert_eq!(shown(&frame(0x806, &[&arp])), "arp 10.0.0.2 > 10.0.0.1");
        assert_eq!(shown(&frame(0x88cc, &[])), "ethertype 0x88cc 02:00:00:00:00:01 > 02:00:00:00:00:02");
        assert_eq!(shown(&frame(0x800, &[&v4(200, 0)])), "proto 200 10.0.0.2 > 10.0.0.1");
    }

    #[test]
    fn both_directions_are_one_conversation() {
        let there = Flow::of(&frame(0x800, &[&v4(6, 0), &PORTS])).unwrap();
        let mut back = v4(6, 0);
        back[12..].rotate_left(4);
        let back = Flow::of(&frame(0x800, &[&back, &[0x10, 0x92, 0, 80]])).unwrap();
        assert_eq!(there.conversation(), back.conversation());
        assert_ne!(there.is_backward(), back.is_backward());
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(kind in proptest::sample::select(vec![0x800_u16, 0x806, 0x86dd, 0x8100, 0x88cc]), bytes in vec(any::<u8>(), 0..120)) {
            for data in [&bytes, &frame(kind, &[&bytes])] {
                if let Some(flow) = Flow::of(data) {
                    prop_assert_eq!(Conversation::from_words(flow.conversation().words()), flow.conversation());
                }
            }
        }
    }
}
