// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Classic BPF, which libpcap compiles filters to: a machine with two registers of 32 bits, A and X, and 16 words of scratch memory.

use super::flow::{self, Places};
use super::unroll::unroll;

/// An instruction as libpcap has it: `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawInstruction {
    /// What it does.
    pub code: u16,
    /// Instructions to skip when the condition holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// A constant.
    pub k: u32,
}

impl RawInstruction {
    /// Reads what the pcap crate shows of an instruction: its four numbers.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(' ');
        let instruction = Self {
            code: numbers.next()?.parse().ok()?,
            jt: numbers.next()?.parse().ok()?,
            jf: numbers.next()?.parse().ok()?,
            k: numbers.next()?.parse().ok()?,
        };
        numbers.next().is_none().then_some(instruction)
    }
}

/// An instruction that classic BPF does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("instruction {index} of classic BPF is invalid: {instruction:x?}")]
pub(super) struct InvalidInstruction {
    index: usize,
    instruction: RawInstruction,
}

/// The words of scratch memory.
pub(super) const SCRATCH_WORDS: u8 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    A,
    X,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Constant(u32),
    X,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Byte = 1,
    Half = 2,
    Word = 4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Or,
    And,
    ExclusiveOr,
    ShiftLeft,
    ShiftRight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBitSet,
}

/// An instruction whose parts are valid. Targets are indices of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    LoadConstant {
        into: Register,
        value: u32,
    },
    /// The packet's length on the wire.
    LoadLength {
        into: Register,
    },
    LoadScratch {
        into: Register,
        word: u8,
    },
    /// A = the number at `offset`, to which X is added when `indirect`. There is no match when the packet ends before it.
    LoadPacket {
        offset: u32,
        indirect: bool,
        size: Size,
    },
    /// X = four times the lower half of the byte at `offset`: the length of an IPv4 header.
    LoadHeaderLength {
        offset: u32,
    },
    Store {
        from: Register,
        word: u8,
    },
    /// A = A `operation` `operand`. There is no match when it divides by 0.
    Calculate {
        operation: Operation,
        operand: Operand,
    },
    Negate,
    Copy {
        into: Register,
    },
    Jump {
        target: usize,
    },
    Branch {
        condition: Condition,
        operand: Operand,
        if_true: usize,
        if_false: usize,
    },
    Return {
        value: u32,
    },
    ReturnA,
}

impl Instruction {
    /// Where execution goes on.
    pub(super) fn successors(self, own_index: usize) -> impl Iterator<Item = usize> {
        let (first, second) = match self {
            Self::Return { .. } | Self::ReturnA => (None, None),
            Self::Jump { target } => (Some(target), None),
            Self::Branch { if_true, if_false, .. } => (Some(if_true), Some(if_false)),
            _ => (Some(own_index + 1), None),
        };
        first.into_iter().chain(second)
    }
}

/// A program whose instructions, jumps and words of scratch memory exist, whose every way ends with a return or a jump back, and
/// that reads no word of scratch memory before it has written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClassicProgram {
    raw: Vec<RawInstruction>,
    instructions: Vec<Instruction>,
}

impl ClassicProgram {
    /// Checks a program. Scratch memory begins as 0 where it would be read unwritten: libpcap makes such programs (of
    /// `not geneve and port 80`), and leaves to chance what its interpreter finds there.
    pub(super) fn new(raw: Vec<RawInstruction>) -> Result<Self, InvalidInstruction> {
        let unwritten = flow::analyse(&unroll(&decode_all(&raw)?)).unwritten;
        // A begins as 0.
        let clear = (0..SCRATCH_WORDS)
            .filter(|&word| unwritten.contains(Places::word(word)))
            .map(|word| RawInstruction { code: ST, jt: 0, jf: 0, k: word.into() });
        let raw: Vec<_> = clear.chain(raw.iter().copied()).collect();
        Ok(Self { instructions: decode_all(&raw)?, raw })
    }

    /// A program that matches no packet.
    pub(super) fn never() -> Self {
        Self::new(vec![RawInstruction { code: RET, jt: 0, jf: 0, k: 0 }]).expect("it is valid")
    }

    pub(super) fn raw(&self) -> &[RawInstruction] {
        &self.raw
    }

    pub(super) fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }
}

// The codes of `linux/bpf_common.h` and `linux/filter.h`: the class, and what the other bits mean in it.
const CLASS: u16 = 0x07;
const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
const MISC: u16 = 0x07;

const SIZE: u16 = 0x18;
const WORD: u16 = 0x00;
const HALF: u16 = 0x08;
const BYTE: u16 = 0x10;

const MODE: u16 = 0xe0;
const IMMEDIATE: u16 = 0x00;
const ABSOLUTE: u16 = 0x20;
const INDIRECT: u16 = 0x40;
const MEMORY: u16 = 0x60;
const LENGTH: u16 = 0x80;
const HEADER_LENGTH: u16 = 0xa0;

const FROM_X: u16 = 0x08;
const RETURN_A: u16 = 0x10;
const COPY_TO_A: u16 = 0x80;

fn decode_all(raw: &[RawInstruction]) -> Result<Vec<Instruction>, InvalidInstruction> {
    let checked = |(index, &instruction)| {
        decode(instruction, index)
            .filter(|decoded| decoded.successors(index).all(|next| next < raw.len()))
            .ok_or(InvalidInstruction { index, instruction })
    };
    raw.iter().enumerate().map(checked).collect()
}

fn decode(raw: RawInstruction, index: usize) -> Option<Instruction> {
    let RawInstruction { code, jt, jf, k } = raw;
    let word = || u8::try_from(k).ok().filter(|&word| word < SCRATCH_WORDS);
    let rest = code & !CLASS;
    Some(match code & CLASS {
        LD => load(code, k, Register::A)?,
        LDX => load(code, k, Register::X)?,
        ST if rest == 0 => Instruction::Store { from: Register::A, word: word()? },
        STX if rest == 0 => Instruction::Store { from: Register::X, word: word()? },
        ALU => calculation(code, k)?,
        JMP => {
            let operand = if code & FROM_X == 0 { Operand::Constant(k) } else { Operand::X };
            let condition = match rest & !FROM_X {
                // The only one that can go back, as libpcap does for `protochain`.
                0x00 if operand == Operand::Constant(k) => {
                    let target = index as i64 + 1 + i64::from(k as i32);
                    return Some(Instruction::Jump { target: usize::try_from(target).ok()? });
                }
                0x10 => Condition::Equal,
                0x20 => Condition::Greater,
                0x30 => Condition::GreaterOrEqual,
                0x40 => Condition::AnyBitSet,
                _ => return None,
            };
            let (if_true, if_false) = (index + 1 + usize::from(jt), index + 1 + usize::from(jf));
            Instruction::Branch { condition, operand, if_true, if_false }
        }
        RET if rest == 0 => Instruction::Return { value: k },
        RET if rest == RETURN_A => Instruction::ReturnA,
        MISC if rest == 0 => Instruction::Copy { into: Register::X },
        MISC if rest == COPY_TO_A => Instruction::Copy { into: Register::A },
        _ => return None,
    })
}

fn load(code: u16, k: u32, into: Register) -> Option<Instruction> {
    let size = match code & SIZE {
        WORD => Size::Word,
        HALF => Size::Half,
        BYTE => Size::Byte,
        _ => return None,
    };
    Some(match (code & MODE, size, into) {
        (ABSOLUTE, _, Register::A) => Instruction::LoadPacket { offset: k, indirect: false, size },
        (INDIRECT, _, Register::A) => Instruction::LoadPacket { offset: k, indirect: true, size },
        (HEADER_LENGTH, Size::Byte, Register::X) => Instruction::LoadHeaderLength { offset: k },
        (IMMEDIATE, Size::Word, _) => Instruction::LoadConstant { into, value: k },
        (LENGTH, Size::Word, _) => Instruction::LoadLength { into },
        (MEMORY, Size::Word, _) => {
            Instruction::LoadScratch { into, word: u8::try_from(k).ok().filter(|&word| word < SCRATCH_WORDS)? }
        }
        _ => return None,
    })
}

fn calculation(code: u16, k: u32) -> Option<Instruction> {
    let operand = if code & FROM_X == 0 { Operand::Constant(k) } else { Operand::X };
    let operation = match code & !CLASS & !FROM_X {
        0x00 => Operation::Add,
        0x10 => Operation::Subtract,
        0x20 => Operation::Multiply,
        0x30 => Operation::Divide,
        0x40 => Operation::Or,
        0x50 => Operation::And,
        0x60 => Operation::ShiftLeft,
        0x70 => Operation::ShiftRight,
        0x80 if operand == Operand::Constant(k) => return Some(Instruction::Negate),
        0x90 => Operation::Remainder,
        0xa0 => Operation::ExclusiveOr,
        _ => return None,
    };
    Some(Instruction::Calculate { operation, operand })
}
