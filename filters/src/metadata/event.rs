// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same conditions on stored events: members are looked up in an event's sections.

mod fields;
mod json;

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tracer_core::event::line::EventLine;
use tracer_core::event::section_table::SectionTable;

use self::fields::Fields;
use self::json::{Key, Scalar, find};
use super::parser::parse;
use super::syntax::{BitOperation, Comparison, Condition, Literal, Relation};
use crate::error::{FilterError, Language};

/// A metadata filter for stored events.
#[derive(Clone, Debug)]
pub struct EventMatcher {
    condition: Lookup,
}

/// A condition of which is known where in an event to look.
#[derive(Clone, Debug)]
enum Lookup {
    All(Vec<Lookup>),
    Any(Vec<Lookup>),
    Test(Test),
}

#[derive(Clone, Debug)]
struct Test {
    section: String,
    keys: Vec<Key>,
    operations: Vec<(BitOperation, u64)>,
    relation: Relation,
    expected: Expected,
}

#[derive(Clone, Debug)]
enum Expected {
    /// Something that is not nothing.
    Something,
    Number(i128),
    Text {
        text: String,
        prefix: bool,
    },
    Ipv4(Ipv4Addr, u32),
    Ipv6(Ipv6Addr, u32),
    Mac([u8; 6]),
}

impl EventMatcher {
    /// Reads a filter for events with the sections that this program knows.
    ///
    /// # Errors
    /// When the text is no metadata filter, or names what no event has.
    pub fn new(text: &str) -> Result<Self, FilterError> {
        let sections = SectionTable::registered();
        let sections = sections.map_err(|error| FilterError::new(Language::Metadata, text, error.to_string()))?;
        let fields = Fields::new(text, &sections);
        Ok(Self { condition: lookup(&fields, &parse(text)?)? })
    }

    /// Whether the event is one. What it doesn't say is neither true nor false, so a comparison with that does not hold.
    pub fn matches(&self, event: &EventLine<'_>) -> bool {
        self.condition.matches(event)
    }
}

fn lookup(fields: &Fields<'_>, condition: &Condition) -> Result<Lookup, FilterError> {
    let all = |conditions: &[Condition]| conditions.iter().map(|one| lookup(fields, one)).collect::<Result<_, _>>();
    Ok(match condition {
        Condition::All(conditions) => Lookup::All(all(conditions)?),
        Condition::Any(conditions) => Lookup::Any(all(conditions)?),
        Condition::Comparison(comparison) => Lookup::Test(test(fields, comparison)?),
    })
}

fn test(fields: &Fields<'_>, comparison: &Comparison) -> Result<Test, FilterError> {
    let Comparison { operand, relation, value } = comparison;
    let field = fields.find(&operand.path)?;
    fields.check(&field, comparison)?;
    let expected = match value.as_ref().map(|value| &value.literal) {
        None => Expected::Something,
        Some(Literal::Number(number)) => Expected::Number(*number),
        Some(Literal::Text { text, prefix }) => Expected::Text { text: text.clone(), prefix: *prefix },
        Some(Literal::Name(name)) => Expected::Text { text: name.clone(), prefix: false },
        Some(Literal::Ipv4(ip, bits)) => Expected::Ipv4(*ip, *bits),
        Some(Literal::Ipv6(ip, bits)) => Expected::Ipv6(*ip, *bits),
        Some(Literal::Mac(mac)) => Expected::Mac(*mac),
    };
    let operations = operand.operations.clone();
    Ok(Test { section: field.section, keys: field.keys, operations, relation: *relation, expected })
}

impl Lookup {
    fn matches(&self, event: &EventLine<'_>) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.matches(event)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.matches(event)),
            Self::Test(test) => test.matches(event),
        }
    }
}

impl Test {
    fn matches(&self, event: &EventLine<'_>) -> bool {
        let found = event.section(&self.section).and_then(|json| find(json, &self.keys));
        let order = found.and_then(|found| self.compare(&found));
        order.is_some_and(|order| self.relation.holds(order))
    }

    /// How what was found relates to what is expected. `None` when it doesn't, being something else.
    fn compare(&self, found: &Scalar<'_>) -> Option<Ordering> {
        match &self.expected {
            Expected::Something => Some(match found {
                Scalar::Number(number) => self.operated(*number).cmp(&0),
                Scalar::Text(text) => text.len().cmp(&0),
                Scalar::Container => Ordering::Greater,
            }),
            Expected::Number(expected) => match found {
                Scalar::Number(number) => Some(self.operated(*number).cmp(expected)),
                _ => None,
            },
            Expected::Text { text, prefix } => match found {
                Scalar::Text(found) if *prefix && found.starts_with(text) => Some(Ordering::Equal),
                Scalar::Text(found) => Some((**found).cmp(text)),
                _ => None,
            },
            Expected::Ipv4(expected, bits) => match found.text()?.parse().ok()? {
                IpAddr::V4(ip) => {
                    let kept = u32::MAX.checked_shl(Ipv4Addr::BITS - bits).unwrap_or(0);
                    Some((ip.to_bits() & kept).cmp(&(expected.to_bits() & kept)))
                }
                IpAddr::V6(_) => Some(Ordering::Greater),
            },
            Expected::Ipv6(expected, bits) => match found.text()?.parse().ok()? {
                IpAddr::V6(ip) => {
                    let kept = u128::MAX.checked_shl(Ipv6Addr::BITS - bits).unwrap_or(0);
                    Some((ip.to_bits() & kept).cmp(&(expected.to_bits() & kept)))
                }
                IpAddr::V4(_) => Some(Ordering::Less),
            },
            Expected::Mac(expected) => super::scanner::mac(found.text()?).map(|mac| mac.cmp(expected)),
        }
    }

    fn operated(&self, number: i128) -> i128 {
        if self.operations.is_empty() {
            return number;
        }
        // The bits of 64, as it is in the kernel.
        let bits = self.operations.iter().fold(number as u64, |bits, (operation, with)| operation.apply(bits, *with));
        bits.into()
    }
}
