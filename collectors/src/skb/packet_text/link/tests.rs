// SPDX-License-Identifier: Apache-2.0 OR MIT

use crate::skb::packet_text::tests::{
    ARP_REPLY_FRAME, ARP_REQUEST_FRAME, LINK_LAYER, NO_LINK_LAYER, UDP_FRAME, bytes, ipv4, line, text, text_of_cut,
    text_with_link,
};

/// The text of what this ethertype announces.
fn ether(ether_type: &str, payload: &str) -> String {
    text(&format!("020000000002 020000000001 {ether_type} {payload}"))
}

/// The same where the capture ends with `payload` and the packet does not.
fn cut(ether_type: &str, payload: &str) -> String {
    text_of_cut(&bytes(&format!("020000000002 020000000001 {ether_type} {payload}")), 200)
}

/// An IPv4 packet, and how its line starts.
const INNER: &str = "4500001d 00000000 4011 0000 c0a80001 c0a80002 9c400009 00090000 41";
const INNER_TEXT: &str = "192.168.0.1.40000 > 192.168.0.2.9 ttl 64 tos 0x0 id 0 off 0 len 29 proto UDP (17) length 1";

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

mod mpls {
    use super::*;

    #[test]
    fn each_label_is_shown() {
        // Labels 100, 200 and 16, traffic class 5, time to live 64; the last one is the bottom.
        assert_eq!(
            ether("8847", &format!("00064a40 000c8a40 00010b40 {INNER}")),
            format!("MPLS (label 100 tc 5 ttl 64) (label 200 tc 5 ttl 64) (label 16 tc 5 [S] ttl 64): {INNER_TEXT}")
        );
        assert_eq!(
            text_with_link(&format!("020000000002 020000000001 8848 00002140 {INNER}")),
            format!(
                "02:00:00:00:00:01 > 02:00:00:00:00:02 ethertype MPLS multicast (0x8848) \
                 MPLS (label 2 (IPv6 explicit NULL) tc 0 [S] ttl 64): {INNER_TEXT}"
            )
        );
    }

    #[test]
    fn a_pseudowire_is_known_by_its_ethertype() {
        let frame = format!("000000000002 020000000001 0800 {INNER}");
        assert_eq!(
            ether("8847", &format!("00064140 00000009 {frame}")),
            format!("MPLS (label 100 tc 0 [S] ttl 64) control word seq 9: {INNER_TEXT}")
        );
        // Addresses of real cards often start with a zero: that is not a control word.
        assert_eq!(
            ether("8847", &format!("00064140 {frame}")),
            format!("MPLS (label 100 tc 0 [S] ttl 64): {INNER_TEXT}")
        );
        assert_eq!(ether("8847", "00064140 00000009 aabbccdd"), "MPLS (label 100 tc 0 [S] ttl 64) length 8");
    }

    #[test]
    fn the_associated_channel_is_named() {
        assert_eq!(
            ether("8847", "0000d1ff 10000007 20c80318"),
            "MPLS (label 13 (generic associated channel) tc 0 [S] ttl 255) associated channel 0x0007 length 8"
        );
    }

    #[test]
    fn endless_and_cut_stacks_end() {
        let text = ether("8847", &"00064040".repeat(200));
        assert_eq!(text.matches("(label 100 ").count(), 16);
        assert!(text.ends_with(" [too many labels] length 736"), "{text}");
        assert_eq!(cut("8847", "00064040 0006"), "MPLS (label 100 tc 0 ttl 64) [|mpls]");
    }
}

mod pppoe {
    use super::*;

    #[test]
    fn discovery_shows_its_tags() {
        assert_eq!(
            ether("8863", "1109 0000 000c 0101 0000 0103 0004 7b000000 00000000000000000000"),
            "PPPoE PADI [Service-Name] [Host-Uniq 0x7b000000]"
        );
        assert_eq!(
            ether("8863", "1107 0000 0013 0102 0004 61220a62 0104 0002 beef 9999 0001 00 0000 0000"),
            "PPPoE PADO [AC-Name \"a\\\"\\nb\"] [AC-Cookie 0xbeef] [tag 0x9999 1 bytes]"
        );
        assert_eq!(ether("8863", "11a7 000a 0000"), "PPPoE PADT [ses 0xa]");
    }

    #[test]
    fn a_session_carries_ppp() {
        assert_eq!(
            ether("8864", &format!("1100 0010 001f 0021 {INNER} 00000000")),
            format!("PPPoE [ses 0x10]: PPP IP (0x0021): {INNER_TEXT}")
        );
        assert_eq!(
            ether("8864", "1100 0010 000a c021 0107 0008 0506aabb"),
            "PPPoE [ses 0x10]: PPP LCP (0xc021) Conf-Request (0x01) id 7 length 8"
        );
        assert_eq!(
            ether("8864", "1100 0010 000d c023 0101 000b 02 6d65 03 736563"),
            "PPPoE [ses 0x10]: PPP PAP (0xc023) Auth-Req (0x01) id 1 peer \"me\" length 11"
        );
        assert_eq!(
            ether("8864", "1100 0010 000b c223 0102 0009 02 abcd 6d65"),
            "PPPoE [ses 0x10]: PPP CHAP (0xc223) Challenge (0x01) id 2 name \"me\" length 9"
        );
        assert_eq!(ether("8864", "1100 0010 0004 4001 0102"), "PPPoE [ses 0x10]: PPP 0x4001 (unknown) length 2");
    }

    #[test]
    fn what_is_malformed_or_cut_is_marked() {
        assert_eq!(ether("8863", "2109 0000 0000"), "PPPoE [bad version 2 type 1] PADI");
        assert_eq!(
            ether("8863", "1109 0000 0009 0101 0009 41"),
            "PPPoE PADI [bad length 9 > 5] [bad tag length 9 > 1]"
        );
        assert_eq!(ether("8863", "1142 0000 0001 41"), "PPPoE code 0x42 length 1");
        assert_eq!(cut("8863", "1109 0000"), "[|pppoe]");
        assert_eq!(cut("8863", "1109 0000 0020 0101 0004 41"), "PPPoE PADI [|pppoe]");
        assert_eq!(cut("8864", "1100 0010 0020 c0"), "PPPoE [ses 0x10]: [|ppp]");
        let text = ether("8863", &format!("1109 0000 0400 {}", "01010000".repeat(256)));
        assert!(text.ends_with(" [Service-Name] [too many tags]"), "{text}");
    }
}

mod lldp {
    use super::*;

    #[test]
    fn the_neighbour_is_named() {
        assert_eq!(
            ether("88cc", "0207 04 020000000701 0405 05 65746830 0602 0078 0a05 73773a2d31 0000"),
            "LLDP chassis-id 02:00:00:00:07:01 port-id \"eth0\" ttl 120 system-name \"sw:-1\" length 29"
        );
        assert_eq!(
            ether("88cc", "0206 0501 0a000701 0403 07 3432 0602 0000 0000"),
            "LLDP chassis-id 10.0.7.1 port-id \"42\" ttl 0 length 19"
        );
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(ether("88cc", "0a07 1b5b316d0a2241 0000"), "LLDP system-name \"\\x1b[1m\\n\\\"A\" length 11");
    }

    #[test]
    fn endless_names_end() {
        let text = ether("88cc", &format!("0bff {} 0000", "41".repeat(511)));
        assert_eq!(text, format!("LLDP system-name \"{}\"... length 515", "A".repeat(64)));
    }

    #[test]
    fn what_is_malformed_or_cut_is_marked() {
        assert_eq!(ether("88cc", "0a07 41"), "LLDP [bad tlv 5 length 7 > 1]");
        assert_eq!(ether("88cc", "0601 41 0000"), "LLDP [bad tlv 3 length 1] length 5");
        assert_eq!(cut("88cc", "0a07 41"), "LLDP [|lldp]");
        assert_eq!(cut("88cc", "0a"), "LLDP [|lldp]");
    }
}

mod spanning_tree {
    use super::*;

    const CONFIG: &str = "424203 0000 00 00 81 8000 0200000000aa 00000004 9000 020000000701 8002 0180 1400 0200 0f00";

    #[test]
    fn a_configuration_shows_the_root() {
        assert_eq!(
            ether("0026", CONFIG),
            "STP 802.1d Config flags [Topology change,Topology change ACK] root-id 8000.02:00:00:00:00:aa \
             root-pathcost 4 bridge-id 9000.02:00:00:00:07:01.8002 message-age 1.50s max-age 20.00s hello-time 2.00s \
             forwarding-delay 15.00s length 35"
        );
        assert!(text_with_link(&format!("0180c2000000 020000000001 0026 {CONFIG}")).starts_with(
            "02:00:00:00:00:01 > 01:80:c2:00:00:00 802.3 LLC dsap STP (0x42) ssap STP (0x42) ctrl 0x03 \
                 STP 802.1d Config "
        ));
    }

    #[test]
    fn other_bpdus_are_named() {
        assert_eq!(ether("0007", "424203 0000 00 80"), "STP 802.1d Topology Change length 4");
        assert_eq!(ether("0007", "424203 0000 09 80"), "STP unknown version 9 length 4");
        assert_eq!(ether("0007", "424203 0000 02 07"), "STP 802.1w unknown type 0x07 length 4");
        assert_eq!(ether("0007", "424203 0102 02 07"), "STP unknown protocol 0x0102 length 4");
        assert_eq!(cut("0026", "424203 0000 00 00 81"), "STP 802.1d Config [|stp]");
        assert_eq!(cut("0026", "424203 0000"), "[|stp]");
    }
}

mod llc {
    use super::*;

    #[test]
    fn snap_is_followed() {
        assert_eq!(
            ether("0025", &format!("aaaa03 000000 0800 {INNER}")),
            format!(
                "802.3 LLC dsap SNAP (0xaa) ssap SNAP (0xaa) ctrl 0x03 oui Ethernet (0x000000) ethertype IPv4 (0x0800): \
                 {INNER_TEXT}"
            )
        );
        let snap = |rest: &str| {
            let text = ether("000a", &format!("aaaa03 {rest}"));
            text.strip_prefix("802.3 LLC dsap SNAP (0xaa) ssap SNAP (0xaa) ctrl 0x03 ").unwrap().to_owned()
        };
        assert_eq!(snap("00000c 2000 02b4"), "oui Cisco (0x00000c) pid CDP (0x2000) length 2");
        assert_eq!(snap("00000c 4242 02b4"), "oui Cisco (0x00000c) pid 0x4242 length 2");
        assert_eq!(snap("123456 4242 02b4"), "oui 0x123456 (unknown) pid 0x4242 length 2");
    }

    #[test]
    fn a_numbered_frame_has_two_control_bytes() {
        assert_eq!(
            ether("0004", "f0f1 0102"),
            "802.3 LLC dsap NetBEUI (0xf0) ssap NetBEUI (0xf1) ctrl 0x0201 length 4"
        );
        assert_eq!(ether("0003", "f0f101"), "802.3 LLC dsap NetBEUI (0xf0) ssap NetBEUI (0xf1) [|llc]");
    }

    #[test]
    fn an_802_3_frame_without_llc_is_ipx() {
        assert_eq!(ether("0004", "ffff 0004"), "802.3 IPX length 4");
    }
}

mod macsec {
    use super::*;

    #[test]
    fn a_signed_payload_is_shown() {
        // Association 1, with a channel identifier; the check value of 16 bytes is not the payload's.
        let icv = "00".repeat(16);
        assert_eq!(
            ether("88e5", &format!("21 00 00000007 020000000001 0001 0800 {INNER} {icv}")),
            format!("MACsec an 1 pn 7 flags [I] sci 0200000000010001 ethertype IPv4 (0x0800): {INNER_TEXT}")
        );
        assert_eq!(
            ether("88e5", &format!("40 05 00000007 1234 aabbcc {icv} 0000")),
            "MACsec an 0 pn 7 flags [S] sl 5 ethertype 0x1234 (unknown): length 3"
        );
    }

    #[test]
    fn an_encrypted_payload_is_not() {
        let rest = "00".repeat(40);
        assert_eq!(
            ether("88e5", &format!("2c 00 00000001 020000000001 0001 {rest}")),
            "MACsec an 0 pn 1 flags [E,C,I] sci 0200000000010001 encrypted length 24"
        );
        assert_eq!(ether("88e5", &format!("04 00 00000001 {rest}")), "MACsec an 0 pn 1 flags [C] changed length 24");
    }

    #[test]
    fn what_is_malformed_or_cut_is_marked() {
        assert_eq!(ether("88e5", "80 00 00000001 0800"), "MACsec [bad SecTAG] length 8");
        assert_eq!(cut("88e5", "20 00 00000001 0200"), "[|macsec]");
    }
}

mod control {
    use super::*;

    #[test]
    fn lacp_shows_both_sides() {
        let actor = "0114 ffff 020000000501 0009 00ff 0001 3f 000000";
        let partner = "0214 ffff 020000000502 0009 00ff 0002 45 000000";
        assert_eq!(
            ether("8809", &format!("0101 {actor} {partner} {}", "00".repeat(68))),
            "LACPv1 actor 02:00:00:00:05:01 key 9 port 1 \
             state [Activity,Timeout,Aggregation,Synchronization,Collecting,Distributing] \
             partner 02:00:00:00:05:02 key 9 port 2 state [Activity,Aggregation,Default] length 110"
        );
        assert_eq!(ether("8809", "0201 0110"), "MARKERv1 length 4");
        assert_eq!(ether("8809", "0300 5000"), "OAM length 4");
        assert_eq!(ether("8809", "0a01"), "slow protocol subtype 10 version 1 length 2");
        assert_eq!(cut("8809", "01"), "[|slow]");
        assert_eq!(cut("8809", &format!("0101 {actor}")).split(" partner").count(), 1);
        assert!(cut("8809", &format!("0101 {actor}")).ends_with(" [|lacp]"));
    }

    #[test]
    fn eapol_shows_the_eap_packet() {
        assert_eq!(ether("888e", "0201 0000 0000"), "EAPOL start (1) v2 length 0");
        assert_eq!(
            ether("888e", "0200 0005 01070005 01 000000"),
            "EAP packet (0) v2 Request (1) id 7 type Identity (1) length 5"
        );
        assert_eq!(ether("888e", "0200 0004 03070004 000000"), "EAP packet (0) v2 Success (3) id 7 length 4");
        assert_eq!(cut("888e", "0200 0005"), "EAP packet (0) v2 [|eap] length 5");
        assert_eq!(cut("888e", "02"), "[|eapol]");
    }

    #[test]
    fn ptp_shows_its_head() {
        let head = "02 002c 03 00 0200 0000000000000000 00000000 020000fffe000701 0001 0102 00 00";
        assert_eq!(
            ether("88f7", &format!("10 {head}")),
            "PTPv2 sync domain 3 clock 0x020000fffe000701 port 1 seq 258 length 34"
        );
        assert_eq!(cut("88f7", "0b02 0040"), "PTPv2 announce [|ptp]");
        assert_eq!(ether("88f7", "0001 0040"), "PTPv1 length 4");
    }
}

#[test]
fn a_frame_inside_a_stand_in_shows_its_addresses() {
    // A pseudowire on a device without a link layer.
    let packet = "000000000000 000000000000 8847 00064140 020000000002 020000000001 0800";
    assert!(text_with_link(&format!("{packet} {INNER}")).starts_with(
        "MPLS (label 100 tc 0 [S] ttl 64): 02:00:00:00:00:01 > 02:00:00:00:00:02 ethertype IPv4 (0x0800) 192.168.0.1"
    ));
}

#[test]
fn triple_tags_of_all_three_types_are_shown() {
    assert!(
        text_with_link(&format!("3663088a248bdedd13e85289 88a8 7064 9100 00c8 8100 612c {}", &UDP_FRAME[24..]))
            .contains(
                " ethertype 802.1Q-QinQ (0x88a8) vlan 100 p 3 DEI ethertype 802.1Q-9100 (0x9100) vlan 200 p 0 \
             ethertype 802.1Q (0x8100) vlan 300 p 3 ethertype IPv4 (0x0800) 192.168.125.10.45274 > "
            )
    );
}
