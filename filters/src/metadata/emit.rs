// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From conditions to eBPF.
//!
//! R6 holds the copy of the packet's `struct sk_buff`, R7 its address: 0 when there is no packet, and the copy is of another one.
//! Everything else is read anew for each test: R3 holds the pointer that is followed, R0 the number that is compared. Of the stack
//! only one area is used, for what was read last.
//!
//! Numbers are put together as on machines that store the lowest byte first, as all do on which the programs run.

use bpf_ins::{ArithmeticOperation, Instruction, JumpOperation, MemoryOpSize, Register};
use tracer_core::filter::Program;

use super::resolve::{Check, Field, Hop, Place, Resolved, Source, Test};
use super::syntax::{BitOperation, Relation};
use crate::assembler::{Assembler, Label, TooFar};

const GET_CURRENT_PID_TGID: u32 = 14;
const GET_CURRENT_COMM: u32 = 16;
const PROBE_READ_KERNEL: u32 = 113;
const PROBE_READ_KERNEL_STR: u32 = 115;

const COPY: Register = Register::R6;
const PACKET: Register = Register::R7;
const POINTER: Register = Register::R3;
const NUMBER: Register = Register::R0;

/// Makes the program.
pub(super) fn emit(condition: &Resolved) -> Result<Program, TooFar> {
    let mut code = Code::default();
    let (matches, fails) = (code.assembler.label(), code.assembler.label());
    code.push(Instruction::movx64(COPY, Register::R1));
    code.push(Instruction::movx64(PACKET, Register::R2));
    code.condition(condition, Targets { matches, fails, match_is_next: true });
    for (label, result) in [(matches, 1), (fails, 0)] {
        code.assembler.bind(label);
        code.push(Instruction::mov64(Register::R0, result));
        code.push(Instruction::exit());
    }
    code.assembler.finish()
}

/// Where a condition leads.
#[derive(Clone, Copy)]
struct Targets {
    matches: Label,
    fails: Label,
    /// Whether it is `matches` that comes right behind the condition, and not `fails`.
    match_is_next: bool,
}

#[derive(Default)]
struct Code {
    assembler: Assembler,
}

impl Code {
    fn push(&mut self, instruction: Instruction) {
        self.assembler.push(instruction);
    }

    /// Jumps when `register` and `value` are in that relation. R2 may be overwritten.
    fn jump_if(&mut self, register: Register, operation: JumpOperation, value: u64, to: Label) {
        match i32::try_from(value) {
            Ok(value) => self.assembler.jump_if(register, operation, value, to),
            Err(_) => {
                self.push(Instruction::load(Register::R2, value.cast_signed(), MemoryOpSize::DoubleWord));
                self.assembler.jump_if_register(register, operation, Register::R2, to);
            }
        }
    }

    fn condition(&mut self, condition: &Resolved, targets: Targets) {
        let (conditions, is_all) = match condition {
            Resolved::Test(test) => return self.test(test, targets),
            Resolved::All(conditions) => (conditions, true),
            Resolved::Any(conditions) => (conditions, false),
        };
        let Some((last, others)) = conditions.split_last() else { return };
        for condition in others {
            let next = self.assembler.label();
            let targets = match is_all {
                true => Targets { matches: next, match_is_next: true, ..targets },
                false => Targets { fails: next, match_is_next: false, ..targets },
            };
            self.condition(condition, targets);
            self.assembler.bind(next);
        }
        self.condition(last, targets);
    }

    fn test(&mut self, test: &Test, targets: Targets) {
        match &test.check {
            Check::Number { field, operations, relation, value } => {
                self.number_from(&test.source, *field, targets.fails);
                for (operation, with) in operations {
                    self.operate(*operation, *with);
                }
                self.branch(*relation, field.signed, *value, targets);
            }
            Check::Bytes { expected, last_mask, equal } => {
                let (base, offset) = self.bytes_from(&test.source, expected.len(), targets.fails);
                self.compare_bytes(base, offset, expected, *last_mask, *equal, targets);
            }
            Check::Text { expected, prefix, equal } => {
                // With the zero byte, and with one more that tells whether the text ends there.
                let size = expected.len() + if *prefix { 1 } else { 2 };
                let Source::Packet(places) = &test.source else {
                    unreachable!("only pointers in packets lead to texts")
                };
                self.reach_any(places, targets.fails, |code, place, fails| {
                    code.address(place, fails);
                    code.read(PROBE_READ_KERNEL_STR, buffer(size), size);
                    code.jump_if(Register::R0, JumpOperation::IfSignedLessThan, 1, fails);
                });
                let differs = if *equal { targets.fails } else { targets.matches };
                self.jump_if(Register::R0, JumpOperation::IfNotEqual, expected.len() as u64 + 1, differs);
                self.compare_bytes(Register::R10, buffer(size), expected, 0xff, *equal, targets);
            }
        }
    }

    /// Puts the number that is at `source` into R0.
    fn number_from(&mut self, source: &Source, field: Field, fails: Label) {
        match source {
            Source::ProcessId => {
                self.push(Instruction::call(GET_CURRENT_PID_TGID));
                self.push(Instruction::alu64(NUMBER, 32, ArithmeticOperation::Rhs));
            }
            Source::ThreadName => unreachable!("the name of a thread is no number"),
            Source::Packet(places) => {
                self.reach_any(places, fails, |code, place, fails| code.number(place, field, fails))
            }
        }
    }

    /// Runs `reach` for the places, one after the other, until one can be reached.
    fn reach_any(&mut self, places: &[Place], fails: Label, reach: impl Fn(&mut Self, &Place, Label)) {
        self.jump_if(PACKET, JumpOperation::IfEqual, 0, fails);
        let reached = self.assembler.label();
        for (index, place) in places.iter().enumerate() {
            if index + 1 == places.len() {
                reach(self, place, fails);
            } else {
                let next = self.assembler.label();
                reach(self, place, next);
                self.assembler.jump(reached);
                self.assembler.bind(next);
            }
        }
        self.assembler.bind(reached);
    }

    fn number(&mut self, place: &Place, field: Field, fails: Label) {
        let size = (field.skip + field.bits).div_ceil(8) as i32;
        let whole = size.cast_unsigned().next_power_of_two() as i32;
        if place.hops.is_empty() && place.offset.saturating_add(whole) <= place.copied {
            self.push(load(NUMBER, COPY, place.offset as i16, whole));
        } else {
            self.address(place, fails);
            if whole != size {
                // Of the stack only what was written may be loaded.
                self.push(Instruction::store64(Register::R10, buffer(8), 0));
            }
            self.read(PROBE_READ_KERNEL, buffer(8), size as usize);
            self.jump_if(Register::R0, JumpOperation::IfNotEqual, 0, fails);
            self.push(load(NUMBER, Register::R10, buffer(8), whole));
        }
        if field.network_order && field.bits > 8 {
            self.assembler.big_endian(NUMBER, field.bits as u8);
        }
        let (above, loaded) = (64 - field.skip - field.bits, whole.cast_unsigned() * 8);
        let shift = |bits: u32, operation| Instruction::alu64(NUMBER, bits as i32, operation);
        if field.signed && field.bits < 64 {
            self.push(shift(above, ArithmeticOperation::Lhs));
            self.push(shift(64 - field.bits, ArithmeticOperation::Ash));
        } else if field.skip + field.bits < loaded {
            self.push(shift(above, ArithmeticOperation::Lhs));
            self.push(shift(64 - field.bits, ArithmeticOperation::Rhs));
        } else if field.skip > 0 {
            self.push(shift(field.skip, ArithmeticOperation::Rhs));
        }
    }

    /// Where `size` bytes of `source` are, read if they have to be.
    fn bytes_from(&mut self, source: &Source, size: usize, fails: Label) -> (Register, i16) {
        let at = buffer(size);
        match source {
            Source::ProcessId => unreachable!("the number of a process is no bytes"),
            Source::ThreadName => {
                let at = buffer(16);
                self.push(Instruction::movx64(Register::R1, Register::R10));
                self.push(Instruction::add64(Register::R1, at.into()));
                self.push(Instruction::mov64(Register::R2, 16));
                self.push(Instruction::call(GET_CURRENT_COMM));
                self.jump_if(Register::R0, JumpOperation::IfNotEqual, 0, fails);
                return (Register::R10, at);
            }
            Source::Packet(places) => {
                if let [place] = &places[..]
                    && place.hops.is_empty()
                    && place.offset.saturating_add(size as i32) <= place.copied
                {
                    self.jump_if(PACKET, JumpOperation::IfEqual, 0, fails);
                    return (COPY, place.offset as i16);
                }
                self.reach_any(places, fails, |code, place, fails| {
                    code.address(place, fails);
                    // Where no byte is compared, one is read nevertheless, to find out whether it can be.
                    code.read(PROBE_READ_KERNEL, at, size.max(1));
                    code.jump_if(Register::R0, JumpOperation::IfNotEqual, 0, fails);
                });
            }
        }
        (Register::R10, at)
    }

    /// Puts the address of a place into R3.
    fn address(&mut self, place: &Place, fails: Label) {
        let mut base = None;
        for Hop { offset, mask } in &place.hops {
            match base {
                None if offset.saturating_add(8) <= place.copied => {
                    self.push(Instruction::loadx64(POINTER, COPY, *offset as i16))
                }
                _ => {
                    self.move_pointer(base, *offset);
                    self.read(PROBE_READ_KERNEL, buffer(8), 8);
                    self.jump_if(Register::R0, JumpOperation::IfNotEqual, 0, fails);
                    self.push(Instruction::loadx64(POINTER, Register::R10, buffer(8)));
                }
            }
            if let Some(mask) = mask {
                self.alu(POINTER, ArithmeticOperation::And, *mask);
            }
            self.jump_if(POINTER, JumpOperation::IfEqual, 0, fails);
            base = Some(POINTER);
        }
        self.move_pointer(base, place.offset);
    }

    /// Moves R3 by `offset`, from the packet's address when there is no `base`.
    fn move_pointer(&mut self, base: Option<Register>, offset: i32) {
        if base.is_none() {
            self.push(Instruction::movx64(POINTER, PACKET));
        }
        if offset != 0 {
            self.push(Instruction::add64(POINTER, offset));
        }
    }

    /// Reads bytes from the address in R3 to the stack; R0 is what the helper says of it.
    fn read(&mut self, helper: u32, at: i16, size: usize) {
        self.push(Instruction::movx64(Register::R1, Register::R10));
        self.push(Instruction::add64(Register::R1, at.into()));
        self.push(Instruction::mov64(Register::R2, size as i32));
        self.push(Instruction::call(helper));
    }

    fn operate(&mut self, operation: BitOperation, with: u64) {
        let operation = match operation {
            BitOperation::And => ArithmeticOperation::And,
            BitOperation::Or => ArithmeticOperation::Or,
            BitOperation::Xor => ArithmeticOperation::Xor,
            BitOperation::ShiftLeft => ArithmeticOperation::Lhs,
            BitOperation::ShiftRight => ArithmeticOperation::Rhs,
        };
        self.alu(NUMBER, operation, with);
    }

    /// R2 is overwritten.
    fn alu(&mut self, register: Register, operation: ArithmeticOperation, with: u64) {
        match i32::try_from(with) {
            Ok(with) => self.push(Instruction::alu64(register, with, operation)),
            Err(_) => {
                self.push(Instruction::load(Register::R2, with.cast_signed(), MemoryOpSize::DoubleWord));
                self.push(Instruction::alux64(register, Register::R2, operation));
            }
        }
    }

    /// Compares bytes in pieces as large as their alignment allows: the verifier insists on it for the stack.
    fn compare_bytes(
        &mut self,
        base: Register,
        offset: i16,
        expected: &[u8],
        last_mask: u8,
        equal: bool,
        targets: Targets,
    ) {
        let (same, differs) = if equal { (targets.matches, targets.fails) } else { (targets.fails, targets.matches) };
        let mut done = 0;
        while done < expected.len() {
            let at = offset + done as i16;
            let whole = expected.len() - usize::from(last_mask != 0xff);
            let size =
                [8, 4, 2, 1].into_iter().find(|size| done + size <= whole && at % *size as i16 == 0).unwrap_or(1);
            let mut bytes = [0; 8];
            bytes[..size].copy_from_slice(&expected[done..done + size]);
            self.push(load(Register::R1, base, at, size as i32));
            if done == whole {
                self.push(Instruction::alu64(Register::R1, last_mask.into(), ArithmeticOperation::And));
            }
            self.jump_if(Register::R1, JumpOperation::IfNotEqual, u64::from_le_bytes(bytes), differs);
            done += size;
        }
        if targets.match_is_next != equal {
            self.assembler.jump(same);
        }
    }

    /// Goes where R0 and `value` say.
    fn branch(&mut self, relation: Relation, signed: bool, value: u64, targets: Targets) {
        if targets.match_is_next {
            self.jump_if(NUMBER, jump_operation(relation.negated(), signed), value, targets.fails);
        } else {
            self.jump_if(NUMBER, jump_operation(relation, signed), value, targets.matches);
        }
    }
}

/// Where on the stack so many bytes have room.
fn buffer(size: usize) -> i16 {
    -(size.max(1).next_multiple_of(8) as i16)
}

fn load(to: Register, from: Register, offset: i16, size: i32) -> Instruction {
    match size {
        1 => Instruction::loadx8(to, from, offset),
        2 => Instruction::loadx16(to, from, offset),
        4 => Instruction::loadx32(to, from, offset),
        _ => Instruction::loadx64(to, from, offset),
    }
}

fn jump_operation(relation: Relation, signed: bool) -> JumpOperation {
    match (relation, signed) {
        (Relation::Equal, _) => JumpOperation::IfEqual,
        (Relation::NotEqual, _) => JumpOperation::IfNotEqual,
        (Relation::Less, false) => JumpOperation::IfLessThan,
        (Relation::LessOrEqual, false) => JumpOperation::IfLessThanOrEqual,
        (Relation::Greater, false) => JumpOperation::IfGreater,
        (Relation::GreaterOrEqual, false) => JumpOperation::IfGreaterOrEqual,
        (Relation::Less, true) => JumpOperation::IfSignedLessThan,
        (Relation::LessOrEqual, true) => JumpOperation::IfSignedLessThanOrEqual,
        (Relation::Greater, true) => JumpOperation::IfSignedGreater,
        (Relation::GreaterOrEqual, true) => JumpOperation::IfSignedGreaterOrEqual,
    }
}
