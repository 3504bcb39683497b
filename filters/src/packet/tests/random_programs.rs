// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any valid program of classic BPF: our eBPF against libpcap's interpreter.
//!
//! Left out is what libpcap's interpreter leaves undefined, and libpcap does not compile to: constant divisors of 0, constant
//! shifts by 32 and more. Jumps go forward, for the interpreter would not come back from most loops.

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;

use super::machine::{Code, Machine};
use super::packets::damaged_packets;
use super::steer::steer;
use crate::packet::classic::{ClassicProgram, RawInstruction};
use crate::packet::matcher::run;
use crate::packet::translate::translate;

/// Numbers at which something changes.
fn numbers() -> impl Strategy<Value = u32> {
    prop_oneof![
        0..4_u32,
        0..100_u32,
        70..90_u32,
        any::<u32>(),
        select(vec![31, 32, 33, 0x7fff_fffe, 0x7fff_ffff, 0x8000_0000, 0xffff_fffb, 0xffff_ffff, 0xffff_f004]),
    ]
}

/// One of `codes`, with constants out of `k`.
fn coded(codes: &[u16], k: impl Strategy<Value = u32>) -> impl Strategy<Value = RawInstruction> {
    (select(codes.to_vec()), k).prop_map(|(code, k)| RawInstruction { code, jt: 0, jf: 0, k })
}

/// Instructions that go on with the next one.
fn straight() -> impl Strategy<Value = RawInstruction> {
    prop_oneof![
        // ld, ldh, ldb [k] and [x + k]; mostly within the packet, else programs end at once
        6 => coded(&[0x20, 0x28, 0x30, 0x40, 0x48, 0x50], 0..90_u32),
        1 => coded(&[0x20, 0x28, 0x30, 0x40, 0x48, 0x50], numbers()),
        // ldxb 4*([k]&0xf)
        2 => coded(&[0xb1], 0..90_u32),
        1 => coded(&[0xb1], numbers()),
        // ld and ldx: #k, #len
        3 => coded(&[0x00, 0x01, 0x80, 0x81], numbers()),
        // ld and ldx M[k], st and stx M[k]
        4 => coded(&[0x60, 0x61, 0x02, 0x03], 0..16_u32),
        // add, sub, mul, or, and, neg, xor with k and x; div and mod by x; lsh and rsh by x
        6 => coded(&[0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x44, 0x4c, 0x54, 0x5c, 0x84, 0xa4, 0xac, 0x3c, 0x9c, 0x6c, 0x7c], numbers()),
        // div and mod by k, lsh and rsh by k
        2 => coded(&[0x34, 0x94], 1..=u32::MAX),
        1 => coded(&[0x34, 0x94, 0x64, 0x74], 1..32_u32),
        // tax, txa
        3 => coded(&[0x07, 0x87], Just(0)),
    ]
}

/// ja, and jeq, jgt, jge, jset with k and x. Where they lead is put in later.
fn jumps() -> impl Strategy<Value = RawInstruction> {
    let code = select(vec![0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d]);
    (code, any::<u8>(), any::<u8>(), numbers()).prop_map(|(code, jt, jf, k)| RawInstruction { code, jt, jf, k })
}

fn programs() -> impl Strategy<Value = Vec<RawInstruction>> {
    // ret #k, ret a
    let returns = || coded(&[0x06, 0x16], numbers());
    let body = vec(prop_oneof![8 => straight(), 3 => jumps(), 1 => returns()], 0..80);
    (body, returns()).prop_map(|(mut program, last)| {
        program.push(last);
        let length = program.len();
        for (index, instruction) in program.iter_mut().enumerate() {
            let behind = length - 1 - index;
            match instruction.code {
                0x05 => instruction.k = (instruction.k as usize % behind) as u32,
                code if code & 0x07 == 0x05 => {
                    instruction.jt = (usize::from(instruction.jt) % behind) as u8;
                    instruction.jf = (usize::from(instruction.jf) % behind) as u8;
                }
                _ => {}
            }
        }
        program
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn programs_decide_as_in_libpcap(
        program in programs(),
        packets in vec(damaged_packets(), 4),
        choices in vec(any::<Option<bool>>(), 40),
    ) {
        let classic = ClassicProgram::new(program).expect("the program is valid");
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
