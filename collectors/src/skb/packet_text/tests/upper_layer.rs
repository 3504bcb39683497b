// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What the corpus of captured packets (`collectors/tests/packets`) does not have: limits, lies and rare variants.

use super::{bytes, ipv4, ipv6, tcp, tcp_options, text_of_cut, upper_text};

/// A UDP datagram to this port.
fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = bytes("9c40");
    datagram.extend(port.to_be_bytes());
    datagram.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

/// What the line says behind the length of the datagram.
fn service(port: u16, hex: &str) -> String {
    let text = upper_text(&ipv4(17, &udp(port, &bytes(hex))));
    text.splitn(3, ' ').nth(2).unwrap().to_owned()
}

mod dns {
    use super::*;

    #[test]
    fn a_name_that_points_to_itself_ends() {
        assert_eq!(service(53, "0007 0100 0001 0000 0000 0000 c00c 0001 0001"), "DNS 7+ [|domain]");
        // Two that point to each other.
        assert_eq!(service(53, "0007 0100 0001 0000 0000 0000 c00e c00c 0001 0001"), "DNS 7+ [|domain]");
    }

    #[test]
    fn names_are_escaped() {
        let name = "03 1b5b4a 04 612e620a 02 5c20 00";
        let text = service(53, &format!("0007 0000 0001 0000 0000 0000 {name} 0010 0001"));
        assert_eq!(text, r"DNS 7 TXT? \027[J.a\.b\010.\\\ .");
    }

    #[test]
    fn only_the_first_answers_are_listed() {
        let answer = "00 0001 0001 00000000 0004 0a000001 ";
        let text = service(53, &format!("0007 8180 0000 0064 0000 0000 {}", answer.repeat(100)));
        assert!(text.starts_with("DNS 7 100/0/0 . A 10.0.0.1, "), "{text}");
        assert_eq!(text.matches(". A 10.0.0.1").count(), 16);
        assert!(text.ends_with(", ..."), "{text}");
    }

    #[test]
    fn multicast_flags_are_no_part_of_the_class() {
        assert_eq!(service(5353, "0000 0000 0001 0000 0000 0000 0161 00 0001 8001"), "DNS 0 A (QU)? a.");
        assert_eq!(
            service(5353, "0000 8400 0000 0001 0000 0000 0161 00 0001 8001 00000078 0004 0a000001"),
            "DNS 0*- 1/0/0 a. A (Cache flush) 10.0.0.1"
        );
    }

    #[test]
    fn flags_and_codes_have_their_signs() {
        assert_eq!(service(53, "0007 8782 0000 0000 0000 0000"), "DNS 7 ServFail*| 0/0/0");
        assert_eq!(service(53, "0007 8023 0000 0000 0000 0000"), "DNS 7 NXDomain-$ 0/0/0");
        assert_eq!(service(53, "0007 800f 0000 0000 0000 0000"), "DNS 7 Resp15- 0/0/0");
        assert_eq!(service(53, "0007 2010 0000 0000 0001 0002"), "DNS 7 notify% [0q] [1n] [2au]");
    }

    #[test]
    fn a_long_text_is_cut() {
        let record = format!("00 0010 0001 00000000 0065 64 {}", "61".repeat(100));
        let text = service(53, &format!("0007 8180 0000 0001 0000 0000 {record}"));
        assert_eq!(text, format!("DNS 7 1/0/0 . TXT \"{}\"...", "a".repeat(64)));
    }

    #[test]
    fn a_cut_message_shows_what_is_there() {
        let data = ipv4(17, &udp(53, &bytes("0007 0100 0001 0000 0000 0000 03616263 00 0001 0001")));
        assert!(text_of_cut(&data[..data.len() - 1], data.len()).ends_with(" length 21 DNS 7+ [|domain]"));
        assert!(text_of_cut(&data[..data.len() - 10], data.len()).ends_with(" length 21 DNS [|domain]"));
    }

    #[test]
    fn a_stream_is_read_only_where_a_message_begins() {
        let mut segment = tcp(0x18, &[], &bytes("0011 0007 0100 0001 0000 0000 0000 00 0001 0001"));
        segment[2..4].copy_from_slice(&53u16.to_be_bytes());
        let text = upper_text(&ipv4(6, &segment));
        assert!(text.ends_with(" length 19 DNS 7+ A? ."), "{text}");
        // A length that goes beyond the segment.
        segment[21] = 0x12;
        let text = upper_text(&ipv4(6, &segment));
        assert!(text.ends_with(" length 19"), "{text}");
    }
}

mod dhcp {
    use super::*;

    fn message(options: &str) -> String {
        let fixed = format!("01010600 0000abcd {} 020000000001 {}", "00".repeat(20), "00".repeat(202));
        service(67, &format!("{fixed} 63825363 {options}"))
    }

    #[test]
    fn the_kind_is_an_option() {
        assert_eq!(message("350103 ff"), "DHCP Request xid 0xabcd client 02:00:00:00:00:01");
        assert_eq!(message("350163 ff"), "DHCP type 99 xid 0xabcd client 02:00:00:00:00:01");
        assert_eq!(message("ff"), "BOOTP request xid 0xabcd client 02:00:00:00:00:01");
    }

    #[test]
    fn options_are_found_behind_padding_and_unknown_ones() {
        assert_eq!(
            message("0000 e10299aa 350101 00 3204 0a000005 0c03 1b0a61 ff 350102"),
            "DHCP Discover xid 0xabcd client 02:00:00:00:00:01 requested 10.0.0.5 hostname \"\\x1b\\na\""
        );
    }

    #[test]
    fn an_option_longer_than_the_message_is_marked() {
        assert_eq!(message("350101 0c20 61"), "DHCP Discover xid 0xabcd client 02:00:00:00:00:01 [|bootp]");
    }

    #[test]
    fn a_cut_message_is_known_by_its_transaction_and_client() {
        let fixed = bytes(&format!("01010600 0000abcd {} 020000000001 {}", "00".repeat(20), "00".repeat(202)));
        let data = ipv4(17, &super::udp(67, &fixed));
        // What the default of `--snaplen` leaves.
        let text = text_of_cut(&data[..255], data.len());
        assert!(text.ends_with(" BOOTP/DHCP request xid 0xabcd client 02:00:00:00:00:01 [|bootp]"), "{text}");
        assert!(text_of_cut(&data[..60], data.len()).ends_with(" DHCP [|bootp]"));
    }

    #[test]
    fn a_client_without_ethernet_is_known_by_its_id() {
        assert_eq!(
            message("350101 3d04 00616263 ff"),
            "DHCP Discover xid 0xabcd client 02:00:00:00:00:01 client-id 00616263"
        );
    }
}

mod dhcpv6 {
    use super::*;

    fn message(hex: &str) -> String {
        let text = upper_text(&ipv6(17, &udp(547, &bytes(hex))));
        text.split_once("DHCPv6 ").unwrap().1.to_owned()
    }

    #[test]
    fn prefixes_are_shown() {
        let prefix = "001a 0019 0000003c 00000078 38 fd000000000000000000000000000000";
        assert_eq!(
            message(&format!("07 000001 0019 0029 00000002 00000000 00000000 {prefix}")),
            "reply xid 0x1 IA_PD iaid 2 prefix fd00::/56 pltime 60s vltime 120s"
        );
    }

    #[test]
    fn endless_relays_end() {
        let relay = format!("0c 01 {}", "00".repeat(32));
        let mut hex = "01 000001".to_owned();
        for _ in 0..20 {
            let len = hex.chars().filter(char::is_ascii_hexdigit).count() / 2;
            hex = format!("{relay} 0009 {len:04x} {hex}");
        }
        let text = message(&hex);
        assert_eq!(text.matches("relay-fwd").count(), 5, "{text}");
        assert!(text.ends_with(" ...]]]]"), "{text}");
    }

    #[test]
    fn lies_about_lengths_are_marked() {
        assert_eq!(message("01 000001 0001 00ff 0102"), "solicit xid 0x1 [bad opt 1]");
        assert_eq!(message("01 000001 0003 0002 0102"), "solicit xid 0x1 [bad opt 3]");
        assert_eq!(message("63 000001"), "type 99 xid 0x1");
    }
}

mod sctp {
    use super::*;

    fn chunks(hex: &str) -> String {
        upper_text(&ipv4(132, &bytes(&format!("00010002 00000009 00000000 {hex}"))))
    }

    #[test]
    fn chunks_are_padded_and_the_last_one_need_not_be() {
        assert_eq!(
            chunks("0003 0011 00000001 0002 0003 00000004 41000000 0002 0011 00000002 0002 0003 00000004 42"),
            "vtag 0x9 [DATA [B,E] tsn 1 sid 2 sseq 3 ppid 4 length 1] [DATA [B] tsn 2 sid 2 sseq 3 ppid 4 length 1] length 49"
        );
    }

    #[test]
    fn endless_chunks_end() {
        let text = chunks(&"0b000004".repeat(200));
        assert_eq!(text.matches("[COOKIE ACK]").count(), 16);
        assert!(text.ends_with(" ... length 812"), "{text}");
    }

    #[test]
    fn many_gaps_are_counted_and_some_are_listed() {
        let text = chunks(&format!("0300 0040 0000000a 00001000 000c 0000 {}", "00020003".repeat(12)));
        assert!(text.contains("[SACK cum ack 10 a_rwnd 4096 gaps 12 dups 0 {12-13,"), "{text}");
        assert_eq!(text.matches("12-13").count(), 8);
        assert!(text.contains(",...}]"), "{text}");
    }

    #[test]
    fn interleaved_data_has_a_message_and_a_fragment_number() {
        assert_eq!(
            chunks("4001 0014 00000001 0002 0000 00000003 00000004"),
            "vtag 0x9 [I-DATA [E] tsn 1 sid 2 mid 3 fsn 4 length 0] length 32"
        );
    }
}

mod multipath_tcp {
    use super::*;

    #[test]
    fn the_sequence_signal_has_numbers_of_both_lengths() {
        let option = |hex: &str| tcp_options(&bytes(hex)).split(",nop").next().unwrap().to_owned();
        assert_eq!(option("1e08 2001 00000005"), "mptcp dss ack 5");
        assert_eq!(
            option("1e14 2005 00000005 00000006 00000007 0008 0009"),
            "mptcp dss ack 5 seq 6 subseq 7 len 8 csum 0x9"
        );
        assert_eq!(
            option("1e1a 201f 0000000000000005 0000000000000006 00000007 0008 0101"),
            "mptcp dss [fin] ack 5 seq 6 subseq 7 len 8"
        );
        assert_eq!(option("1e04 2004"), "mptcp [bad opt]");
    }
}

mod icmp {
    use super::*;

    #[test]
    fn a_quoted_error_is_not_followed() {
        let error = |quoted: &[u8]| {
            let mut message = bytes("0303 0000 00000000");
            message.extend(quoted);
            ipv4(1, &message)[14..].to_vec()
        };
        let innermost = ipv4(17, &udp(7, b""))[14..].to_vec();
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
    use super::super::super::group_records::decode_time;
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

mod others {
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

    #[test]
    fn a_checksum_covers_all_of_the_header_or_nothing_is_right() {
        assert_eq!(upper_text(&ipv4(136, &bytes("0001 0002 0000 0000 4142"))), "coverage 0 length 2");
        assert_eq!(upper_text(&ipv4(136, &bytes("0001 0002 0007 0000 4142"))), "[bad coverage 7] length 2");
        assert_eq!(upper_text(&ipv4(136, &bytes("0001 0002 000b 0000 4142"))), "[bad coverage 11] length 2");
    }

    #[test]
    fn a_header_longer_than_its_packet_is_bad() {
        let mut data = ipv4(17, &udp(7, b""));
        data[14] = 0x4f;
        assert_eq!(text_of_cut(&data, data.len()), "IPv4 [bad hdr length 60] length 28");
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
        let data = ipv6(0, &bytes(hex));
        let text = text_of_cut(&data, data.len());
        text[text.find("exts").unwrap()..].to_owned()
    }
}
