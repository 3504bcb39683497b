// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any valid program of classic BPF: our eBPF against libpcap's interpreter.

#[path = "../../../tests/classic/programs.rs"]
mod programs;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

use self::programs::programs;
use super::machine::{Code, Machine};
use super::packets::damaged_packets;
use super::steer::steer;
use crate::packet::classic::{ClassicProgram, RawInstruction};
use crate::packet::matcher::run;
use crate::packet::translate::translate;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn programs_decide_as_in_libpcap(
        program in programs(),
        packets in vec(damaged_packets(), 4),
        choices in vec(any::<Option<bool>>(), 40),
    ) {
        let program = program.into_iter().map(|(code, jt, jf, k)| RawInstruction { code, jt, jf, k });
        let classic = ClassicProgram::new(program.collect()).expect("the program is valid");
        let code = Code::new(&translate(&classic).expect("the program is short"));
        let machine = Machine::new(&code);
        for mut packet in packets {
            for _ in 0..2 {
                let expected = run(&classic, &packet.data, packet.wire_length);
                prop_assert_eq!(machine.run(&packet.data, packet.wire_length), expected, "{:?}", packet);
                steer(&classic, &mut packet, &choices);
            }
        }
    }
}
