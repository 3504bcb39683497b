// SPDX-License-Identifier: Apache-2.0 OR MIT

use crate::skb::packet_text::tests::{LINK_LAYER, bytes, ipv4, ipv6, line, text_of_cut, upper_text};

/// An IPv4 packet, and its line.
const INNER: &str = "4500001d 00000000 4011 0000 c0a80001 c0a80002 9c400009 00090000 41";
const INNER_TEXT: &str = "192.168.0.1.40000 > 192.168.0.2.9 ttl 64 tos 0x0 id 0 off 0 len 29 proto UDP (17) length 1";

/// The head of the frame in a tunnel.
const FRAME: &str = "020000000002 020000000001 0800";

fn over_ip(protocol: u8, hex: &str) -> String {
    upper_text(&ipv4(protocol, &bytes(hex)))
}

fn udp(source: u16, destination: u16, hex: &str) -> Vec<u8> {
    let payload = bytes(hex);
    let mut datagram = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    ipv4(17, &datagram)
}

/// What stands behind the length of the datagram.
fn over_udp(port: u16, hex: &str) -> String {
    let text = upper_text(&udp(40000, port, hex));
    text.strip_prefix(&format!("length {}", bytes(hex).len())).unwrap().trim_start().to_owned()
}

/// The end of the line where the capture ends with `hex` and the packet does not.
fn over_ip_cut(protocol: u8, hex: &str) -> String {
    let mut whole = bytes(hex);
    whole.resize(200, 0);
    let data = ipv4(protocol, &whole);
    let text = text_of_cut(&data[..34 + bytes(hex).len()], data.len());
    text.split_once(") ").unwrap().1.to_owned()
}

fn over_udp_cut(port: u16, hex: &str) -> String {
    let head = format!("9c40 {port:04x} 00c8 0000 {hex}");
    over_ip_cut(17, &head).strip_prefix("length 192 ").unwrap().to_owned()
}

mod gre {
    use super::*;

    #[test]
    fn optional_fields_are_shown() {
        assert_eq!(
            over_ip(47, &format!("00000800 {INNER}")),
            format!("GREv0 flags [none] proto IPv4 (0x0800): {INNER_TEXT}")
        );
        assert_eq!(
            over_ip(47, &format!("b0000800 abcd0000 0000002a 00000007 {INNER}")),
            format!("GREv0 flags [checksum,key,sequence#] sum 0xabcd key 0x2a seq 7 proto IPv4 (0x0800): {INNER_TEXT}")
        );
        assert_eq!(over_ip(47, "00001234 0102"), "GREv0 flags [none] proto 0x1234 (unknown): length 2");
        assert_eq!(over_ip(47, "40000800 00000000 0102"), "GREv0 flags [routing] proto IPv4 (0x0800) length 2");
        assert_eq!(over_ip(47, "00020800"), "GREv2 (unknown version) length 4");
    }

    #[test]
    fn frames_are_bridged() {
        assert_eq!(
            over_ip(47, &format!("10006558 00000001 {FRAME} {INNER}")),
            format!("GREv0 flags [sequence#] seq 1 proto TEB (0x6558): {INNER_TEXT}")
        );
        assert_eq!(
            over_ip(47, &format!("20006558 00138805 {FRAME} {INNER}")),
            format!("GREv0 flags [key] key 0x138805 [nvgre vsid 5000 flow 5] proto TEB (0x6558): {INNER_TEXT}")
        );
    }

    #[test]
    fn erspan_is_told_apart_by_the_sequence_number() {
        assert_eq!(
            over_ip(47, &format!("000088be {FRAME} {INNER}")),
            format!("GREv0 flags [none] proto ERSPAN (0x88be) ERSPAN I: {INNER_TEXT}")
        );
        assert_eq!(
            over_ip(47, &format!("100088be 00000001 1064 b404 0000007b {FRAME} {INNER}")),
            format!(
                "GREv0 flags [sequence#] seq 1 proto ERSPAN (0x88be) \
                 ERSPAN II vlan 100 cos 5 encap 2 truncated session 4 index 123: {INNER_TEXT}"
            )
        );
        assert_eq!(
            over_ip(47, &format!("100022eb 00000001 2064 0004 00000009 0000 0079 0000000000000000 {FRAME} {INNER}")),
            format!(
                "GREv0 flags [sequence#] seq 1 proto ERSPAN III (0x22eb) \
                 ERSPAN III vlan 100 cos 0 bso 0 session 4 timestamp 9 sgt 0 hwid 7 dir egress: {INNER_TEXT}"
            )
        );
    }

    #[test]
    fn pptp_shows_the_call() {
        assert_eq!(
            over_ip(47, &format!("3081880b 001f 0018 00000003 00000002 0021 {INNER}")),
            format!(
                "GREv1 flags [key,sequence#,ack] call 24 seq 3 ack 2 proto PPP (0x880b): PPP IP (0x0021): {INNER_TEXT}"
            )
        );
        assert_eq!(
            over_ip(47, "2081880b 0000 0018 00000003"),
            "GREv1 flags [key,ack] call 24 ack 3 proto PPP (0x880b) no-payload"
        );
    }

    #[test]
    fn a_cut_header_is_named() {
        assert_eq!(over_ip_cut(47, "2000"), "[|gre]");
        assert_eq!(over_ip_cut(47, "20000800 0000"), "GREv0 flags [key] [|gre]");
        assert_eq!(over_ip_cut(47, "20016558 0000"), "GREv1 flags [key] [|gre]");
        assert!(over_ip_cut(47, "100088be 00000001 1064").ends_with(" [|erspan]"));
    }
}

mod ip_in_ip {
    use super::*;

    #[test]
    fn the_inner_packet_follows() {
        let line = |data: &[u8]| text_of_cut(data, data.len());
        assert!(line(&ipv4(4, &bytes(INNER))).ends_with(&format!(" proto IPIP (4): {INNER_TEXT}")));
        assert!(line(&ipv6(4, &bytes(INNER))).ends_with(&format!(" proto IPIP (4): {INNER_TEXT}")));
        let inner = &ipv6(59, &[])[14..];
        let inner_text =
            "fe80::1 > fe80::2 hlim 64 tclass 0xb8 flowlabel 0x12345 len 0 proto no next header (59) length 0";
        assert!(line(&ipv4(41, inner)).ends_with(&format!(" proto IPv6 (41): {inner_text}")));
        assert!(line(&ipv6(41, inner)).ends_with(&format!(" proto IPv6 (41): {inner_text}")));
        assert!(
            line(&ipv4(137, &bytes(&format!("00064140 {INNER}"))))
                .ends_with(&format!(" proto MPLS-in-IP (137): MPLS (label 100 tc 0 [S] ttl 64): {INNER_TEXT}"))
        );
        assert!(line(&ipv4(4, &[])).ends_with(" proto IPIP (4): length 0"));
    }

    #[test]
    fn endless_tunnels_end() {
        let mut packet = bytes(INNER);
        for _ in 0..300 {
            packet = ipv4(4, &packet)[14..].to_vec();
        }
        let data = ipv4(4, &packet);
        let text = text_of_cut(&data, data.len());
        assert_eq!(text.matches("proto IPIP (4)").count(), 9);
        assert!(text.ends_with(" proto IPIP (4) [too many encapsulations]"), "{text}");
        // Authentication headers are nested like tunnels.
        let data = ipv4(51, &bytes("33010000 00000001 00000002").repeat(1000));
        let text = text_of_cut(&data, data.len());
        assert_eq!(text.matches("proto AH (51)").count(), 9);
        assert!(text.ends_with(" [too many encapsulations]"), "{text}");
    }

    #[test]
    fn a_tunnel_in_a_later_fragment_is_not_looked_for() {
        let mut data = ipv4(4, &bytes(INNER));
        data[21] = 1;
        assert!(text_of_cut(&data, data.len()).ends_with(" proto IPIP (4)"));
    }
}

mod vxlan {
    use super::*;

    #[test]
    fn the_network_and_the_frame_are_shown() {
        for port in [4789, 8472] {
            assert_eq!(
                over_udp(port, &format!("08000000 00006400 {FRAME} {INNER}")),
                format!("VXLAN flags [I] (0x08) vni 100: {INNER_TEXT}")
            );
        }
        assert_eq!(
            over_udp(4789, &format!("88480123 ffffff00 {FRAME} {INNER}")),
            format!("VXLAN flags [G,I] (0x88) vni 16777215 policy 291 [D,A]: {INNER_TEXT}")
        );
    }

    #[test]
    fn the_link_layer_of_the_inner_frame_is_shown_when_asked_for() {
        let data = udp(40000, 4789, &format!("08000000 00006400 {FRAME} {INNER}"));
        assert!(line(&data, data.len(), LINK_LAYER).ends_with(&format!(
            " vni 100: 02:00:00:00:00:01 > 02:00:00:00:00:02 ethertype IPv4 (0x0800) {INNER_TEXT}"
        )));
    }

    #[test]
    fn without_its_flag_the_network_is_not_shown() {
        assert_eq!(over_udp(4789, "00000000 00006400 0102"), "VXLAN flags [none] (0x00) length 10");
    }

    #[test]
    fn the_port_is_that_of_the_destination() {
        let data = udp(4789, 40000, &format!("08000000 00006400 {FRAME} {INNER}"));
        assert_eq!(upper_text(&data), "length 51");
        assert_eq!(over_udp(4788, "08000000 00006400 0102"), "");
        assert_eq!(over_udp(4789, ""), "");
    }

    #[test]
    fn gpe_names_what_it_carries() {
        assert_eq!(
            over_udp(4790, &format!("0c000001 00000600 {INNER}")),
            format!("VXLAN-GPE flags [I,P] (0x0c) vni 6 next-protocol IPv4 (1): {INNER_TEXT}")
        );
        assert_eq!(
            over_udp(4790, &format!("0c000003 00000600 {FRAME} {INNER}")),
            format!("VXLAN-GPE flags [I,P] (0x0c) vni 6 next-protocol Ethernet (3): {INNER_TEXT}")
        );
        assert_eq!(
            over_udp(4790, "0d000004 00000600 0102"),
            "VXLAN-GPE flags [I,P,O] (0x0d) vni 6 next-protocol NSH (4) length 2"
        );
    }

    #[test]
    fn a_cut_header_is_named() {
        assert_eq!(over_udp_cut(4789, "08000000 0000"), "[|vxlan]");
        assert_eq!(over_udp_cut(4789, "08000000 00006400 0200"), "VXLAN flags [I] (0x08) vni 100: [|ether]");
        assert_eq!(over_udp_cut(4790, "0c00"), "[|vxlan-gpe]");
    }

    #[test]
    fn what_is_in_other_fragments_is_not_missing() {
        // 100 bytes on the wire of a datagram of 1000, in which there is a packet of 942.
        let inner = format!("450003ae {}", &INNER[9..]);
        let mut data = udp(40000, 4789, &format!("08000000 00006400 {FRAME} {inner}"));
        data[20] = 0x20;
        data[38..40].copy_from_slice(&1000u16.to_be_bytes());
        let text = upper_text(&data);
        assert!(text.starts_with("length 992 VXLAN "), "{text}");
        assert!(!text.contains("missing"), "{text}");
    }
}

mod geneve {
    use super::*;

    #[test]
    fn options_are_shown() {
        assert_eq!(
            over_udp(6081, &format!("00006558 0000c800 {FRAME} {INNER}")),
            format!("Geneve flags [none] vni 200 proto TEB (0x6558): {INNER_TEXT}")
        );
        assert_eq!(
            over_udp(6081, &format!("04400800 0000c900 0102 80 01 00010002 1234 01 00 ff00 03 00 {INNER}")),
            format!(
                "Geneve flags [C] vni 201 proto IPv4 (0x0800) options [class OVN (0x102) type 0x80(C) len 8 data 0x00010002,\
                 class 0x1234 type 0x1 len 4,class Experimental (0xff00) type 0x3 len 4]: {INNER_TEXT}"
            )
        );
    }

    #[test]
    fn what_is_malformed_or_cut_is_marked() {
        assert_eq!(over_udp(6081, "c0006558 0000c800"), "Geneve [bad version 3] length 8");
        assert_eq!(
            over_udp(6081, "02006558 0000c800 0102"),
            "Geneve flags [none] vni 200 proto TEB (0x6558) [bad options length 8 > 2]"
        );
        assert_eq!(
            over_udp(6081, "01001234 0000c800 0102 8001"),
            "Geneve flags [none] vni 200 proto 0x1234 (unknown) options [[bad opt length 4 > 0]]: length 0"
        );
        assert_eq!(over_udp_cut(6081, "00006558"), "[|geneve]");
        assert!(over_udp_cut(6081, "02006558 0000c800 0102").contains(" options [[|geneve]]: "));
        let many = format!("3f001234 0000c800 {}", "01020300".repeat(63));
        assert!(over_udp(6081, &many).ends_with(",[too many options]]: length 0"));
    }
}

mod ipsec {
    use super::*;

    #[test]
    fn esp_shows_what_is_not_encrypted() {
        assert_eq!(over_ip(50, "00000100 00000001 aabbccdd"), "spi 0x00000100 seq 0x1 length 12");
        assert_eq!(over_udp(4500, "00000100 00000001 aabbccdd"), "ESP spi 0x00000100 seq 0x1 length 12");
        assert_eq!(over_udp(4500, "00000000 0102"), "NONESP-encap isakmp length 2");
        assert_eq!(over_udp(4500, "ff"), "isakmp-nat-keep-alive");
        assert_eq!(upper_text(&udp(4500, 60000, "ff")), "length 1 isakmp-nat-keep-alive");
        assert_eq!(over_ip_cut(50, "00000100 0000"), "[|esp]");
    }

    #[test]
    fn an_authentication_header_is_looked_through() {
        // Next header UDP, a check value of 12 bytes.
        let data = ipv4(51, &bytes("1104 0000 00000101 00000002 000000000000000000000000 9c400009 00090000 41"));
        assert_eq!(
            text_of_cut(&data, data.len()),
            "10.0.0.1.40000 > 10.0.0.2.9 ttl 64 tos 0x0 id 1 off 0 len 53 proto AH (51) \
             spi 0x00000101 seq 0x2 icv 12 bytes proto UDP (17) length 1"
        );
        assert_eq!(
            over_ip(51, &format!("0404 0000 00000101 00000002 000000000000000000000000 {INNER}")),
            format!("spi 0x00000101 seq 0x2 icv 12 bytes proto IPIP (4): {INNER_TEXT}")
        );
        assert_eq!(over_ip_cut(51, "1104 0000 0000"), "[|ah]");
        assert_eq!(over_ip(51, "1100 0000 00000101 00000002"), "[bad AH length] length 12");
    }

    #[test]
    fn a_compressed_packet_is_not_inflated() {
        assert_eq!(over_ip(108, "01000002 aabbcc"), "cpi 0x0002 next-header ICMP (1) length 7");
        assert_eq!(over_ip_cut(108, "0100"), "[|ipcomp]");
    }
}

mod l2tp {
    use super::*;

    #[test]
    fn version_2_shows_tunnel_and_session() {
        assert_eq!(
            over_udp(1701, "c802 0014 0000 0000 0000 0001 8008 0000 0000 0001"),
            "L2TPv2 flags [T,L,S] tunnel 0 session 0 ns 0 nr 1 SCCRQ length 8"
        );
        assert_eq!(
            over_udp(1701, "c802 000c 0001 0000 0001 0001"),
            "L2TPv2 flags [T,L,S] tunnel 1 session 0 ns 1 nr 1 ZLB"
        );
        assert_eq!(
            over_udp(1701, &format!("0202 0001 0002 0003 aaaaaa ff03 0021 {INNER}")),
            format!("L2TPv2 flags [O] tunnel 1 session 2: PPP IP (0x0021): {INNER_TEXT}")
        );
        assert_eq!(over_udp_cut(1701, "c802 0014 00"), "L2TPv2 flags [T,L,S] [|l2tp]");
        assert_eq!(over_udp_cut(1701, "c8"), "[|l2tp]");
    }

    #[test]
    fn version_3_shows_the_session() {
        assert_eq!(over_udp(1701, "0003 0000 000003e8 00000000 0102"), "L2TPv3 session 1000 length 10");
        assert_eq!(over_ip(115, "000003e8 00000000 0102"), "L2TPv3 session 1000 length 10");
        let control = "c803 0014 00000005 0001 0002 8008 0000 0000 0006";
        assert_eq!(over_udp(1701, control), "L2TPv3 control connection 5 ns 1 nr 2 HELLO length 8");
        assert_eq!(
            over_ip(115, &format!("00000000 {control}")),
            "L2TPv3 control connection 5 ns 1 nr 2 HELLO length 8"
        );
        assert_eq!(over_udp(1701, "0007 0000"), "L2TP [bad version 7] length 4");
    }
}

mod gtp {
    use super::*;

    #[test]
    fn the_tunnel_and_the_packet_are_shown() {
        assert_eq!(
            over_udp(2152, &format!("30ff 001d 12345678 {INNER}")),
            format!("GTP-U T-PDU (255) teid 0x12345678: {INNER_TEXT}")
        );
        assert_eq!(
            over_udp(2152, &format!("36ff 0025 00000001 0007 00 85 01100900 {INNER}")),
            format!("GTP-U T-PDU (255) teid 0x00000001 seq 7 ext PDU session UL qfi 9: {INNER_TEXT}")
        );
        assert_eq!(
            over_udp(2152, "32010004 00000000 00010000"),
            "GTP-U Echo request (1) teid 0x00000000 seq 1 length 0"
        );
    }

    #[test]
    fn what_is_malformed_or_cut_is_marked() {
        assert_eq!(over_udp(2152, "4001"), "[|gtp]");
        assert_eq!(over_udp(2152, "50010004 00000000"), "GTP (unknown version 2) length 8");
        assert_eq!(
            over_udp(2152, "30fe0004 00000000"),
            "GTP-U End marker (254) teid 0x00000000 [bad length 4 > 0] length 0"
        );
        assert_eq!(
            over_udp(2152, "34ff0008 00000001 000000 85 00000000"),
            "GTP-U T-PDU (255) teid 0x00000001 [bad ext length 0]"
        );
        let endless = format!("34ff00d4 00000001 000000c0 {}", "010000c0".repeat(52));
        assert!(over_udp(2152, &endless).ends_with(" ext 0xc0 [too many extension headers]"));
    }
}

#[test]
fn wireguard_shows_the_kind_of_message() {
    let kind = |hex: &str| over_udp(51820, hex);
    assert_eq!(kind("01000000 04030201"), "WireGuard handshake initiation sender 0x01020304");
    assert_eq!(
        kind("02000000 04030201 08070605"),
        "WireGuard handshake response sender 0x01020304 receiver 0x05060708"
    );
    assert_eq!(kind("03000000 04030201"), "WireGuard cookie reply receiver 0x01020304");
    assert_eq!(kind("04000000 04030201 0500000000000000 00"), "WireGuard data receiver 0x01020304 counter 5");
    assert_eq!(
        kind(&format!("04000000 04030201 0500000000000000 {}", "00".repeat(16))),
        "WireGuard keepalive receiver 0x01020304 counter 5"
    );
    assert_eq!(kind("deadbeef"), "WireGuard unknown type 0xefbeadde");
    assert_eq!(over_udp_cut(51820, "04000000 0403"), "[|wireguard]");
}
