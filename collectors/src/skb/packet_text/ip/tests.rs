// SPDX-License-Identifier: Apache-2.0 OR MIT

use crate::skb::packet_text::tests::{
    FIRST_FRAGMENT_FRAME, FIRST_FRAGMENT6_FRAME, LAST_FRAGMENT_FRAME, MIDDLE_FRAGMENT_FRAME, MIDDLE_FRAGMENT6_FRAME,
    MULTICAST_REPORT_FRAME, NEIGHBOR_ADVERTISEMENT_FRAME, NEIGHBOR_SOLICITATION_FRAME, PING_FRAME, PING_REPLY_FRAME,
    PING6_FRAME, PORT_UNREACHABLE_FRAME, PORT_UNREACHABLE6_FRAME, RECORD_ROUTE_FRAME, ROUTER_SOLICITATION_FRAME,
    SCTP_FRAME, SYN_ACK_FRAME, UDP_FRAME, UDP6_FRAME, bytes, ipv4, ipv6, tcp, text, text_of_cut, upper_text,
};

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

    #[test]
    fn a_header_longer_than_its_packet_is_bad() {
        let mut data = super::ipv4(17, &bytes("9c40 0007 0008 0000"));
        data[14] = 0x4f;
        assert_eq!(text_of_cut(&data, data.len()), "IPv4 [bad hdr length 60] length 28");
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

    #[test]
    fn endless_options_of_extension_headers_end() {
        let options = "1e00".repeat(131);
        let text = upper_text_of_options(&format!("3b20 {options}"));
        assert_eq!(text.matches("(opt 0x1e len 0)").count(), 16);
        assert!(text.ends_with(" ...] proto no next header (59) length 0"), "{text}");
        assert_eq!(
            upper_text_of_options("3b00 1e09 00000000"),
            "exts [HBH [bad opt 0x1e]] proto no next header (59) length 0"
        );
        assert_eq!(
            upper_text_of_options("3b00 0504 00000000"),
            "exts [HBH (rtalert 0x0000)] proto no next header (59) length 0"
        );
    }

    fn upper_text_of_options(hex: &str) -> String {
        let data = super::ipv6(0, &bytes(hex));
        let text = text_of_cut(&data, data.len());
        text[text.find("exts").unwrap()..].to_owned()
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

mod icmp_errors {
    use super::*;

    #[test]
    fn a_quoted_error_is_not_followed() {
        let error = |quoted: &[u8]| {
            let mut message = bytes("0303 0000 00000000");
            message.extend(quoted);
            ipv4(1, &message)[14..].to_vec()
        };
        let innermost = ipv4(17, &bytes("9c40 0007 0008 0000"))[14..].to_vec();
        let mut frame = vec![0; 12];
        frame.extend([8, 0]);
        frame.extend(error(&error(&error(&innermost))));
        let text = upper_text(&frame);
        assert_eq!(text.matches("port unreachable").count(), 2, "{text}");
        assert!(text.ends_with("proto ICMP (1) type 3 code 3 port unreachable]"), "{text}");
    }

    #[test]
    fn a_cut_quote_is_marked() {
        let text = upper_text(&ipv4(1, &bytes("0303 0000 00000000 4500 0054")));
        assert_eq!(text, "type 3 code 3 port unreachable length 12 [[|ip]]");
    }

    #[test]
    fn a_time_that_counts_from_elsewhere_is_a_number() {
        let text = upper_text(&ipv4(1, &bytes("0e00 0000 0001 0002 80000005 00000001 05265bff")));
        assert_eq!(
            text,
            "type 14 code 0 time stamp reply id 1 seq 2 org 0x80000005 recv 00:00:00.001 xmit 23:59:59.999 length 20"
        );
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

mod neighbour_discovery {
    use super::*;

    fn solicitation(options: &str) -> String {
        let target = "fd000000000000000000000000000009";
        let text = upper_text(&ipv6(58, &bytes(&format!("8700 0000 00000000 {target} {options}"))));
        text.strip_prefix("type 135 code 0 neighbor solicitation who has fd00::9 ").unwrap().to_owned()
    }

    #[test]
    fn endless_options_end() {
        let text = solicitation(&"0501 0000 00000500".repeat(50));
        assert_eq!(text.matches("mtu 1280").count(), 16);
        assert!(text.ends_with(",...] length 424"), "{text}");
    }

    #[test]
    fn options_without_length_or_beyond_the_message_are_marked() {
        assert_eq!(solicitation("0100 0000 00000000"), "options [[bad opt 1]] length 32");
        assert_eq!(solicitation("0102 0000 00000000"), "options [[bad opt 1]] length 32");
        assert_eq!(solicitation("6301 0000 00000000"), "options [unknown option 99 (8 bytes)] length 32");
        assert_eq!(
            solicitation("1901 0000 00000005 1f02 0000 00000006 c000 000000000000"),
            "options [rdnss lifetime 5s addr,dnssl lifetime 6s domain [bad name]] length 48"
        );
    }

    #[test]
    fn a_route_has_as_much_of_its_prefix_as_it_needs() {
        assert_eq!(
            solicitation("1801 0018 0000003c 1802 4008 0000003c fd00000100000000"),
            "options [route ::/0 pref low lifetime 60s,route fd00:1::/64 pref high lifetime 60s] length 48"
        );
    }
}

mod groups {
    use super::super::group_records::decode_time;
    use super::*;

    #[test]
    fn long_times_are_floating_point() {
        // RFC 3376, 4.1.1: (mantissa | 16) << (exponent + 3); RFC 3810, 5.1.3 with 4096.
        assert_eq!([127, 128, 255].map(|code| decode_time(code, 7)), [127, 128, 31744]);
        assert_eq!([32767, 32768, 65535].map(|code| decode_time(code, 15)), [32767, 32768, 8_387_584]);
    }

    #[test]
    fn many_records_are_counted_and_some_are_listed() {
        let text = upper_text(&ipv4(2, &bytes(&format!("2200 0000 0000 0064 {}", "04000000 ef010101".repeat(100)))));
        assert!(text.starts_with("v3 report 100 group record(s) [gaddr 239.1.1.1 to_ex {}] "), "{text}");
        assert_eq!(text.matches("gaddr").count(), 16);
        assert!(text.ends_with(" ... length 808"), "{text}");
    }

    #[test]
    fn a_record_that_ends_early_is_marked() {
        let text = upper_text(&ipv4(2, &bytes("2200 0000 0000 0002 01000003 ef010101 0a000001")));
        assert_eq!(text, "v3 report 2 group record(s) [gaddr 239.1.1.1 is_in {10.0.0.1 [|igmp]}] [|igmp] length 20");
        let text = upper_text(&ipv4(2, &bytes("2200 0000 0000 0001 09000000 ef010101")));
        assert_eq!(text, "v3 report 1 group record(s) [gaddr 239.1.1.1 record 9 {}] length 16");
    }
}

mod vrrp {
    use super::*;

    #[test]
    fn the_third_version_of_vrrp_counts_hundredths_of_a_second() {
        let address = "fe800000000000000000000000000009";
        assert_eq!(
            upper_text(&ipv6(112, &bytes(&format!("31 07 64 01 0064 0000 {address}")))),
            "VRRPv3 advertisement vrid 7 prio 100 intvl 100cs addrs fe80::9 length 24"
        );
        assert_eq!(
            upper_text(&ipv4(112, &bytes("21 07 64 09 0201 0000"))),
            "VRRPv2 advertisement vrid 7 prio 100 authtype ah intvl 1s [|vrrp],... length 8"
        );
    }
}
