// SPDX-License-Identifier: Apache-2.0 OR MIT

use crate::skb::packet_text::tests::{
    FIN_FRAME, NO_LINK_LAYER, RST_FRAME, SYN_ACK_FRAME, SYN_FRAME, TCP_DATA_FRAME, UDP_FRAME, bytes, ipv4, ipv6, line,
    tcp, tcp_options, text, text_of_cut, upper_text,
};

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

mod udp_lite {
    use super::*;

    #[test]
    fn a_checksum_covers_all_of_the_header_or_nothing_is_right() {
        assert_eq!(upper_text(&ipv4(136, &bytes("0001 0002 0000 0000 4142"))), "coverage 0 length 2");
        assert_eq!(upper_text(&ipv4(136, &bytes("0001 0002 0007 0000 4142"))), "[bad coverage 7] length 2");
        assert_eq!(upper_text(&ipv4(136, &bytes("0001 0002 000b 0000 4142"))), "[bad coverage 11] length 2");
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
