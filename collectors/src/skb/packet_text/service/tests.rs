// SPDX-License-Identifier: Apache-2.0 OR MIT

use crate::skb::packet_text::tests::{bytes, ipv4, ipv6, tcp, text_of_cut, upper_text};

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
