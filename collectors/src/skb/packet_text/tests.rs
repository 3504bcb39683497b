// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The frames named `*_FRAME` were captured on a veth pair (Linux 6.18, ping, TCP and UDP sockets); those with tags, odd
//! lengths and rare protocols are built by hand. The words and numbers were compared with what tcpdump 4.99.3 prints.

use proptest::prelude::{any, prop, proptest};

use super::{PacketTextOptions, write_packet};

mod link;
mod tunnel;
mod upper_layer;

const LINK_LAYER: PacketTextOptions = PacketTextOptions { link_layer: true };
const NO_LINK_LAYER: PacketTextOptions = PacketTextOptions { link_layer: false };

const ARP_REQUEST_FRAME: &str = "ffffffffffffdedd13e8528908060001080006040001dedd13e85289c0a87d0a000000000000c0a87d0b";
const ARP_REPLY_FRAME: &str = "dedd13e852893663088a248b080600010800060400023663088a248bc0a87d0bdedd13e85289c0a87d0a";
const PING_FRAME: &str = "3663088a248bdedd13e85289080045000054261340004001992fc0a87d0ac0a87d0b08006e58210a0001781b006b0000000024430d0000000000101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637";
const PING_REPLY_FRAME: &str = "dedd13e852893663088a248b080045000054472400004001b81ec0a87d0bc0a87d0a00007658210a0001781b006b0000000024430d0000000000101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637";
/// 1514 bytes on the wire, like the next.
const FIRST_FRAGMENT_FRAME: &str = "3663088a248bdedd13e852890800450005dc261420004001b3a6c0a87d0ac0a87d0b08001c6c210b0001781b006b0000000055530d0000000000";
const MIDDLE_FRAGMENT_FRAME: &str = "3663088a248bdedd13e852890800450005dc261420b94001b2edc0a87d0ac0a87d0bc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9";
const LAST_FRAGMENT_FRAME: &str = "3663088a248bdedd13e85289080045000044261401724001d7ccc0a87d0ac0a87d0b88898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7";
const RECORD_ROUTE_FRAME: &str = "3663088a248bdedd13e8528908004f00007c2615400040012943c0a87d0ac0a87d0b01072708c0a87d0a000000000000000000000000000000000000000000000000000000000000000008007233210e0001781b006b0000000020640d0000000000101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637";
const SYN_FRAME: &str = "3663088a248bdedd13e8528908004500003c810e400040063e47c0a87d0ac0a87d0b86f41f9082682ba000000000a002faf07b950000020405b40402080a8167810f000000000103030a";
const SYN_ACK_FRAME: &str = "dedd13e852893663088a248b08004500003c000040004006bf55c0a87d0bc0a87d0a1f9086f457e5513c82682ba1a012fe887b950000020405b40402080ad4ea80fa8167810f0103030a";
const TCP_DATA_FRAME: &str = "3663088a248bdedd13e852890800450000398110400040063e48c0a87d0ac0a87d0b86f41f9082682ba157e5513d8018003f7b9200000101080a8167810fd4ea80fa68656c6c6f";
const FIN_FRAME: &str = "3663088a248bdedd13e852890800450000348112400040063e4bc0a87d0ac0a87d0b86f41f9082682ba657e551478011003f7b8d00000101080a8167810fd4ea80fa";
const RST_FRAME: &str =
    "dedd13e852893663088a248b080045000028000040004006bf69c0a87d0bc0a87d0a0009aff200000000680a4cb450140000cfaf0000";
const UDP_FRAME: &str =
    "3663088a248bdedd13e85289080045000027780040004011475fc0a87d0ac0a87d0bb0da003500137b8b756470207061796c6f6164";
const PORT_UNREACHABLE_FRAME: &str = "dedd13e852893663088a248b080045c0004347b900004001b6dac0a87d0bc0a87d0a03032d9a0000000045000027780040004011475fc0a87d0ac0a87d0bb0da003500137b8b756470207061796c6f6164";
const SCTP_FRAME: &str = "3663088a248bdedd13e852890800450000201fd7400040849f1cc0a87d0ac0a87d0b005000510000000100000000";
const UDP6_FRAME: &str = "3663088a248bdedd13e8528986dd6001865d00141140fd000000000000000000000000000010fd000000000000000000000000000011a5e000350014fa4775647036207061796c6f6164";
const PORT_UNREACHABLE6_FRAME: &str = "dedd13e852893663088a248b86dd600a737500443a40fd000000000000000000000000000011fd00000000000000000000000000001001043cbb000000006001865d00141140fd000000000000000000000000000010fd000000000000000000000000000011a5e000350014fa4775647036207061796c6f6164";
const PING6_FRAME: &str = "3663088a248bdedd13e8528986dd600ce37a00403a40fd000000000000000000000000000010fd000000000000000000000000000011800014a3210c0001781b006b000000000b590d0000000000101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637";
/// 1510 bytes on the wire, like the next.
const FIRST_FRAGMENT6_FRAME: &str = "3663088a248bdedd13e8528986dd600ce37a05b02c40fd000000000000000000000000000010fd0000000000000000000000000000113a000001b5dce21480006741210d0001781b006b000000008c5e0d0000000000101112131415161718191a1b1c1d1e1f";
const MIDDLE_FRAGMENT6_FRAME: &str = "3663088a248bdedd13e8528986dd600ce37a05b02c40fd000000000000000000000000000010fd0000000000000000000000000000113a0005a9b5dce214a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4";
const NEIGHBOR_SOLICITATION_FRAME: &str = "3333ff000011dedd13e8528986dd6000000000203afffd000000000000000000000000000010ff0200000000000000000001ff00001187003a1c00000000fd0000000000000000000000000000110101dedd13e85289";
const NEIGHBOR_ADVERTISEMENT_FRAME: &str = "dedd13e852893663088a248b86dd6000000000203afffd000000000000000000000000000011fd0000000000000000000000000000108800baf660000000fd00000000000000000000000000001102013663088a248b";
const ROUTER_SOLICITATION_FRAME: &str = "333300000002dedd13e8528986dd6000000000103afffe80000000000000dcdd13fffee85289ff0200000000000000000000000000028500f48f000000000101dedd13e85289";
const MULTICAST_REPORT_FRAME: &str = "333300000016dedd13e8528986dd600000000038000100000000000000000000000000000000ff0200000000000000000000000000163a000502000001008f0019ef0000000204000000ff0200000000000000000001ffe8528904000000ff0200000000000000000001ff000010";

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
fn text(hex: &str) -> String {
    let data = bytes(hex);
    line(&data, data.len(), NO_LINK_LAYER)
}

/// The line of a packet of which only `data` was captured.
pub(super) fn text_of_cut(data: &[u8], wire_len: usize) -> String {
    line(data, wire_len, NO_LINK_LAYER)
}

fn text_with_link(hex: &str) -> String {
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

mod link_layer {
    use super::*;

    #[test]
    fn is_shown_when_asked_for() {
        assert_eq!(
            text_with_link(ARP_REPLY_FRAME),
            "36:63:08:8a:24:8b > de:dd:13:e8:52:89 ethertype ARP (0x0806) reply 192.168.125.11 is-at 36:63:08:8a:24:8b length 28"
        );
    }

    #[test]
    fn is_not_shown_when_both_addresses_are_zero() {
        let data = ipv4(17, &bytes("0001 0002 0008 0000"));
        assert_eq!(line(&data, data.len(), LINK_LAYER), line(&data, data.len(), NO_LINK_LAYER));
    }

    #[test]
    fn an_unknown_ethertype_is_a_number() {
        let frame = "3663088a248bdedd13e85289 1234 00010203";
        assert_eq!(text(frame), "ethertype 0x1234 (unknown) length 4");
        assert_eq!(text_with_link(frame), "de:dd:13:e8:52:89 > 36:63:08:8a:24:8b ethertype 0x1234 (unknown) length 4");
    }

    #[test]
    fn a_protocol_that_is_not_parsed_is_named() {
        assert_eq!(text("0180c200000ededd13e85289 8902 0207"), "ethertype CFM (0x8902) length 2");
    }

    #[test]
    fn a_zero_protocol_behind_a_stand_in_header_is_no_length() {
        assert_eq!(text("000000000000000000000000 0004 4242"), "ethertype 0x0004 (unknown) length 2");
    }

    #[test]
    fn llc_is_named() {
        assert_eq!(
            text("0180c2000000dedd13e85289 0003 424303 0000"),
            "802.3 LLC dsap STP (0x42) ssap STP (0x43) ctrl 0x03 length 3"
        );
    }

    #[test]
    fn a_vlan_tag_is_shown_with_and_without_the_link_layer() {
        let frame = format!("ffffffffffffdedd13e85289 8100 b00a {}", &ARP_REQUEST_FRAME[24..]);
        assert_eq!(text(&frame), "vlan 10 p 5 DEI ARP request who-has 192.168.125.11 tell 192.168.125.10 length 28");
        assert_eq!(
            text_with_link(&frame),
            "de:dd:13:e8:52:89 > ff:ff:ff:ff:ff:ff ethertype 802.1Q (0x8100) vlan 10 p 5 DEI \
             ethertype ARP (0x0806) request who-has 192.168.125.11 tell 192.168.125.10 length 28"
        );
    }

    #[test]
    fn stacked_vlan_tags_are_all_shown() {
        let frame = format!("3663088a248bdedd13e85289 88a8 0064 8100 0fff {}", &UDP_FRAME[24..]);
        assert!(text(&frame).starts_with("vlan 100 p 0 vlan 4095 p 0 192.168.125.10.45274 > "));
        assert!(
            text_with_link(&frame).contains(
                " ethertype 802.1Q-QinQ (0x88a8) vlan 100 p 0 ethertype 802.1Q (0x8100) vlan 4095 p 0 ethertype IPv4 (0x0800) "
            )
        );
    }

    #[test]
    fn endless_vlan_tags_end() {
        let frame = format!("3663088a248bdedd13e85289 8100 {}", "00018100".repeat(1000));
        let text = text(&frame);
        assert_eq!(text.matches("vlan 1 ").count(), 8);
        assert!(text.ends_with("ethertype 802.1Q (0x8100) length 3968"), "{text}");
    }
}

mod arp {
    use super::*;

    #[test]
    fn a_request_asks_who_has() {
        assert_eq!(text(ARP_REQUEST_FRAME), "ARP request who-has 192.168.125.11 tell 192.168.125.10 length 28");
    }

    #[test]
    fn a_unicast_request_shows_whom_it_asks() {
        let mut data = bytes(ARP_REQUEST_FRAME);
        data[32..38].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        assert_eq!(
            text_of_cut(&data, 42),
            "ARP request who-has 192.168.125.11 (02:00:00:00:00:01) tell 192.168.125.10 length 28"
        );
    }

    #[test]
    fn a_reply_says_is_at() {
        assert_eq!(text(ARP_REPLY_FRAME), "ARP reply 192.168.125.11 is-at 36:63:08:8a:24:8b length 28");
    }

    #[test]
    fn other_operations_and_hardware_are_numbers() {
        let mut data = bytes(ARP_REQUEST_FRAME);
        data[21] = 99;
        assert_eq!(text_of_cut(&data, 42), "ARP op 99 hardware 1 protocol 0x0800 length 28");
        data[14..16].copy_from_slice(&32u16.to_be_bytes());
        data[21] = 1;
        assert_eq!(text_of_cut(&data, 42), "ARP request (op 1) hardware 32 protocol 0x0800 length 28");
    }
}

mod ipv4 {
    use super::*;

    #[test]
    fn a_ping_reads_as_documented() {
        assert_eq!(
            text(PING_FRAME),
            "192.168.125.10 > 192.168.125.11 ttl 64 tos 0x0 id 9747 off 0 [DF] len 84 proto ICMP (1) \
             type 8 code 0 echo request id 8458 seq 1 length 64"
        );
    }

    #[test]
    fn tos_is_the_whole_byte() {
        let mut data = bytes(PING_FRAME);
        data[15] = 0xb9;
        assert!(text_of_cut(&data, 98).contains(" tos 0xb9,ECT(1) "));
    }

    #[test]
    fn flags_are_told_apart() {
        let mut data = bytes(PING_FRAME);
        for (byte, flags) in [
            (0x00, " off 0 len "),
            (0x20, " off 0 [+] len "),
            (0x40, " off 0 [DF] len "),
            (0x60, " off 0 [+,DF] len "),
            (0x80, " off 0 [rsvd] len "),
            (0xe0, " off 0 [+,DF,rsvd] len "),
        ] {
            data[20] = byte;
            let text = text_of_cut(&data, 98);
            assert!(text.contains(flags), "{text}");
        }
    }

    #[test]
    fn options_are_shown() {
        assert_eq!(
            text(RECORD_ROUTE_FRAME),
            "192.168.125.10 > 192.168.125.11 ttl 64 tos 0x0 id 9749 off 0 [DF] len 124 \
             options [NOP,RR 192.168.125.10 ^ 0.0.0.0 0.0.0.0 0.0.0.0 0.0.0.0 0.0.0.0 0.0.0.0 0.0.0.0 0.0.0.0] \
             proto ICMP (1) type 8 code 0 echo request id 8462 seq 1 length 64"
        );
    }

    #[test]
    fn the_first_fragment_shows_its_transport_header() {
        assert_eq!(
            text_of_cut(&bytes(FIRST_FRAGMENT_FRAME), 1514),
            "192.168.125.10 > 192.168.125.11 ttl 64 tos 0x0 id 9748 off 0 [+] len 1500 \
             proto ICMP (1) type 8 code 0 echo request id 8459 seq 1 length 1480"
        );
    }

    #[test]
    fn later_fragments_show_no_transport_header() {
        assert_eq!(
            text_of_cut(&bytes(MIDDLE_FRAGMENT_FRAME), 1514),
            "192.168.125.10 > 192.168.125.11 ttl 64 tos 0x0 id 9748 off 1480 [+] len 1500 proto ICMP (1)"
        );
        assert_eq!(
            text(LAST_FRAGMENT_FRAME),
            "192.168.125.10 > 192.168.125.11 ttl 64 tos 0x0 id 9748 off 2960 len 68 proto ICMP (1)"
        );
    }

    #[test]
    fn later_fragments_have_no_ports() {
        let mut data = bytes(UDP_FRAME);
        data[21] = 1;
        assert_eq!(
            text_of_cut(&data, 53),
            "192.168.125.10 > 192.168.125.11 ttl 64 tos 0x0 id 30720 off 8 [DF] len 39 proto UDP (17)"
        );
    }

    #[test]
    fn padding_is_no_payload() {
        let mut data = bytes(SYN_ACK_FRAME);
        data.extend([0; 20]);
        let text = text_of_cut(&data, data.len());
        assert!(text.ends_with(" length 0"), "{text}");
        assert!(text.contains(" seq 1474646332 ack "), "{text}");
    }

    #[test]
    fn a_packet_shorter_than_its_header_says_is_missing_bytes() {
        let text = text_of_cut(&bytes(PING_FRAME), 98);
        assert!(!text.contains("missing"), "{text}");
        let text = text_of_cut(&bytes(PING_FRAME)[..88], 88);
        assert!(text.contains(" len 84 [10 bytes missing] proto "), "{text}");
    }

    #[test]
    fn a_zero_total_length_is_that_of_the_packet() {
        let mut data = super::ipv4(6, &tcp(0x10, &[], b"four"));
        data[16..18].copy_from_slice(&[0, 0]);
        let text = text_of_cut(&data, 14 + 40 + 70_000);
        assert!(text.contains(" len 0 proto TCP (6) flags [.] seq 1:70001 ack 2 "), "{text}");
    }

    #[test]
    fn impossible_lengths_and_versions_are_named() {
        let mut data = bytes(PING_FRAME);
        data[16..18].copy_from_slice(&[0, 19]);
        assert!(text_of_cut(&data, 98).contains(" len 19 [bad len] proto "));
        data[14] = 0x44;
        assert_eq!(text_of_cut(&data, 98), "IPv4 [bad hdr length 16] length 84");
        data[14] = 0x65;
        assert_eq!(text_of_cut(&data, 98), "IPv4 [bad version 6] length 84");
    }

    #[test]
    fn other_protocols_are_named_with_their_number() {
        assert_eq!(
            text(SCTP_FRAME),
            "192.168.125.10.80 > 192.168.125.11.81 ttl 64 tos 0x0 id 8151 off 0 [DF] len 32 proto SCTP (132) vtag 0x1 length 12"
        );
        let data = super::ipv4(253, &[1, 2, 3]);
        assert_eq!(
            text_of_cut(&data, data.len()),
            "10.0.0.1 > 10.0.0.2 ttl 64 tos 0x0 id 1 off 0 len 23 proto 253 length 3"
        );
    }
}

mod ipv6 {
    use super::*;

    #[test]
    fn all_of_the_header_is_shown() {
        let data = super::ipv6(59, &[]);
        assert_eq!(
            text_of_cut(&data, data.len()),
            "fe80::1 > fe80::2 hlim 64 tclass 0xb8 flowlabel 0x12345 len 0 proto no next header (59) length 0"
        );
    }

    #[test]
    fn ports_stand_on_the_addresses() {
        assert_eq!(
            text(UDP6_FRAME),
            "fd00::10.42464 > fd00::11.53 hlim 64 tclass 0x0 flowlabel 0x1865d len 20 proto UDP (17) length 12 \
             DNS 30052 op14% [8304q] [24953a] [27759n] [24932au] [|domain]"
        );
    }

    #[test]
    fn extension_headers_are_named_and_skipped() {
        assert_eq!(
            text(MULTICAST_REPORT_FRAME),
            ":: > ff02::16 hlim 1 tclass 0x0 flowlabel 0x0 len 56 exts [HBH (rtalert 0x0000)] proto ICMPv6 (58) \
             type 143 code 0 multicast listener report v2 2 group record(s) [gaddr ff02::1:ffe8:5289 to_ex {}] \
             [gaddr ff02::1:ff00:10 to_ex {}] length 48"
        );
        // Hop-by-hop, routing (16 bytes), destination options, authentication (16 bytes), UDP.
        let chain = "2b00010400000000 3c01000000000000 0000000000000000 3300010400000000
                     1102000000000001 0000000200000000 9c40 0035 0009 0000 41";
        let data = super::ipv6(0, &bytes(chain));
        let text = text_of_cut(&data, data.len());
        assert!(text.starts_with("fe80::1.40000 > fe80::2.53 "), "{text}");
        assert!(
            text.ends_with(
                " len 57 exts [HBH,srcrt (type 0 segleft 0),DSTOPT,AH (spi 0x00000001 seq 0x2)] proto UDP (17) length 1 DNS [|domain]"
            ),
            "{text}"
        );
    }

    #[test]
    fn the_first_fragment_shows_its_transport_header() {
        assert_eq!(
            text_of_cut(&bytes(FIRST_FRAGMENT6_FRAME), 1510),
            "fd00::10 > fd00::11 hlim 64 tclass 0x0 flowlabel 0xce37a len 1456 \
             exts [frag (0xb5dce214:0|1448)+] proto ICMPv6 (58) type 128 code 0 echo request id 8461 seq 1 length 1448"
        );
    }

    #[test]
    fn later_fragments_show_no_transport_header() {
        assert_eq!(
            text_of_cut(&bytes(MIDDLE_FRAGMENT6_FRAME), 1510),
            "fd00::10 > fd00::11 hlim 64 tclass 0x0 flowlabel 0xce37a len 1456 \
             exts [frag (0xb5dce214:1448|1448)+] proto ICMPv6 (58)"
        );
    }

    #[test]
    fn endless_extension_headers_end() {
        let data = super::ipv6(60, &bytes("3c00010400000000").repeat(100));
        let text = text_of_cut(&data, data.len());
        assert_eq!(text.matches("DSTOPT").count(), 16);
        assert!(text.ends_with("] [too many extension headers]"), "{text}");
    }

    #[test]
    fn a_cut_extension_header_is_named() {
        let data = super::ipv6(0, &bytes("2b00010400000000 3c01000000000000 0000000000000000"));
        let text = text_of_cut(&data[..data.len() - 1], data.len());
        assert!(text.ends_with(" exts [HBH] [|srcrt]"), "{text}");
    }

    #[test]
    fn an_authentication_header_without_length_is_bad() {
        let data = super::ipv6(51, &[6; 1].into_iter().chain([0; 23]).collect::<Vec<_>>());
        let text = text_of_cut(&data, data.len());
        assert!(text.ends_with(" len 24 [bad AH length]"), "{text}");
    }

    #[test]
    fn a_zero_payload_length_is_that_of_the_packet() {
        let mut data = super::ipv6(6, &tcp(0x10, &[], b"four"));
        data[18..20].copy_from_slice(&[0, 0]);
        let text = text_of_cut(&data, 14 + 40 + 20 + 70_000);
        assert!(text.contains(" len 0 proto TCP (6) flags [.] seq 1:70001 ack 2 "), "{text}");
    }
}

mod tcp {
    use super::*;

    #[test]
    fn a_connection_reads_as_in_tcpdump() {
        assert_eq!(
            text(SYN_FRAME),
            "192.168.125.10.34548 > 192.168.125.11.8080 ttl 64 tos 0x0 id 33038 off 0 [DF] len 60 proto TCP (6) \
             flags [S] seq 2187864992 win 64240 options [mss 1460,sackOK,TS val 2171044111 ecr 0,nop,wscale 10] length 0"
        );
        let upper = |hex: &str| upper_text(&bytes(hex));
        assert_eq!(
            upper(SYN_ACK_FRAME),
            "flags [S.] seq 1474646332 ack 2187864993 win 65160 \
             options [mss 1460,sackOK,TS val 3572138234 ecr 2171044111,nop,wscale 10] length 0"
        );
        assert_eq!(
            upper(TCP_DATA_FRAME),
            "flags [P.] seq 2187864993:2187864998 ack 1474646333 win 63 \
             options [nop,nop,TS val 2171044111 ecr 3572138234] length 5"
        );
        assert_eq!(
            upper(FIN_FRAME),
            "flags [F.] seq 2187864998 ack 1474646343 win 63 \
             options [nop,nop,TS val 2171044111 ecr 3572138234] length 0"
        );
        assert_eq!(upper(RST_FRAME), "flags [R.] seq 0 ack 1745505460 win 0 length 0");
    }

    #[test]
    fn each_flag_has_its_sign() {
        for (flags, signs) in [
            (0x000, "none"),
            (0x001, "F"),
            (0x002, "S"),
            (0x004, "R"),
            (0x008, "P"),
            (0x010, "."),
            (0x020, "U"),
            (0x040, "E"),
            (0x080, "W"),
            (0x100, "e"),
            (0x0c2, "SEW"),
            (0x1ff, "FSRP.UEWe"),
        ] {
            let text = upper_text(&super::ipv4(6, &tcp(flags, &[], &[])));
            assert!(text.starts_with(&format!("flags [{signs}] seq 1 ")), "{text}");
            assert_eq!(text.contains(" ack 2 "), flags & 0x10 != 0, "{text}");
            assert_eq!(text.contains(" urg 7 "), flags & 0x20 != 0, "{text}");
        }
    }

    #[test]
    fn the_sequence_range_wraps() {
        let mut segment = tcp(0x10, &[], b"four");
        segment[4..8].copy_from_slice(&[0xff; 4]);
        let text = upper_text(&super::ipv4(6, &segment));
        assert!(text.contains(" seq 4294967295:3 "), "{text}");
    }

    #[test]
    fn a_selective_acknowledgement_lists_its_blocks() {
        assert_eq!(tcp_options(&bytes("0101 0512 00000001 00000002 00000003 00000004")), "nop,nop,sack 2 {1:2}{3:4}");
    }

    #[test]
    fn options_behind_an_unknown_one_are_shown() {
        assert_eq!(
            tcp_options(&bytes("fc04beef 1302 2202 1e04aabb 0101 0000")),
            "unknown-252 0xbeef,[bad opt 19],tfo cookiereq,mptcp unknown subtype 10 (2 bytes),nop,nop,eol"
        );
    }

    #[test]
    fn malformed_options_are_named() {
        assert_eq!(tcp_options(&bytes("02030505")), "[bad opt 2]");
        assert_eq!(tcp_options(&bytes("01fd01ff")), "nop,[bad opt 253]");
        assert_eq!(tcp_options(&bytes("010101fd")), "nop,nop,nop,[bad opt 253]");
        assert_eq!(tcp_options(&bytes("010101 02")), "nop,nop,nop,[bad opt 2]");
        assert_eq!(tcp_options(&bytes("fdff0000")), "[bad opt 253]");
    }

    #[test]
    fn cut_options_hide_nothing_before_them() {
        let data = bytes(SYN_FRAME);
        let cut = |len: usize| upper_text_of_cut(&data[..len], data.len());
        let head = "flags [S] seq 2187864992 win 64240 options [";
        assert_eq!(cut(54), format!("{head}[|tcp]] length 0"));
        assert_eq!(cut(58), format!("{head}mss 1460,[|tcp]] length 0"));
        assert_eq!(cut(69), format!("{head}mss 1460,sackOK,[|tcp]] length 0"));
        assert_eq!(cut(73), format!("{head}mss 1460,sackOK,TS val 2171044111 ecr 0,nop,[|tcp]] length 0"));
    }

    fn upper_text_of_cut(data: &[u8], wire_len: usize) -> String {
        let line = line(data, wire_len, NO_LINK_LAYER);
        line.split_once(") ").unwrap().1.to_owned()
    }

    #[test]
    fn a_cut_header_still_shows_the_ports() {
        let text = text_of_cut(&bytes(SYN_FRAME)[..14 + 20 + 4], 74);
        assert!(text.starts_with("192.168.125.10.34548 > 192.168.125.11.8080 "), "{text}");
        assert!(text.ends_with(" proto TCP (6) [|tcp]"), "{text}");
    }

    #[test]
    fn an_impossible_header_length_is_named() {
        let mut segment = tcp(0x10, &[], &[]);
        segment[12] = 0x40;
        assert_eq!(upper_text(&super::ipv4(6, &segment)), "flags [.] seq 1 [bad hdr length 16] length 20");
        segment[12] = 0x60;
        assert_eq!(upper_text(&super::ipv4(6, &segment)), "flags [.] seq 1 [bad hdr length 24] length 20");
    }
}

mod udp {
    use super::*;

    #[test]
    fn the_length_is_that_of_the_payload() {
        assert_eq!(
            text(UDP_FRAME),
            "192.168.125.10.45274 > 192.168.125.11.53 ttl 64 tos 0x0 id 30720 off 0 [DF] len 39 proto UDP (17) \
             length 11 DNS [|domain]"
        );
    }

    #[test]
    fn a_length_that_cannot_be_is_named() {
        let udp = |len: &str| upper_text(&super::ipv4(17, &bytes(&format!("00010002{len}0000 41424344"))));
        assert_eq!(udp("0007"), "[bad length 7]");
        assert_eq!(udp("000d"), "[bad length 5 > 4]");
        assert_eq!(udp("0000"), "[bad length 0]");
        assert_eq!(udp("000b"), "length 3");
    }

    #[test]
    fn a_jumbogram_is_as_long_as_its_packet() {
        assert_eq!(upper_text(&super::ipv6(17, &bytes("00010002 0000 0000 41424344"))), "length 4");
    }

    #[test]
    fn a_first_fragment_shows_the_length_of_the_datagram() {
        let mut data = super::ipv4(17, &bytes("0001 0002 0fa0 0000 41424344"));
        data[20] = 0x20;
        assert_eq!(upper_text(&data), "length 3992");
    }
}

mod icmp {
    use super::*;

    fn icmp(hex: &str) -> String {
        upper_text(&super::ipv4(1, &bytes(hex)))
    }

    #[test]
    fn unreachable_says_what_is() {
        assert_eq!(
            upper_text(&bytes(PORT_UNREACHABLE_FRAME)),
            "type 3 code 3 port unreachable length 47 [192.168.125.10.45274 > 192.168.125.11.53 ttl 64 tos 0x0 id 30720 \
             off 0 [DF] len 39 proto UDP (17)]"
        );
        assert_eq!(icmp("0304 0000 0000 0578"), "type 3 code 4 unreachable - need to frag (mtu 1400) length 8");
        assert_eq!(icmp("030a 0000 00000000"), "type 3 code 10 host unreachable - admin prohibited length 8");
        assert_eq!(icmp("0363 0000 00000000"), "type 3 code 99 unreachable length 8");
    }

    #[test]
    fn common_messages_have_words() {
        assert_eq!(upper_text(&bytes(PING_REPLY_FRAME)), "type 0 code 0 echo reply id 8458 seq 1 length 64");
        assert_eq!(icmp("0b00 0000 00000000"), "type 11 code 0 time exceeded in-transit length 8");
        assert_eq!(icmp("0b01 0000 00000000"), "type 11 code 1 ip reassembly time exceeded length 8");
        assert_eq!(icmp("0501 0000 0a000003"), "type 5 code 1 redirect host to 10.0.0.3 length 8");
        assert_eq!(icmp("0c00 0000 14000000"), "type 12 code 0 parameter problem - octet 20 length 8");
    }

    #[test]
    fn unknown_types_are_numbers() {
        assert_eq!(icmp("6301 0000 00000000"), "type 99 code 1 length 8");
    }

    #[test]
    fn a_cut_message_says_so() {
        let data = bytes(PING_FRAME);
        assert!(text_of_cut(&data[..35], 98).ends_with(" proto ICMP (1) [|icmp]"));
        assert!(text_of_cut(&data[..41], 98).ends_with(" type 8 code 0 echo request [|icmp] length 64"));
    }
}

mod icmpv6 {
    use super::*;

    fn icmpv6(hex: &str) -> String {
        upper_text(&super::ipv6(58, &bytes(hex)))
    }

    #[test]
    fn echo_shows_id_and_sequence() {
        assert_eq!(upper_text(&bytes(PING6_FRAME)), "type 128 code 0 echo request id 8460 seq 1 length 64");
    }

    #[test]
    fn neighbor_discovery_shows_its_target() {
        assert_eq!(
            text(NEIGHBOR_SOLICITATION_FRAME),
            "fd00::10 > ff02::1:ff00:11 hlim 255 tclass 0x0 flowlabel 0x0 len 32 proto ICMPv6 (58) \
             type 135 code 0 neighbor solicitation who has fd00::11 \
             options [source link-address de:dd:13:e8:52:89] length 32"
        );
        assert_eq!(
            upper_text(&bytes(NEIGHBOR_ADVERTISEMENT_FRAME)),
            "type 136 code 0 neighbor advertisement tgt is fd00::11 [solicited,override] \
             options [target link-address 36:63:08:8a:24:8b] length 32"
        );
        assert_eq!(
            upper_text(&bytes(ROUTER_SOLICITATION_FRAME)),
            "type 133 code 0 router solicitation options [source link-address de:dd:13:e8:52:89] length 16"
        );
        assert_eq!(
            icmpv6("8600 0000 40c80708 00000001 00000002"),
            "type 134 code 0 router advertisement hop limit 64 [managed,other stateful] pref high router lifetime 1800s \
             reachable time 1ms retrans timer 2ms length 16"
        );
    }

    #[test]
    fn errors_have_words() {
        assert_eq!(
            upper_text(&bytes(PORT_UNREACHABLE6_FRAME)),
            "type 1 code 4 port unreachable length 68 [fd00::10.42464 > fd00::11.53 hlim 64 tclass 0x0 flowlabel 0x1865d \
             len 20 proto UDP (17)]"
        );
        assert_eq!(icmpv6("0100 0000 00000000"), "type 1 code 0 unreachable - no route length 8");
        assert_eq!(icmpv6("0200 0000 00000500"), "type 2 code 0 packet too big mtu 1280 length 8");
        assert_eq!(icmpv6("0300 0000 00000000"), "type 3 code 0 time exceeded in-transit length 8");
    }

    #[test]
    fn unknown_types_are_numbers() {
        assert_eq!(icmpv6("c807 0000 00000000"), "type 200 code 7 length 8");
    }

    #[test]
    fn icmp_of_the_other_version_is_not_decoded() {
        assert_eq!(upper_text(&super::ipv6(1, &bytes("0800 0000 00010001"))), "length 8");
        assert_eq!(upper_text(&super::ipv4(58, &bytes("8000 0000 00010001"))), "length 8");
    }
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
