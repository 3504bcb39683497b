// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Classic BPF to eBPF. What the function gets and returns is in [`tracer_core::filter`].
//!
//! A and X are in 64-bit registers whose upper halves are 0. An offset is the sum of X and a constant in 64 bits: it does not
//! wrap, so that an offset beyond the packet is no match, as in libpcap's interpreter.

use std::mem::offset_of;

use bpf_ins::{ArithmeticOperation, Instruction as Ebpf, JumpOperation, Register as EbpfRegister};
use tracer_core::filter::{Program, STACK_LIMIT};
use tracer_ebpf::wire::{FILTER_WINDOW, packet_view};

use super::classic::{ClassicProgram, Condition, Instruction, Operand, Operation, Register, SCRATCH_WORDS, Size};
use super::flow::{self, Facts, Flow, Places};
use super::unroll::unroll;
use crate::assembler::{Assembler, Label, TooFar};

const RESULT: EbpfRegister = EbpfRegister::R0;
// Calls keep these.
const VIEW: EbpfRegister = EbpfRegister::R6;
const WINDOW_LENGTH: EbpfRegister = EbpfRegister::R7;
const A: EbpfRegister = EbpfRegister::R8;
const X: EbpfRegister = EbpfRegister::R9;

const WINDOW: i16 = offset_of!(packet_view, window) as i16;

/// No packet is that long. Greater offsets could not be constants of an instruction.
const LONGEST_PACKET: u32 = i32::MAX as u32 - Size::Word as u32;

const _: () = assert!(SCRATCH_WORDS as i16 * 4 <= STACK_LIMIT, "scratch memory is on the stack");

/// Translates a program.
pub(super) fn translate(program: &ClassicProgram) -> Result<Program, TooFar> {
    let program: Vec<_> = unroll(program.instructions()).into_iter().map(simplify).collect();
    let Flow { facts, unwritten } = flow::analyse(&program);
    // The kernel refuses instructions that can't be reached.
    let reached: Vec<_> = facts.iter().enumerate().filter_map(|(index, facts)| Some((index, (*facts)?))).collect();

    let mut assembler = Assembler::default();
    let labels = program.iter().map(|_| assembler.label()).collect();
    let no_match = assembler.label();
    let mut translator = Translator { assembler, labels, no_match, no_match_used: false, far_loads: Vec::new() };
    translator.begin(unwritten);
    for (position, &(index, facts)) in reached.iter().enumerate() {
        translator.assembler.bind(translator.labels[index]);
        let next = reached.get(position + 1).map(|&(next, _)| next);
        translator.instruction(program[index], facts, next);
    }
    translator.end();
    translator.assembler.finish()
}

/// Replaces what eBPF has no instruction for by what comes of it.
fn simplify(instruction: Instruction) -> Instruction {
    match instruction {
        Instruction::LoadPacket { offset, .. } | Instruction::LoadHeaderLength { offset }
            if offset > LONGEST_PACKET =>
        {
            Instruction::Return { value: 0 }
        }
        Instruction::Calculate { operation, operand: Operand::Constant(constant) } => match (operation, constant) {
            (Operation::Divide | Operation::Remainder, 0) => Instruction::Return { value: 0 },
            (Operation::ShiftLeft | Operation::ShiftRight, 32..) => {
                Instruction::LoadConstant { into: Register::A, value: 0 }
            }
            _ => instruction,
        },
        _ => instruction,
    }
}

struct Translator {
    assembler: Assembler,
    /// Where each instruction of the classic program begins.
    labels: Vec<Label>,
    no_match: Label,
    no_match_used: bool,
    far_loads: Vec<FarLoad>,
}

/// A load whose offset turned out to be beyond the window. It stands out of line.
struct FarLoad {
    label: Label,
    back: Label,
    size: Size,
}

impl Translator {
    fn begin(&mut self, unwritten: Places) {
        self.assembler.push(Ebpf::movx64(VIEW, EbpfRegister::R1));
        self.assembler.push(Ebpf::loadx32(WINDOW_LENGTH, VIEW, offset_of!(packet_view, window_length) as i16));
        for register in [Register::A, Register::X] {
            if unwritten.contains(Places::register(register)) {
                self.assembler.push(Ebpf::mov32(place(register), 0));
            }
        }
    }

    /// Translates an instruction, before which `facts` hold; `next` is the one that will follow.
    fn instruction(&mut self, instruction: Instruction, facts: Facts, next: Option<usize>) {
        match instruction {
            Instruction::LoadConstant { into, value } => self.assembler.push(Ebpf::mov32(place(into), value as i32)),
            Instruction::LoadLength { into } => {
                let offset = offset_of!(packet_view, wire_length) as i16;
                self.assembler.push(Ebpf::loadx32(place(into), VIEW, offset));
            }
            Instruction::LoadScratch { into, word } => {
                self.assembler.push(Ebpf::loadx32(place(into), EbpfRegister::R10, stack_slot(word)));
            }
            Instruction::LoadPacket { offset, indirect: false, size } => self.load(A, offset, size, facts),
            Instruction::LoadPacket { offset, indirect: true, size } => self.load_indirect(offset, size, facts),
            Instruction::LoadHeaderLength { offset } => {
                self.load(X, offset, Size::Byte, facts);
                self.assembler.push(Ebpf::alu32(X, 0xf, ArithmeticOperation::And));
                self.assembler.push(Ebpf::alu32(X, 2, ArithmeticOperation::Lhs));
            }
            Instruction::Store { from, word } => {
                self.assembler.push(Ebpf::storex32(EbpfRegister::R10, stack_slot(word), place(from)));
            }
            Instruction::Calculate { operation, operand } => self.calculate(operation, operand),
            Instruction::Negate => self.assembler.push(Ebpf::alu32(A, 0, ArithmeticOperation::Neg)),
            Instruction::Copy { into: Register::A } => self.assembler.push(Ebpf::movx32(A, X)),
            Instruction::Copy { into: Register::X } => self.assembler.push(Ebpf::movx32(X, A)),
            Instruction::Jump { target } => self.jump(target, next),
            Instruction::Branch { condition, operand, if_true, if_false } => {
                let (operation, opposite) = match condition {
                    Condition::Equal => (JumpOperation::IfEqual, Some(JumpOperation::IfNotEqual)),
                    Condition::Greater => (JumpOperation::IfGreater, Some(JumpOperation::IfLessThanOrEqual)),
                    Condition::GreaterOrEqual => (JumpOperation::IfGreaterOrEqual, Some(JumpOperation::IfLessThan)),
                    Condition::AnyBitSet => (JumpOperation::IfAnd, None),
                };
                match opposite {
                    _ if if_true == if_false => self.jump(if_true, next),
                    Some(opposite) if Some(if_true) == next => self.branch(opposite, operand, if_false),
                    _ => {
                        self.branch(operation, operand, if_true);
                        self.jump(if_false, next);
                    }
                }
            }
            Instruction::Return { value } => {
                self.assembler.push(Ebpf::mov32(RESULT, i32::from(value != 0)));
                self.assembler.push(Ebpf::exit());
            }
            Instruction::ReturnA => {
                self.assembler.push(Ebpf::movx32(RESULT, A));
                self.assembler.push(Ebpf::exit());
            }
        }
    }

    /// Loads from a constant offset.
    fn load(&mut self, into: EbpfRegister, offset: u32, size: Size, facts: Facts) {
        let end = offset + size as u32;
        if end > FILTER_WINDOW {
            self.assembler.push(Ebpf::mov64(EbpfRegister::R2, offset as i32));
            self.call_load(into, size);
            return;
        }
        if facts.window < end {
            // The window is not full: it holds the whole packet.
            let no_match = self.no_match();
            self.assembler.jump_if(WINDOW_LENGTH, JumpOperation::IfLessThan, end as i32, no_match);
        }
        self.load_window(into, VIEW, WINDOW + offset as i16, size);
    }

    /// Loads from the offset X + `offset` into A.
    fn load_indirect(&mut self, offset: u32, size: Size, facts: Facts) {
        if !facts.header_length {
            // The kernel tells apart all that a number can be once it becomes a part of an address. With what loops, and filters
            // such as `geneve`, make of X it gives up after a million instructions.
            self.assembler.push(Ebpf::movx64(EbpfRegister::R2, X));
            self.assembler.push(Ebpf::add64(EbpfRegister::R2, offset as i32));
            self.call_load(A, size);
            return;
        }
        const END: EbpfRegister = EbpfRegister::R2;
        let (far, back) = (self.assembler.label(), self.assembler.label());
        self.assembler.push(Ebpf::movx64(END, X));
        self.assembler.push(Ebpf::add64(END, (offset + size as u32) as i32));
        self.assembler.jump_if_register(END, JumpOperation::IfGreater, WINDOW_LENGTH, far);
        // Never taken: it tells the kernel, which does not know how long the window is, that the load stays within it.
        self.assembler.jump_if(END, JumpOperation::IfGreater, FILTER_WINDOW as i32, far);
        self.assembler.push(Ebpf::addx64(END, VIEW));
        self.load_window(A, END, WINDOW - size as i16, size);
        self.assembler.bind(back);
        self.far_loads.push(FarLoad { label: far, back, size });
    }

    fn load_window(&mut self, into: EbpfRegister, base: EbpfRegister, offset: i16, size: Size) {
        match size {
            Size::Byte => self.assembler.push(Ebpf::loadx8(into, base, offset)),
            Size::Half => self.assembler.push(Ebpf::loadx16(into, base, offset)),
            Size::Word => self.assembler.push(Ebpf::loadx32(into, base, offset)),
        }
        if size != Size::Byte {
            self.assembler.big_endian(into, size as u8 * 8);
        }
    }

    /// Calls `load` for the offset in R2.
    fn call_load(&mut self, into: EbpfRegister, size: Size) {
        self.assembler.push(Ebpf::mov64(EbpfRegister::R3, size as i32));
        self.assembler.push(Ebpf::movx64(EbpfRegister::R1, VIEW));
        self.assembler.call_load();
        let no_match = self.no_match();
        self.assembler.jump_if(RESULT, JumpOperation::IfSignedLessThan, 0, no_match);
        self.assembler.push(Ebpf::movx32(into, RESULT));
    }

    fn calculate(&mut self, operation: Operation, operand: Operand) {
        let ebpf_operation = match operation {
            Operation::Add => ArithmeticOperation::Add,
            Operation::Subtract => ArithmeticOperation::Sub,
            Operation::Multiply => ArithmeticOperation::Mul,
            Operation::Divide => ArithmeticOperation::Div,
            Operation::Remainder => ArithmeticOperation::Mod,
            Operation::Or => ArithmeticOperation::Or,
            Operation::And => ArithmeticOperation::And,
            Operation::ExclusiveOr => ArithmeticOperation::Xor,
            Operation::ShiftLeft => ArithmeticOperation::Lhs,
            Operation::ShiftRight => ArithmeticOperation::Rhs,
        };
        let register_operation = Ebpf::alux32(A, X, ebpf_operation);
        match (operation, operand) {
            (_, Operand::Constant(constant)) => self.assembler.push(Ebpf::alu32(A, constant as i32, ebpf_operation)),
            (Operation::Divide | Operation::Remainder, Operand::X) => {
                let no_match = self.no_match();
                self.assembler.jump32_if(X, JumpOperation::IfEqual, 0, no_match);
                self.assembler.push(register_operation);
            }
            (Operation::ShiftLeft | Operation::ShiftRight, Operand::X) => {
                // eBPF takes the lowest five bits of X; all bits must be shifted out.
                let (shift, done) = (self.assembler.label(), self.assembler.label());
                self.assembler.jump32_if(X, JumpOperation::IfLessThan, 32, shift);
                self.assembler.push(Ebpf::mov32(A, 0));
                self.assembler.jump(done);
                self.assembler.bind(shift);
                self.assembler.push(register_operation);
                self.assembler.bind(done);
            }
            (_, Operand::X) => self.assembler.push(register_operation),
        }
    }

    fn branch(&mut self, operation: JumpOperation, operand: Operand, target: usize) {
        let target = self.labels[target];
        match operand {
            Operand::Constant(constant) => self.assembler.jump32_if(A, operation, constant, target),
            Operand::X => self.assembler.jump32_if_register(A, operation, X, target),
        }
    }

    fn jump(&mut self, target: usize, next: Option<usize>) {
        if Some(target) != next {
            self.assembler.jump(self.labels[target]);
        }
    }

    fn no_match(&mut self) -> Label {
        self.no_match_used = true;
        self.no_match
    }

    fn end(&mut self) {
        for FarLoad { label, back, size } in std::mem::take(&mut self.far_loads) {
            self.assembler.bind(label);
            self.assembler.push(Ebpf::add64(EbpfRegister::R2, -(size as i32)));
            self.call_load(A, size);
            self.assembler.jump(back);
        }
        if self.no_match_used {
            self.assembler.bind(self.no_match);
            self.assembler.push(Ebpf::mov32(RESULT, 0));
            self.assembler.push(Ebpf::exit());
        }
    }
}

fn place(register: Register) -> EbpfRegister {
    match register {
        Register::A => A,
        Register::X => X,
    }
}

fn stack_slot(word: u8) -> i16 {
    -4 * (i16::from(word) + 1)
}
