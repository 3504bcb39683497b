// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Properties of the translation that the comparison with libpcap does not show.

use tracer_core::filter::Program;

use super::machine::{Code, Machine};
use crate::assembler::LONGEST_JUMP;
use crate::packet::PacketFilter;
use crate::packet::classic::{ClassicProgram, RawInstruction};
use crate::packet::refusal;
use crate::packet::translate::translate;
use crate::packet::unroll::REPETITIONS;

fn program(instructions: impl IntoIterator<Item = (u16, u8, u8, u32)>) -> ClassicProgram {
    let raw = instructions.into_iter().map(|(code, jt, jf, k)| RawInstruction { code, jt, jf, k }).collect();
    ClassicProgram::new(raw).unwrap()
}

fn decide(program: &ClassicProgram, packet: &[u8]) -> bool {
    Machine::new(&Code::new(&translate(program).unwrap())).run(packet, packet.len() as u32)
}

/// What the filter of the benchmark costs: whoever makes it longer sees it here.
#[test]
fn a_common_filter_is_short() {
    let filter = PacketFilter::compile("tcp port 4242").unwrap();
    let text = |program: &Program| {
        let code = Code::new(program);
        let instructions = rbpf::disassembler::to_insn_vec(code.bytes());
        instructions.iter().map(|instruction| instruction.desc.as_str()).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(text(filter.ethernet()));
}

#[test]
fn scratch_memory_begins_as_zero() {
    // ld #1; ldx M[3]; add x; jeq #1; ret #1; ret #0
    let program =
        program([(0x00, 0, 0, 1), (0x61, 0, 0, 3), (0x0c, 0, 0, 0), (0x15, 0, 1, 1), (0x06, 0, 0, 1), (0x06, 0, 0, 0)]);
    assert!(decide(&program, &[]));
}

#[test]
fn loops_are_followed_so_many_times() {
    // Adds 1 to M[0] until it is the first byte of the packet: ld M[0]; add #1; st M[0]; ldx M[0]; ldb [0]; jeq x; ja -7; ret #1
    let program = program([
        (0x60, 0, 0, 0),
        (0x04, 0, 0, 1),
        (0x02, 0, 0, 0),
        (0x61, 0, 0, 0),
        (0x30, 0, 0, 0),
        (0x1d, 1, 0, 0),
        (0x05, 0, 0, -7_i32 as u32),
        (0x06, 0, 0, 1),
    ]);
    let most = REPETITIONS as u8 + 1;
    assert!(decide(&program, &[1]));
    assert!(decide(&program, &[most]));
    assert!(!decide(&program, &[most + 1]), "the kernel would not accept a loop without end");
}

#[test]
fn instructions_that_are_never_reached_are_left_out() {
    // ja 1; ret #1; ldb [0x80000000], which no packet has; ret #1
    let program = program([(0x05, 0, 0, 1), (0x06, 0, 0, 1), (0x30, 0, 0, 0x8000_0000), (0x06, 0, 0, 1)]);
    let exits = translate(&program).unwrap().instructions.iter().filter(|&&instruction| instruction == 0x95).count();
    assert_eq!(exits, 1);
    assert!(!decide(&program, &[1; 100]));
}

#[test]
fn refuses_jumps_that_are_too_long() {
    // jeq #1, over as many additions as fit, and one more
    let jump_over = |additions: usize| {
        let middle = std::iter::repeat_n((0x04, 0, 0, 1), additions);
        let jump = [(0x15, 0, 1, 1), (0x05, 0, 0, additions as u32)];
        program(jump.into_iter().chain(middle).chain([(0x06, 0, 0, 1)]))
    };
    assert!(translate(&jump_over(LONGEST_JUMP)).is_ok());
    let error = translate(&jump_over(LONGEST_JUMP + 1)).unwrap_err();
    assert_eq!(
        refusal::too_large("x", error).problem(),
        "filter too large: it takes 32775 instructions, and a jump reaches over 32767 at most"
    );
}

#[test]
fn tells_for_which_packets_a_text_has_a_meaning() {
    let filter = |text| PacketFilter::compile(text).unwrap();
    let tcp = filter("tcp");
    assert!(tcp.raw().is_some() && tcp.raw_note().is_none() && !tcp.sees_vlan_tags());
    let arp = filter("arp");
    let raw = arp.raw().expect("it means no IP packet");
    assert!(!Machine::new(&Code::new(raw)).run(&[0x45; 60], 60));
    let vlan = filter("not (vlan)");
    assert_eq!((vlan.raw(), vlan.raw_note()), (None, Some("no VLAN support for Raw IP")));
    assert!(vlan.sees_vlan_tags());
    assert!(!filter(r"ether proto \arp").sees_vlan_tags());
}
