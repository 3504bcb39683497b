// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Our eBPF, run in rbpf, against libpcap's own interpreter.

mod bad_texts;
mod machine;

use super::libpcap::{self, FirstHeader};
use super::matcher::run;
use super::translate::translate;
use machine::Machine;

#[test]
fn first() {
    let frame: Vec<u8> = [
        &[0u8; 12][..],
        &[8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x10, 0x92, 0, 80],
        &[0u8; 16],
        &[7; 100],
    ]
    .concat();
    for text in [
        "tcp port 4242",
        "ip[2:2] > 5",
        "ether[90:2] = 0x0707",
        "ip[ip[3] * 3] = 7",
        "ip6 protochain 6",
        "host 10.0.0.2",
        "len > 100",
        "geneve",
        "udp",
    ] {
        let program = libpcap::compile(text, FirstHeader::Ethernet).unwrap();
        let machine = Machine::new(&translate(&program).unwrap());
        for length in 0..frame.len() {
            let packet = &frame[..length];
            assert_eq!(machine.run(packet, 150), run(&program, packet, 150), "{text}: {length}");
        }
        println!("{text} {} {}", machine.run(&frame, 150), machine.executed());
    }
}
