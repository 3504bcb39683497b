// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a metadata filter consists of once it is read. It does not say yet what the names mean: that depends on whether the
//! filter is for a kernel or for stored events.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A condition. There is no "not": it has been pushed down to the comparisons, so that one whose value can't be had is simply
/// false, negated or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// All of them.
    All(Vec<Condition>),
    /// Any of them.
    Any(Vec<Condition>),
    /// A comparison.
    Comparison(Comparison),
}

/// A comparison of something with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// What is compared.
    pub(super) operand: Operand,
    /// How.
    pub(super) relation: Relation,
    /// With what. `None`: with whatever counts as nothing (0, an empty text), by `==` or `!=`.
    pub(super) value: Option<Value>,
}

/// A member, and the bit operations that are done with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operand {
    /// The member.
    pub(super) path: Path,
    /// What is done with it, one after the other.
    pub(super) operations: Vec<(BitOperation, u64)>,
}

/// A way to a member: `sk_buff.dev.name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// The offset in the text.
    pub(super) at: usize,
    /// The first word.
    pub(super) root: String,
    /// What follows it.
    pub(super) steps: Vec<Step>,
}

/// A step on the way to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The offset in the text.
    pub(super) at: usize,
    /// What it is.
    pub(super) kind: StepKind,
}

/// What a step is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StepKind {
    /// `.name`
    Member(String),
    /// `[3]`
    Index(u64),
    /// `.(tcp_sock)`, or the last part of `:~0x7:nf_conn`
    Cast(String),
    /// `:~0x7`
    Mask(u64),
}

/// What is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// The offset in the text.
    pub(super) at: usize,
    /// What it is.
    pub(super) literal: Literal,
}

/// A value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    /// From -2⁶³ to 2⁶⁴-1.
    Number(i128),
    /// A text, or what a text begins with.
    Text {
        /// Without the quotes.
        text: String,
        /// Whether more may follow.
        prefix: bool,
    },
    /// An IPv4 address, and how many of its bits count.
    Ipv4(Ipv4Addr, u32),
    /// An IPv6 address, and how many of its bits count.
    Ipv6(Ipv6Addr, u32),
    /// An Ethernet address.
    Mac([u8; 6]),
    /// A word: the name of a number.
    Name(String),
}

impl Literal {
    /// What it is, one of it.
    pub(super) fn singular(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Text { .. } => "a text",
            Self::Ipv4(..) => "an IPv4 address",
            Self::Ipv6(..) => "an IPv6 address",
            Self::Mac(_) => "an Ethernet address",
            Self::Name(_) => "the name of a number",
        }
    }

    /// What it is, several of it.
    pub(super) fn plural(&self) -> &'static str {
        match self {
            Self::Number(_) | Self::Name(_) => "numbers",
            Self::Text { .. } => "texts",
            Self::Ipv4(_, Ipv4Addr::BITS) | Self::Mac(_) | Self::Ipv6(_, Ipv6Addr::BITS) => "addresses",
            Self::Ipv4(..) | Self::Ipv6(..) => "networks",
        }
    }

    /// Whether there is a less and a more of it.
    pub(super) fn has_order(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Ipv4(_, Ipv4Addr::BITS))
    }
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Relation {
    /// What holds when this does not.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }

    /// The same with the sides exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    /// Whether it asks for equality only, which everything has, not for an order.
    pub(super) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    /// Whether it holds between two values of which `order` is known.
    pub(super) fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// An operation on the bits of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BitOperation {
    /// `&`
    And,
    /// `|`
    Or,
    /// `^`
    Xor,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
}

impl BitOperation {
    /// What comes out, as a number of 64 bits.
    pub(super) fn apply(self, left: u64, right: u64) -> u64 {
        let shift = u32::try_from(right).unwrap_or(u32::MAX);
        match self {
            Self::And => left & right,
            Self::Or => left | right,
            Self::Xor => left ^ right,
            Self::ShiftLeft => left.checked_shl(shift).unwrap_or(0),
            Self::ShiftRight => left.checked_shr(shift).unwrap_or(0),
        }
    }
}
