// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Makes packets that come far in a filter: where it compares a part of the packet, that part is changed, so that some go one
//! way and some the other.

use super::packets::Packet;
use crate::packet::classic::{ClassicProgram, Condition, Instruction, Operand, Operation, Register, Size};

/// No packet is made longer than that.
const LONGEST: usize = 1200;

/// Where a number came from.
#[derive(Clone, Copy)]
struct Origin {
    at: usize,
    size: Size,
    /// The bits that were kept.
    mask: u32,
}

/// Changes `packet` in up to as many places as there are `choices`: `None` leaves one as it is, true and false say how the
/// comparison shall end.
pub(super) fn steer(program: &ClassicProgram, packet: &mut Packet, choices: &[Option<bool>]) {
    let mut choices = choices.iter().copied();
    let (mut a, mut x, mut scratch, mut origin) = (0_u32, 0_u32, [0_u32; 16], None::<Origin>);
    let mut next = 0;
    // libpcap's loops go from one header to the next; more rounds than this find nothing new.
    for _ in 0..1000 {
        let instruction = program.instructions()[next];
        next += 1;
        match instruction {
            Instruction::LoadConstant { into: Register::A, value } => (a, origin) = (value, None),
            Instruction::LoadConstant { into: Register::X, value } => x = value,
            Instruction::LoadLength { into: Register::A } => (a, origin) = (packet.wire_length, None),
            Instruction::LoadLength { into: Register::X } => x = packet.wire_length,
            Instruction::LoadScratch { into: Register::A, word } => (a, origin) = (scratch[usize::from(word)], None),
            Instruction::LoadScratch { into: Register::X, word } => x = scratch[usize::from(word)],
            Instruction::LoadPacket { offset, indirect, size } => {
                let at = offset as usize + if indirect { x as usize } else { 0 };
                let Some(number) = load(packet, at, size) else { return };
                (a, origin) = (number, Some(Origin { at, size, mask: u32::MAX }));
            }
            Instruction::LoadHeaderLength { offset } => {
                let Some(number) = load(packet, offset as usize, Size::Byte) else { return };
                x = (number & 0xf) * 4;
            }
            Instruction::Store { from, word } => scratch[usize::from(word)] = if from == Register::A { a } else { x },
            Instruction::Calculate { operation, operand } => {
                let by = if let Operand::Constant(constant) = operand { constant } else { x };
                let Some(result) = calculate(operation, a, by) else { return };
                a = result;
                origin = origin
                    .filter(|_| operation == Operation::And)
                    .map(|origin| Origin { mask: origin.mask & by, ..origin });
            }
            Instruction::Negate => (a, origin) = (a.wrapping_neg(), None),
            Instruction::Copy { into: Register::A } => (a, origin) = (x, None),
            Instruction::Copy { into: Register::X } => x = a,
            Instruction::Jump { target } => next = target,
            Instruction::Branch { condition, operand, if_true, if_false } => {
                let with = if let Operand::Constant(constant) = operand { constant } else { x };
                if let (Some(origin), Some(Some(wanted))) = (origin, choices.next())
                    && let Some(number) = number_for(condition, with, wanted)
                {
                    a = store(packet, origin, number);
                }
                next = if holds(condition, a, with) { if_true } else { if_false };
            }
            Instruction::Return { .. } | Instruction::ReturnA => return,
        }
    }
}

/// Reads a number, from bytes that are added where the packet ends before it.
fn load(packet: &mut Packet, at: usize, size: Size) -> Option<u32> {
    let end = at.checked_add(size as usize).filter(|&end| end <= LONGEST)?;
    if packet.data.len() < end {
        packet.data.resize(end, 0x45);
        packet.wire_length = packet.wire_length.max(end as u32);
    }
    Some(packet.data[at..end].iter().fold(0, |number, &byte| number << 8 | u32::from(byte)))
}

/// Changes the bits that were compared, and returns what is compared then.
fn store(packet: &mut Packet, Origin { at, size, mask }: Origin, number: u32) -> u32 {
    let end = at + size as usize;
    let old = packet.data[at..end].iter().fold(0, |number, &byte| number << 8 | u32::from(byte));
    let new = old & !mask | number & mask;
    packet.data[at..end].copy_from_slice(&new.to_be_bytes()[4 - size as usize..]);
    new & mask & (u32::MAX >> (32 - 8 * size as u32))
}

/// A number that compares as wanted with `with`, at the boundary.
fn number_for(condition: Condition, with: u32, wanted: bool) -> Option<u32> {
    match (condition, wanted) {
        (Condition::Equal | Condition::GreaterOrEqual | Condition::AnyBitSet, true) | (Condition::Greater, false) => {
            Some(with)
        }
        (Condition::Greater, true) | (Condition::Equal, false) => with.checked_add(1),
        (Condition::GreaterOrEqual, false) => with.checked_sub(1),
        (Condition::AnyBitSet, false) => Some(!with),
    }
}

fn holds(condition: Condition, a: u32, with: u32) -> bool {
    match condition {
        Condition::Equal => a == with,
        Condition::Greater => a > with,
        Condition::GreaterOrEqual => a >= with,
        Condition::AnyBitSet => a & with != 0,
    }
}

fn calculate(operation: Operation, a: u32, by: u32) -> Option<u32> {
    Some(match operation {
        Operation::Add => a.wrapping_add(by),
        Operation::Subtract => a.wrapping_sub(by),
        Operation::Multiply => a.wrapping_mul(by),
        Operation::Divide => a.checked_div(by)?,
        Operation::Remainder => a.checked_rem(by)?,
        Operation::Or => a | by,
        Operation::And => a & by,
        Operation::ExclusiveOr => a ^ by,
        Operation::ShiftLeft => a.checked_shl(by).unwrap_or(0),
        Operation::ShiftRight => a.checked_shr(by).unwrap_or(0),
    })
}
