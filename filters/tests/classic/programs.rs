// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random valid programs of classic BPF: for the comparison with libpcap's interpreter, and for the verifiers of real kernels.
//!
//! Left out is what libpcap's interpreter leaves undefined, and libpcap does not compile to: constant divisors of 0, constant
//! shifts by 32 and more. Jumps go forward, for the interpreter would not come back from most loops.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

/// Code, jt, jf and k.
pub(crate) type Instruction = (u16, u8, u8, u32);

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
fn coded(codes: &[u16], k: impl Strategy<Value = u32>) -> impl Strategy<Value = Instruction> {
    (select(codes.to_vec()), k).prop_map(|(code, k)| (code, 0, 0, k))
}

/// Instructions that go on with the next one.
fn straight() -> impl Strategy<Value = Instruction> {
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
fn jumps() -> impl Strategy<Value = Instruction> {
    let code = select(vec![0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d]);
    (code, any::<u8>(), any::<u8>(), numbers()).prop_map(|(code, jt, jf, k)| (code, jt, jf, k))
}

/// Programs.
pub(crate) fn programs() -> impl Strategy<Value = Vec<Instruction>> {
    // ret #k, ret a
    let returns = || coded(&[0x06, 0x16], numbers());
    let body = vec(prop_oneof![8 => straight(), 3 => jumps(), 1 => returns()], 0..80);
    (body, returns()).prop_map(|(mut program, last)| {
        program.push(last);
        let length = program.len();
        for (index, (code, jt, jf, k)) in program.iter_mut().enumerate() {
            let behind = length - 1 - index;
            match *code {
                0x05 => *k = (*k as usize % behind) as u32,
                code if code & 0x07 == 0x05 => {
                    *jt = (usize::from(*jt) % behind) as u8;
                    *jf = (usize::from(*jf) % behind) as u8;
                }
                _ => {}
            }
        }
        program
    })
}
