// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What users are told of texts that are no filters.

use std::fmt::Write;

use tracer_core::error::{Error, ErrorKind};

use crate::packet::PacketFilter;

const TEXTS: [&str; 48] = [
    "",
    "foo",
    "tcp prot 80",
    "tcp and",
    "tcp port 80 or",
    "not",
    "src and dst",
    "(tcp port 80",
    "tcp port 80)",
    "tcp port 80 and (udp or icmp",
    "tcp] and udp",
    "tcp[0",
    "ether[20:2]",
    "len >",
    "len > abc",
    "(tcp[0] + (1 * 2) = udp",
    "tcp[tcpflags] & tcp-foo != 0",
    "udp and vxlan",
    "VLAN 5",
    "host é",
    "tcp port 80;",
    "host no-such-host.invalid",
    "udp port foo and tcp port http2x",
    "ip proto foo",
    "ether proto foo",
    "tcp[0:3] = 1",
    "host 10.0.0.300",
    "host 10.0.0.0/8",
    "net 10.0.0.0/33",
    "tcp and net 10.0.0.1/8",
    "net 10.0.0.1 mask 255.0.0.0",
    "ip6 host ::1 and ip6 host 10.0.0.1",
    "ether host 00:11:22:33:44",
    "tcp port 99999",
    "portrange 80-http2x",
    "len > 99999999999",
    "vlan 5000",
    "mpls 1 and mpls 2 and vlan",
    "tcp[0] / 0 = 1",
    "tcp[0] << 40 = 1",
    "tcp protochain 6",
    "gateway foo",
    "ifname eth0",
    "type mgt",
    "tcp and udp",
    "inbound",
    "tcp and (outbound or arp)",
    "tcp\0udp",
];

#[test]
fn says_what_is_wrong_and_where() {
    let mut told = String::new();
    for text in TEXTS {
        let error = PacketFilter::compile(text).expect_err(text);
        let error = Error::from(error);
        assert_eq!(error.kind(), ErrorKind::BadFilter, "{text}");
        writeln!(told, "error: {error}").unwrap();
        if let Some(hint) = error.hint() {
            writeln!(told, "hint: {hint}").unwrap();
        }
        told.push('\n');
    }
    insta::assert_snapshot!(told);
}
