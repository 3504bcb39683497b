// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is known of a packet and of the registers at each instruction, whichever way led there.

use tracer_ebpf::wire::FILTER_WINDOW;

use super::classic::{Instruction, Operand, Register};

/// A set of the places that hold numbers: the words of scratch memory, A and X.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places(u32);

impl Places {
    pub(super) fn word(word: u8) -> Self {
        Self(1 << word)
    }

    pub(super) fn register(register: Register) -> Self {
        Self(match register {
            Register::A => 1 << 16,
            Register::X => 1 << 17,
        })
    }

    pub(super) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Places {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What holds when an instruction is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// So many bytes are sure to be in the window.
    pub(super) window: u32,
    /// X is the length of a header, at most 60.
    pub(super) header_length: bool,
    /// What has been written to.
    written: Places,
}

/// What the analysis of a program finds.
#[derive(Debug)]
pub(super) struct Flow {
    /// One for each instruction; none where it is never reached.
    pub(super) facts: Vec<Option<Facts>>,
    /// What may be read before it was written to: it must begin as 0.
    pub(super) unwritten: Places,
}

/// Analyses a program that jumps forward only.
pub(super) fn analyse(program: &[Instruction]) -> Flow {
    let mut facts = vec![None; program.len()];
    let mut unwritten = Places::default();
    if let Some(first) = facts.first_mut() {
        *first = Some(Facts { window: 0, header_length: false, written: Places::default() });
    }
    for (index, instruction) in program.iter().enumerate() {
        let Some(Facts { window, header_length, written }) = facts[index] else { continue };
        let (reads, writes) = reads_and_writes(*instruction);
        unwritten = unwritten | Places(reads.0 & !written.0);
        let after = Facts {
            window: window.max(bytes_proven(*instruction)),
            header_length: match instruction {
                Instruction::LoadHeaderLength { .. } => true,
                _ => header_length && !writes.contains(Places::register(Register::X)),
            },
            written: written | writes,
        };
        for next in instruction.successors(index) {
            let merged = facts[next].map_or(after, |other: Facts| Facts {
                window: other.window.min(after.window),
                header_length: other.header_length && after.header_length,
                written: Places(other.written.0 & after.written.0),
            });
            facts[next] = Some(merged);
        }
    }
    Flow { facts, unwritten }
}

/// When execution goes on behind a load, the packet has the bytes.
fn bytes_proven(instruction: Instruction) -> u32 {
    let end = match instruction {
        Instruction::LoadPacket { offset, size, .. } => offset.saturating_add(size as u32),
        Instruction::LoadHeaderLength { offset } => offset.saturating_add(1),
        _ => 0,
    };
    end.min(FILTER_WINDOW)
}

fn reads_and_writes(instruction: Instruction) -> (Places, Places) {
    let nothing = Places::default();
    let (a, x) = (Places::register(Register::A), Places::register(Register::X));
    let read = |operand| if operand == Operand::X { x } else { nothing };
    match instruction {
        Instruction::LoadConstant { into, .. } | Instruction::LoadLength { into } => (nothing, Places::register(into)),
        Instruction::LoadScratch { into, word } => (Places::word(word), Places::register(into)),
        Instruction::LoadPacket { indirect, .. } => (if indirect { x } else { nothing }, a),
        Instruction::LoadHeaderLength { .. } => (nothing, x),
        Instruction::Store { from, word } => (Places::register(from), Places::word(word)),
        Instruction::Calculate { operand, .. } => (a | read(operand), a),
        Instruction::Negate => (a, a),
        Instruction::Copy { into: Register::A } => (x, a),
        Instruction::Copy { into: Register::X } => (a, x),
        Instruction::Branch { operand, .. } => (a | read(operand), nothing),
        Instruction::ReturnA => (a, nothing),
        Instruction::Jump { .. } | Instruction::Return { .. } => (nothing, nothing),
    }
}
