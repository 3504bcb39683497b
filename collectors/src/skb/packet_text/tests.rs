// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What is true of all packets, and what the tests beside the protocols share. Those look at limits, lies and rare
//! variants, which the corpus of captured packets (`collectors/tests/packets`) does not have.
//!
//! The frames named `*_FRAME` were captured on a veth pair (Linux 6.18, ping, TCP and UDP sockets); those with tags, odd
//! lengths and rare protocols are built by hand. The words and numbers were compared with what tcpdump 4.99.3 prints.

use proptest::prelude::{any, prop, proptest};

use super::{PacketTextOptions, write_packet};

pub(super) const LINK_LAYER: PacketTextOptions = PacketTextOptions { link_layer: true };
pub(super) const NO_LINK_LAYER: PacketTextOptions = PacketTextOptions { link_layer: false };

pub(super) const ARP_REQUEST_FRAME: &str =
    "ffffffffffffdedd13e8528908060001080006040001dedd13e85289c0a87d0a000000000000c0a87d0b";
pub(super) const ARP_REPLY_FRAME: &str =
    "dedd13e852893663088a248b080600010800060400023663088a248bc0a87d0bdedd13e85289c0a87d0a";
pub(super) const PING_FRAME: &str = "3663088a248bdedd13e85289080045000054261340004001992fc0a87d0ac0a87d0b08006e58210a0001781b006b0000000024430d0000000000101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637";
pub(super) const PING_REPLY_FRAME: &str = "dedd13e852893663088a248b080045000054472400004001b81ec0a87d0bc0a87d0a00007658210a0001781b006b0000000024430d0000000000101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637";
/// 1514 bytes on the wire, like the next.
pub(super) const FIRST_FRAGMENT_FRAME: &str = "3663088a248bdedd13e852890800450005dc261420004001b3a6c0a87d0ac0a87d0b08001c6c210b0001781b006b0000000055530d0000000000";
pub(super) const MIDDLE_FRAGMENT_FRAME: &str = "3663088a248bdedd13e852890800450005dc261420b94001b2edc0a87d0ac0a87d0bc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9";
pub(super) const LAST_FRAGMENT_FRAME: &str = "3663088a248bdedd13e85289080045000044261401724001d7ccc0a87d0ac0a87d0b88898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7";
pub(super) const RECORD_ROUTE_FRAME: &str = "3663088a248bdedd13e8528908004f00007c2615400040012943c0a87d0ac0a87d0b01072708c0a87d0a000000000000000000000000000000000000000000000000000000000000000008007233210e0001781b006b0000000020640d0000000000101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637";
pub(super) const SYN_FRAME: &str = "3663088a248bdedd13e8528908004500003c810e400040063e47c0a87d0ac0a87d0b86f41f9082682ba000000000a002faf07b950000020405b40402080a8167810f000000000103030a";
pub(super) const SYN_ACK_FRAME: &str = "dedd13e852893663088a248b08004500003c000040004006bf55c0a87d0bc0a87d0a1f9086f457e5513c82682ba1a012fe887b950000020405b40402080ad4ea80fa8167810f0103030a";
pub(super) const TCP_DATA_FRAME: &str = "3663088a248bdedd13e852890800450000398110400040063e48c0a87d0ac0a87d0b86f41f9082682ba157e5513d8018003f7b9200000101080a8167810fd4ea80fa68656c6c6f";
pub(super) const FIN_FRAME: &str = "3663088a248bdedd13e852890800450000348112400040063e4bc0a87d0ac0a87d0b86f41f9082682ba657e551478011003f7b8d00000101080a8167810fd4ea80fa";
pub(super) const RST_FRAME: &str =
    "dedd13e852893663088a248b080045000028000040004006bf69c0a87d0bc0a87d0a0009aff200000000680a4cb450140000cfaf0000";
pub(super) const UDP_FRAME: &str =
    "3663088a248bdedd13e85289080045000027780040004011475fc0a87d0ac0a87d0bb0da003500137b8b756470207061796c6f6164";
pub(super) const PORT_UNREACHABLE_FRAME: &str = "dedd13e852893663088a248b080045c0004347b900004001b6dac0a87d0bc0a87d0a03032d9a0000000045000027780040004011475fc0a87d0ac0a87d0bb0da003500137b8b756470207061796c6f6164";
pub(super) const SCTP_FRAME: &str =
    "3663088a248bdedd13e852890800450000201fd7400040849f1cc0a87d0ac0a87d0b005000510000000100000000";
pub(super) const UDP6_FRAME: &str = "3663088a248bdedd13e8528986dd6001865d00141140fd000000000000000000000000000010fd000000000000000000000000000011a5e000350014fa4775647036207061796c6f6164";
pub(super) const PORT_UNREACHABLE6_FRAME: &str = "dedd13e852893663088a248b86dd600a737500443a40fd000000000000000000000000000011fd00000000000000000000000000001001043cbb000000006001865d00141140fd000000000000000000000000000010fd000000000000000000000000000011a5e000350014fa4775647036207061796c6f6164";
pub(super) const PING6_FRAME: &str = "3663088a248bdedd13e8528986dd600ce37a00403a40fd000000000000000000000000000010fd000000000000000000000000000011800014a3210c0001781b006b000000000b590d0000000000101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637";
/// 1510 bytes on the wire, like the next.
pub(super) const FIRST_FRAGMENT6_FRAME: &str = "3663088a248bdedd13e8528986dd600ce37a05b02c40fd000000000000000000000000000010fd0000000000000000000000000000113a000001b5dce21480006741210d0001781b006b000000008c5e0d0000000000101112131415161718191a1b1c1d1e1f";
pub(super) const MIDDLE_FRAGMENT6_FRAME: &str = "3663088a248bdedd13e8528986dd600ce37a05b02c40fd000000000000000000000000000010fd0000000000000000000000000000113a0005a9b5dce214a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4";
pub(super) const NEIGHBOR_SOLICITATION_FRAME: &str = "3333ff000011dedd13e8528986dd6000000000203afffd000000000000000000000000000010ff0200000000000000000001ff00001187003a1c00000000fd0000000000000000000000000000110101dedd13e85289";
pub(super) const NEIGHBOR_ADVERTISEMENT_FRAME: &str = "dedd13e852893663088a248b86dd6000000000203afffd000000000000000000000000000011fd0000000000000000000000000000108800baf660000000fd00000000000000000000000000001102013663088a248b";
pub(super) const ROUTER_SOLICITATION_FRAME: &str = "333300000002dedd13e8528986dd6000000000103afffe80000000000000dcdd13fffee85289ff0200000000000000000000000000028500f48f000000000101dedd13e85289";
pub(super) const MULTICAST_REPORT_FRAME: &str = "333300000016dedd13e8528986dd600000000038000100000000000000000000000000000000ff0200000000000000000000000000163a000502000001008f0019ef0000000204000000ff0200000000000000000001ffe8528904000000ff0200000000000000000001ff000010";

/// Every kind of header that is parsed, for the tests that cut and corrupt.
const SAMPLES: &[&str] = &[
    ARP_REQUEST_FRAME,
    ARP_REPLY_FRAME,
    PING_FRAME,
    PING_REPLY_FRAME,
    FIRST_FRAGMENT_FRAME,
    MIDDLE_FRAGMENT_FRAME,
    LAST_FRAGMENT_FRAME,
    RECORD_ROUTE_FRAME,
    SYN_FRAME,
    SYN_ACK_FRAME,
    TCP_DATA_FRAME,
    FIN_FRAME,
    RST_FRAME,
    UDP_FRAME,
    PORT_UNREACHABLE_FRAME,
    SCTP_FRAME,
    UDP6_FRAME,
    PORT_UNREACHABLE6_FRAME,
    PING6_FRAME,
    FIRST_FRAGMENT6_FRAME,
    MIDDLE_FRAGMENT6_FRAME,
    NEIGHBOR_SOLICITATION_FRAME,
    NEIGHBOR_ADVERTISEMENT_FRAME,
    ROUTER_SOLICITATION_FRAME,
    MULTICAST_REPORT_FRAME,
    // 802.1ad outside, 802.1Q inside, ARP.
    "ffffffffffffdedd13e8528988a8a0648100001408060001080006040001dedd13e85289c0a87d0a000000000000c0a87d0b",
    // A spanning tree BPDU.
    "0180c2000000dedd13e85289002642420300000000008000dedd13e85289000000008000dedd13e8528980010000140002000f00",
];

pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub(super) fn line(data: &[u8], wire_len: usize, options: PacketTextOptions) -> String {
    let mut out = String::new();
    write_packet(&mut out, data, wire_len.try_into().unwrap(), options).unwrap();
    out
}

/// The line of a whole packet.
pub(super) fn text(hex: &str) -> String {
    let data = bytes(hex);
    line(&data, data.len(), NO_LINK_LAYER)
}

/// The line of a packet of which only `data` was captured.
pub(super) fn text_of_cut(data: &[u8], wire_len: usize) -> String {
    line(data, wire_len, NO_LINK_LAYER)
}

pub(super) fn text_with_link(hex: &str) -> String {
    let data = bytes(hex);
    line(&data, data.len(), LINK_LAYER)
}

/// An IPv4 packet behind a stand-in Ethernet header. The checksum is not looked at.
pub(super) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut data = bytes("000000000000000000000000 0800 4500 0000 0001 0000 40");
    data.push(protocol);
    data.extend([0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    data.extend(payload);
    let len = u16::try_from(data.len() - 14).unwrap();
    data[16..18].copy_from_slice(&len.to_be_bytes());
    data
}

/// An IPv6 packet behind a stand-in Ethernet header.
pub(super) fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut data = bytes("000000000000000000000000 86dd 6b812345");
    data.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    data.extend([next_header, 64]);
    data.extend("fe80::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    data.extend("fe80::2".parse::<std::net::Ipv6Addr>().unwrap().octets());
    data.extend(payload);
    data
}

/// What the line says behind `proto NAME (N) `.
pub(super) fn upper_text(data: &[u8]) -> String {
    let line = line(data, data.len(), NO_LINK_LAYER);
    let (_, protocol) = line.split_once(" proto ").unwrap();
    protocol.split_once(") ").unwrap().1.to_owned()
}

/// A TCP header with these flags and options, sequence number 1.
pub(super) fn tcp(flags: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0);
    let mut segment = bytes("9c40 0050 00000001 00000002");
    let offset_and_flags = (5 + options.len() as u16 / 4) << 12 | flags;
    segment.extend(offset_and_flags.to_be_bytes());
    segment.extend(bytes("0200 0000 0007"));
    segment.extend(options);
    segment.extend(payload);
    segment
}

pub(super) fn tcp_options(options: &[u8]) -> String {
    let text = upper_text(&ipv4(6, &tcp(0x10, options, &[])));
    let (_, list) = text.split_once(" options [").unwrap();
    list.strip_suffix("] length 0").unwrap().to_owned()
}

mod truncation {
    use super::*;

    #[test]
    fn each_header_is_named_when_it_is_cut() {
        assert_eq!(text_of_cut(&[], 60), "[|ether]");
        assert_eq!(text_of_cut(&bytes(PING_FRAME)[..13], 98), "[|ether]");
        assert_eq!(text_of_cut(&bytes("3663088a248bdedd13e85289 8100 0001 08"), 98), "[|vlan]");
        assert_eq!(text_of_cut(&bytes("0180c2000000dedd13e85289 0026 4242"), 52), "802.3 [|llc]");
        assert_eq!(text_of_cut(&bytes(ARP_REPLY_FRAME)[..41], 42), "ARP [|arp]");
        assert_eq!(text_of_cut(&bytes(PING_FRAME)[..33], 98), "[|ip]");
        assert_eq!(text_of_cut(&bytes(RECORD_ROUTE_FRAME)[..73], 138), "[|ip]");
        assert_eq!(text_of_cut(&bytes(PING6_FRAME)[..53], 118), "[|ip6]");
        assert!(text_of_cut(&bytes(UDP_FRAME)[..41], 53).ends_with(" proto UDP (17) [|udp]"));
        assert!(text_of_cut(&bytes(PING6_FRAME)[..55], 118).ends_with(" proto ICMPv6 (58) [|icmp6]"));
    }

    #[test]
    fn a_cut_payload_changes_nothing() {
        let data = bytes(TCP_DATA_FRAME);
        assert_eq!(text_of_cut(&data[..66], data.len()), text(TCP_DATA_FRAME));
    }

    #[test]
    fn a_wire_length_below_the_captured_one_is_ignored() {
        assert_eq!(text_of_cut(&bytes(UDP_FRAME), 0), text(UDP_FRAME));
    }

    #[test]
    fn every_sample_can_be_cut_at_every_byte() {
        for sample in SAMPLES {
            let data = bytes(sample);
            for len in 0..=data.len() {
                for (wire_len, options) in [(data.len(), LINK_LAYER), (data.len(), NO_LINK_LAYER), (len, LINK_LAYER)] {
                    assert_is_one_plain_line(&line(&data[..len], wire_len, options), sample);
                }
            }
        }
    }
}

/// `name` says which packet it is the line of.
pub(super) fn assert_is_one_plain_line(text: &str, name: &str) {
    assert!(!text.is_empty(), "{name}");
    assert!(text.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{name}: {text:?}");
    assert_eq!(text.trim(), text, "{name}");
    assert!(!without_names(text).contains("  "), "{name}: {text:?}");
}

/// The line without what packets say in quotes, which may hold any number of blanks.
fn without_names(text: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    text.chars()
        .filter(|c| {
            let quote = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            quoted ^= quote;
            !quoted
        })
        .collect()
}

proptest! {
    #[test]
    fn random_bytes_give_one_plain_line(
        data in prop::collection::vec(any::<u8>(), 0..200),
        wire_len: u32,
        link_layer: bool,
    ) {
        let mut out = String::new();
        write_packet(&mut out, &data, wire_len, PacketTextOptions { link_layer }).unwrap();
        assert_is_one_plain_line(&out, "made up");
    }

    /// Random bytes seldom get past the ethertype: start from a packet that does.
    #[test]
    fn corrupted_samples_give_one_plain_line(
        sample in prop::sample::select(SAMPLES),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        wire_len in 0u32..70_000,
        link_layer: bool,
    ) {
        let mut data = bytes(sample);
        for (index, value) in changes {
            let index = index.index(data.len());
            data[index] = value;
        }
        data.truncate(cut.index(data.len() + 1));
        let mut out = String::new();
        write_packet(&mut out, &data, wire_len, PacketTextOptions { link_layer }).unwrap();
        assert_is_one_plain_line(&out, "made up");
    }
}
