// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Loops. libpcap makes one for `protochain`, which goes from one extension header to the next. The kernel accepts only programs
//! that are sure to end, so the body is repeated instead.

use super::classic::Instruction;

/// How often a program may jump back; after that the packet does not match. Each repetition adds to what the kernel has to check.
pub(super) const REPETITIONS: usize = 16;

/// A program that does the same and jumps forward only.
pub(super) fn unroll(program: &[Instruction]) -> Vec<Instruction> {
    let repeated = leads_back(program);
    if !repeated.first().is_some_and(|&repeated| repeated) {
        return program.to_vec();
    }
    let mut layout = Vec::new();
    for round in 0..=REPETITIONS {
        layout.extend((0..program.len()).filter(|&index| repeated[index]).map(|index| Place { round, index }));
    }
    layout.extend((0..program.len()).filter(|&index| !repeated[index]).map(|index| Place { round: LAST, index }));

    // Each instruction is followed by a jump where the next one is not what follows it in the original.
    let mut result = Vec::new();
    let mut begins = Vec::new();
    for (at, place) in layout.iter().enumerate() {
        begins.push(result.len());
        let instruction = program[place.index];
        result.push((place, instruction));
        let falls_through = !matches!(
            instruction,
            Instruction::Jump { .. } | Instruction::Branch { .. } | Instruction::Return { .. } | Instruction::ReturnA
        );
        if falls_through && layout.get(at + 1) != Some(&place.follow(place.index + 1, &repeated)) {
            result.push((place, Instruction::Jump { target: place.index + 1 }));
        }
    }
    let give_up = result.len();
    let resolve = |place: &Place, target: usize| {
        let next = place.follow(target, &repeated);
        // The layout is sorted: rounds, and indices within them.
        layout.binary_search(&next).map_or(give_up, |at| begins[at])
    };
    let mut result: Vec<_> = result
        .into_iter()
        .map(|(place, instruction)| match instruction {
            Instruction::Jump { target } => Instruction::Jump { target: resolve(place, target) },
            Instruction::Branch { condition, operand, if_true, if_false } => Instruction::Branch {
                condition,
                operand,
                if_true: resolve(place, if_true),
                if_false: resolve(place, if_false),
            },
            other => other,
        })
        .collect();
    result.push(Instruction::Return { value: 0 });
    result
}

/// The round in which the instructions stand that no loop follows: they are there once.
const LAST: usize = usize::MAX;

/// An instruction of the original in one of its repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    round: usize,
    index: usize,
}

impl Place {
    /// Where a jump from here to an instruction of the original leads.
    fn follow(self, target: usize, repeated: &[bool]) -> Self {
        let round = if !repeated[target] { LAST } else { self.round + usize::from(target <= self.index) };
        Self { round, index: target }
    }
}

/// For each instruction whether a jump back can come after it.
fn leads_back(program: &[Instruction]) -> Vec<bool> {
    let mut result = vec![false; program.len()];
    loop {
        let mut changed = false;
        for index in (0..program.len()).rev() {
            let leads = program[index].successors(index).any(|next| next <= index || result[next]);
            changed |= leads != result[index];
            result[index] |= leads;
        }
        if !changed {
            return result;
        }
    }
}
