// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random conditions on random memory: the program says what an evaluator says that knows nothing of BTF and eBPF.

use std::cell::RefCell;

use proptest::prelude::{BoxedStrategy, Just, ProptestConfig, Strategy, any, prop, prop_oneof};
use proptest::test_runner::TestRunner;
use tracer_filters::metadata::MetadataFilter;

use crate::machine::Machine;

/// Where a member is, by the rules of C and not by BTF.
struct Field {
    path: &'static str,
    /// In the device, not in the packet.
    of_device: bool,
    bit_offset: usize,
    bits: u32,
    signed: bool,
    big_endian: bool,
}

const fn field(path: &'static str, bit_offset: usize, bits: u32, signed: bool) -> Field {
    Field { path, of_device: false, bit_offset, bits, signed, big_endian: false }
}

const fn big_endian(path: &'static str, offset: usize, bits: u32) -> Field {
    Field { big_endian: true, ..field(path, offset * 8, bits, false) }
}

const fn of_device(field: Field) -> Field {
    Field { of_device: true, ..field }
}

const FIELDS: [Field; 29] = [
    field("sk_buff.pair[1]", 8 * 8, 64, false),
    field("sk_buff._nfct", 80 * 8, 64, false),
    field("sk_buff.len", 88 * 8, 32, false),
    field("sk_buff.mac_len", 96 * 8, 16, false),
    big_endian("sk_buff.protocol", 98, 16),
    field("sk_buff.cloned", 100 * 8, 1, false),
    field("sk_buff.nohdr", 100 * 8 + 1, 1, false),
    field("sk_buff.fclone", 100 * 8 + 2, 2, false),
    field("sk_buff.pkt_type", 100 * 8 + 4, 3, false),
    field("sk_buff.tiny", 102 * 8, 8, true),
    field("sk_buff.skb_iif", 104 * 8, 32, true),
    field("mark", 108 * 8, 32, false),
    field("sk_buff.across", 116 * 8, 5, false),
    field("sk_buff.wide", 116 * 8 + 5, 13, false),
    field("sk_buff.signed_bits", 116 * 8 + 18, 7, true),
    field("sk_buff.rest", 116 * 8 + 25, 7, false),
    field("sk_buff.large", 120 * 8, 64, false),
    field("sk_buff.low", 128 * 8, 64, true),
    big_endian("sk_buff.cookie", 144, 64),
    field("sk_buff.odd.first", 152 * 8, 8, false),
    field("sk_buff.odd.crossing", 153 * 8, 40, false),
    field("sk_buff.odd.crossing_signed", 158 * 8, 21, true),
    field("sk_buff.queues[1].backlog", 176 * 8, 32, true),
    field("sk_buff.cb.(control).when", 40 * 8, 64, true),
    big_endian("sk_buff.cb.(control).port", 34, 16),
    of_device(field("ifindex", 16 * 8, 32, true)),
    of_device(field("sk_buff.dev.name[3]", 3 * 8, 8, true)),
    of_device(field("sk_buff.dev.perm_addr[7]", 39 * 8, 8, false)),
    of_device(field("sk_buff.dev.reg_state", 48 * 8, 8, false)),
];

/// Bytes of `struct sk_buff`, and of `struct net_device` without what follows `reg_state`.
const PACKET: usize = 200;
const DEVICE: usize = 49;
const POINTER_TO_DEVICE: usize = 16;

#[derive(Clone, Debug)]
enum Expression {
    Comparison { field: usize, operation: Option<Operation>, relation: usize, value: usize },
    Truth { field: usize },
    Not(Box<Expression>, bool),
    All(Vec<Expression>, bool),
    Any(Vec<Expression>, bool),
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    And(u64),
    Right(u32),
}

/// As it is written, and when it holds.
type Relation = (&'static str, fn(i128, i128) -> bool);

const RELATIONS: [Relation; 6] = [
    ("==", |a, b| a == b),
    ("!=", |a, b| a != b),
    ("<", |a, b| a < b),
    ("<=", |a, b| a <= b),
    (">", |a, b| a > b),
    (">=", |a, b| a >= b),
];

#[derive(Clone, Debug)]
struct World {
    packet: Vec<u8>,
    device: Vec<u8>,
    /// Whether there is a device: none, one, or a pointer that leads nowhere.
    reach: Reach,
}

#[derive(Clone, Copy, Debug)]
enum Reach {
    Null,
    Device,
    Nowhere,
}

impl World {
    /// The number in a field; with the least and the greatest that it can hold.
    fn number(&self, field: &Field) -> i128 {
        let bytes = if field.of_device { &self.device } else { &self.packet };
        let mut number = 0_i128;
        for bit in 0..field.bits as usize {
            let place = match field.big_endian {
                true => field.bit_offset + (field.bits as usize / 8 - 1 - bit / 8) * 8 + bit % 8,
                false => field.bit_offset + bit,
            };
            number |= i128::from(bytes[place / 8] >> (place % 8) & 1) << bit;
        }
        if field.signed && number >> (field.bits - 1) != 0 { number - (1 << field.bits) } else { number }
    }

    fn operated(&self, field: &Field, operation: Option<Operation>) -> i128 {
        let number = self.number(field);
        let bits = number & ((1 << field.bits) - 1);
        match operation {
            None => number,
            Some(Operation::And(mask)) => bits & i128::from(mask),
            Some(Operation::Right(shift)) => bits >> shift,
        }
    }

    /// A value near one of the boundaries, within what can be written.
    fn value(&self, field: &Field, operation: Option<Operation>, choice: usize) -> i128 {
        let number = self.operated(field, operation);
        let (least, most) = match operation {
            None if field.signed => (-(1 << (field.bits - 1)), (1 << (field.bits - 1)) - 1),
            None => (0, (1 << field.bits) - 1),
            Some(Operation::And(mask)) => (0, ((1 << field.bits) - 1) & i128::from(mask)),
            Some(Operation::Right(shift)) => (0, ((1_i128 << field.bits) - 1) >> shift),
        };
        let choices = [number, number - 1, number + 1, 0, least, most, least + 1, most - 1, 1 << 31, -1];
        choices[choice % choices.len()].clamp(least, most)
    }

    fn holds(&self, expression: &Expression, negated: bool) -> bool {
        let reached = |field: &Field| !field.of_device || matches!(self.reach, Reach::Device);
        match expression {
            Expression::Not(inner, _) => self.holds(inner, !negated),
            Expression::All(all, _) if negated => all.iter().any(|one| self.holds(one, true)),
            Expression::Any(all, _) if negated => all.iter().all(|one| self.holds(one, true)),
            Expression::All(all, _) => all.iter().all(|one| self.holds(one, false)),
            Expression::Any(all, _) => all.iter().any(|one| self.holds(one, false)),
            Expression::Truth { field } => reached(&FIELDS[*field]) && (self.number(&FIELDS[*field]) != 0) != negated,
            Expression::Comparison { field, operation, relation, value } => {
                let field = &FIELDS[*field];
                let value = self.value(field, *operation, *value);
                reached(field) && RELATIONS[*relation].1(self.operated(field, *operation), value) != negated
            }
        }
    }

    fn text(&self, expression: &Expression) -> String {
        let joined = |all: &[Expression], operator: &str| {
            let all: Vec<String> = all.iter().map(|one| self.text(one)).collect();
            format!("({})", all.join(operator))
        };
        match expression {
            Expression::Not(inner, word) => format!("{}({})", if *word { "not " } else { "!" }, self.text(inner)),
            Expression::All(all, word) => joined(all, if *word { " and " } else { "&&" }),
            Expression::Any(all, word) => joined(all, if *word { " or " } else { " || " }),
            Expression::Truth { field } => FIELDS[*field].path.to_owned(),
            Expression::Comparison { field, operation, relation, value } => {
                let value = self.value(&FIELDS[*field], *operation, *value);
                let (path, relation) = (FIELDS[*field].path, RELATIONS[*relation].0);
                match operation {
                    None => format!("{path} {relation} {value}"),
                    Some(Operation::And(mask)) => format!("{path} & {mask:#x} {relation} {value:#x}"),
                    Some(Operation::Right(shift)) => format!("{path} >> {shift} {relation} {value}"),
                }
            }
        }
    }
}

fn expressions() -> BoxedStrategy<Expression> {
    let operation = prop_oneof![
        4 => Just(None),
        2 => any::<u64>().prop_map(|mask| Some(Operation::And(mask | 1))),
        1 => (0..u64::BITS).prop_map(|shift| Some(Operation::Right(shift))),
    ];
    let comparison = (0..FIELDS.len(), operation, 0..RELATIONS.len(), 0..10_usize)
        .prop_map(|(field, operation, relation, value)| Expression::Comparison { field, operation, relation, value });
    let leaf = prop_oneof![6 => comparison, 1 => (0..FIELDS.len()).prop_map(|field| Expression::Truth { field })];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let several = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            (inner.clone(), any::<bool>()).prop_map(|(inner, word)| Expression::Not(Box::new(inner), word)),
            (several(), any::<bool>()).prop_map(|(all, word)| Expression::All(all, word)),
            (several(), any::<bool>()).prop_map(|(all, word)| Expression::Any(all, word)),
        ]
    })
    .boxed()
}

fn worlds() -> impl Strategy<Value = World> {
    // All zeroes and all ones are where mistakes with signs and widths show.
    let byte = || prop_oneof![2 => any::<u8>(), 1 => Just(0), 1 => Just(0xff)];
    let reach = prop_oneof![1 => Just(Reach::Null), 3 => Just(Reach::Device), 1 => Just(Reach::Nowhere)];
    (prop::collection::vec(byte(), PACKET), prop::collection::vec(byte(), DEVICE), reach)
        .prop_map(|(packet, device, reach)| World { packet, device, reach })
}

#[test]
fn programs_agree_with_an_evaluator() {
    let machine = RefCell::new(Machine::new());
    let config = ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() };
    let outcomes = RefCell::new([0_u32; 2]);
    TestRunner::new(config)
        .run(&(worlds(), expressions()), |(mut world, expression)| {
            let mut machine = machine.borrow_mut();
            let (packet, device) = (machine.address("packet"), machine.address("lower"));
            let pointer = match world.reach {
                Reach::Null => 0,
                Reach::Device => device,
                Reach::Nowhere => 0xdead_0000,
            };
            world.packet[POINTER_TO_DEVICE..POINTER_TO_DEVICE + 8].copy_from_slice(&u64::to_le_bytes(pointer));
            machine.write(packet, &world.packet);
            machine.write(device, &world.device);
            let text = world.text(&expression);
            let filter = MetadataFilter::compile(&text, &machine.kernel).unwrap_or_else(|error| panic!("{error}"));
            let expected = world.holds(&expression, false);
            outcomes.borrow_mut()[usize::from(expected)] += 1;
            assert_eq!(machine.run(filter.program(), Some(packet)), expected, "{text}");
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(outcomes.borrow().iter().all(|&count| count > 200), "both outcomes are common");
}
