// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Puts eBPF instructions one behind the other: labels, and the instructions that bpf-ins can encode but has no constructors for.

use bpf_ins::{Instruction, JumpOperation, Register};
use tracer_core::filter::Program;

/// A jump goes over at most so many instructions (16 bits, signed).
pub(crate) const LONGEST_JUMP: usize = i16::MAX as usize;

const CLASS_JUMP_32: u64 = 0x06;
const CLASS_MASK: u64 = 0x07;
/// `BPF_ALU | BPF_END | BPF_TO_BE`
const TO_BIG_ENDIAN: u64 = 0xdc;
/// `BPF_JMP | BPF_CALL` with `BPF_PSEUDO_CALL` as the source register; the target is filled in when the program is linked.
const CALL_FUNCTION: u64 = 0xffff_ffff_0000_1085;

/// A place in the program, which may still have to be bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label(usize);

/// A jump goes too far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooFar {
    /// How many instructions the program has.
    pub(crate) instructions: usize,
}

/// A program in the making.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    program: Program,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Says that `label` is where the next instruction will be.
    pub(crate) fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.program.instructions.len());
    }

    pub(crate) fn push(&mut self, instruction: Instruction) {
        let (first, second) = instruction.encode();
        self.program.instructions.push(first);
        self.program.instructions.extend(second);
    }

    /// Turns the lowest `bits` of a register from big endian to the machine's order and clears the others.
    pub(crate) fn big_endian(&mut self, register: Register, bits: u8) {
        self.push_raw(TO_BIG_ENDIAN | u64::from(register.as_num()) << 8 | u64::from(bits) << 32);
    }

    /// Calls the function `load`.
    pub(crate) fn call_load(&mut self) {
        self.program.loads.push(self.program.instructions.len());
        self.push_raw(CALL_FUNCTION);
    }

    pub(crate) fn jump(&mut self, target: Label) {
        self.push_jump(Instruction::jmp_abs(0).encode().0, target);
    }

    pub(crate) fn jump_if(&mut self, left: Register, operation: JumpOperation, right: i32, target: Label) {
        self.push_jump(Instruction::jmp_if(left, operation, right.into(), 0).encode().0, target);
    }

    pub(crate) fn jump_if_register(
        &mut self,
        left: Register,
        operation: JumpOperation,
        right: Register,
        target: Label,
    ) {
        self.push_jump(Instruction::jmp_ifx(left, operation, right, 0).encode().0, target);
    }

    /// Compares the lower 32 bits: no constant is extended by its sign.
    pub(crate) fn jump32_if(&mut self, left: Register, operation: JumpOperation, right: u32, target: Label) {
        let wide = Instruction::jmp_if(left, operation, right.into(), 0).encode().0;
        self.push_jump(wide & !CLASS_MASK | CLASS_JUMP_32, target);
    }

    pub(crate) fn jump32_if_register(
        &mut self,
        left: Register,
        operation: JumpOperation,
        right: Register,
        target: Label,
    ) {
        let wide = Instruction::jmp_ifx(left, operation, right, 0).encode().0;
        self.push_jump(wide & !CLASS_MASK | CLASS_JUMP_32, target);
    }

    /// The program with all jumps filled in.
    ///
    /// # Panics
    ///
    /// When a label that is jumped to was not bound.
    pub(crate) fn finish(mut self) -> Result<Program, TooFar> {
        let instructions = self.program.instructions.len();
        for (from, label) in self.jumps {
            let target = self.labels[label.0].expect("every label is bound");
            let distance = i16::try_from(target as i64 - from as i64 - 1).map_err(|_| TooFar { instructions })?;
            self.program.instructions[from] |= u64::from(distance as u16) << 16;
        }
        Ok(self.program)
    }

    fn push_jump(&mut self, instruction: u64, target: Label) {
        self.jumps.push((self.program.instructions.len(), target));
        self.push_raw(instruction);
    }

    fn push_raw(&mut self, instruction: u64) {
        self.push(Instruction::decode(&[instruction]).expect("the opcode exists"));
    }
}
