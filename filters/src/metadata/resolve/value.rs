// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a member can be compared with, and what that means for its bytes.

use std::net::Ipv4Addr;

use tracer_core::filter::STACK_LIMIT;
use tracer_core::kernel::btf::members::{Integer, Shape, Type};
use tracer_core::similar::{did_you_mean, similar};

use super::{Check, Field, Position, Resolver, Source, Test};
use crate::error::FilterError;
use crate::metadata::syntax::{BitOperation, Comparison, Literal, Relation, Value};

/// The longest text that can be compared: it is read together with its end, and with whether there is more.
const LONGEST_TEXT: usize = STACK_LIMIT as usize - 2;

/// What is at the end of a path.
pub(super) struct Content<'a> {
    form: Form,
    /// In the words of C.
    declaration: String,
    /// Where the names of its numbers are.
    kind: Option<Type<'a>>,
}

enum Form {
    Number {
        field: Field,
        boolean: bool,
    },
    /// So many bytes; 0 for any number of them.
    Bytes {
        length: u32,
        text: bool,
    },
    /// A text elsewhere, to which the path has led.
    Text,
    Other,
}

impl Content<'_> {
    fn member_names(&self) -> Vec<&str> {
        self.kind.map(|kind| kind.member_names()).unwrap_or_default()
    }

    /// The number of a process.
    pub(super) fn process_id() -> Self {
        let field = Field { skip: 0, bits: 32, signed: false, network_order: false };
        Self { form: Form::Number { field, boolean: false }, declaration: "unsigned int".to_owned(), kind: None }
    }

    /// The name of a thread.
    pub(super) fn thread_name() -> Self {
        Self { form: Form::Bytes { length: 16, text: true }, declaration: "char [16]".to_owned(), kind: None }
    }
}

impl<'a> Resolver<'a> {
    /// What must hold for the bytes to which a path has led.
    pub(super) fn check_member(
        &self,
        comparison: &Comparison,
        mut position: Position<'a>,
    ) -> Result<Test, FilterError> {
        let at = comparison.operand.path.at;
        let content = self.content(&mut position, comparison)?;
        let check = self.check_content(comparison, content)?;
        position.place.offset = self.offset(position.bit_offset, at)?;
        Ok(Test { source: Source::Packet(vec![position.place]), check })
    }

    /// What is at `position`; where a pointer to something is compared with what that can be, the pointer is followed.
    fn content(&self, position: &mut Position<'a>, comparison: &Comparison) -> Result<Content<'a>, FilterError> {
        let at = comparison.operand.path.at;
        let literal = comparison.value.as_ref().map(|value| &value.literal);
        let mut content =
            Content { form: Form::Other, declaration: position.kind.declaration(), kind: Some(position.kind) };
        if let Some(Shape::Pointer(target)) = position.kind.shape() {
            let pointed_to = target.map_or(Form::Other, |target| form(target, 0, None));
            let pointed_to = match (pointed_to, literal) {
                (Form::Number { field, .. }, Some(Literal::Text { .. })) if field.bits == 8 => Form::Text,
                (Form::Number { field, .. }, Some(Literal::Mac(_))) if field.bits == 8 => {
                    Form::Bytes { length: 0, text: true }
                }
                (Form::Bytes { length, text }, Some(Literal::Ipv6(..) | Literal::Mac(_) | Literal::Text { .. })) => {
                    Form::Bytes { length, text }
                }
                _ => Form::Other,
            };
            if !matches!(pointed_to, Form::Other) {
                self.follow(position, at)?;
                content.form = pointed_to;
                return Ok(content);
            }
        }
        content.form = form(position.kind, (position.bit_offset % 8) as u32, position.bits);
        Ok(content)
    }

    /// What must hold for `content`.
    pub(super) fn check_content(&self, comparison: &Comparison, content: Content<'a>) -> Result<Check, FilterError> {
        let at = comparison.operand.path.at;
        if let Form::Number { field, boolean } = content.form {
            return self.check_number(comparison, field, boolean, &content);
        }
        let declaration = &content.declaration;
        if !comparison.operand.operations.is_empty() {
            return Err(self.error(at, format!("bit operations are for numbers, and this is `{declaration}`")));
        }
        let Some(Value { at, literal }) = &comparison.value else {
            let error = self.error(at, format!("`{declaration}` is neither true nor false"));
            return Err(
                error.with_hint_if(matches!(content.form, Form::Bytes { .. }).then_some("compare it with something"))
            );
        };
        let check = match (&content.form, literal) {
            (Form::Text, Literal::Text { text, prefix }) => {
                Check::Text { expected: text.clone().into_bytes(), prefix: *prefix, equal: true }
            }
            (Form::Bytes { length, text: true }, Literal::Text { text, prefix }) => {
                let mut expected = text.clone().into_bytes();
                if *length > 0 && expected.len() > *length as usize {
                    return Err(self.error(*at, format!("{} bytes don't fit into `{declaration}`", expected.len())));
                }
                if !prefix && expected.len() != *length as usize {
                    expected.push(0);
                }
                Check::Bytes { expected, last_mask: 0xff, equal: true }
            }
            (Form::Bytes { length: 0 | 6.., text: true }, Literal::Mac(mac)) => {
                Check::Bytes { expected: mac.to_vec(), last_mask: 0xff, equal: true }
            }
            (Form::Bytes { length: 16, .. }, Literal::Ipv6(ip, bits)) => {
                let mut expected = ip.octets()[..bits.div_ceil(8) as usize].to_vec();
                let last_mask = match bits % 8 {
                    0 => 0xff,
                    some => 0xff << (8 - some),
                };
                if let Some(last) = expected.last_mut() {
                    *last &= last_mask;
                }
                Check::Bytes { expected, last_mask, equal: true }
            }
            _ => return Err(self.unequal(comparison, &content)),
        };
        if !comparison.relation.is_equality() {
            return Err(self.error(*at, format!("{} are compared by `==` and `!=` only", literal.plural())));
        }
        if matches!(literal, Literal::Text { text, .. } if text.len() > LONGEST_TEXT) {
            return Err(self.error(*at, format!("a text of more than {LONGEST_TEXT} bytes can't be compared")));
        }
        let is_equal = comparison.relation == Relation::Equal;
        Ok(match check {
            Check::Text { expected, prefix, .. } => Check::Text { expected, prefix, equal: is_equal },
            Check::Bytes { expected, last_mask, .. } => Check::Bytes { expected, last_mask, equal: is_equal },
            number @ Check::Number { .. } => number,
        })
    }

    fn check_number(
        &self,
        comparison: &Comparison,
        mut field: Field,
        boolean: bool,
        content: &Content<'a>,
    ) -> Result<Check, FilterError> {
        let mut operations = comparison.operand.operations.clone();
        // Bits are operated on as they are, without a sign.
        let signed = field.signed && operations.is_empty();
        let width = operations
            .iter()
            .fold(if boolean { 1 } else { field.bits }, |width, operation| width_after(width, *operation));
        field.signed = signed;
        let number = |relation, value, operations| Check::Number { field, operations, relation, value };
        let Some(value) = &comparison.value else { return Ok(number(comparison.relation, 0, operations)) };
        let fit = |number: i128| -> Option<u64> {
            let (least, most) = range(width, signed);
            (least..=most).contains(&number).then_some(number as u64)
        };
        let fits = |number: i128| {
            fit(number).ok_or_else(|| {
                let (least, most) = range(width, signed);
                let what = match operations.is_empty() {
                    true => format!("`{}`", content.declaration),
                    false => "what the bit operations leave".to_owned(),
                };
                self.error(value.at, format!("{number} is outside of {what}: {least} to {most}"))
            })
        };
        let value = match &value.literal {
            Literal::Number(number) => fits(*number)?,
            Literal::Name(name) => {
                let (number, alternative) = self.named_number(name, value.at, content)?;
                fit(number).or_else(|| fit(alternative)).map_or_else(|| fits(number), Ok)?
            }
            Literal::Text { text, prefix: false } if field.bits == 8 && text.len() == 1 => {
                fits(text.as_bytes()[0].into())?
            }
            Literal::Ipv4(ip, bits) if field.bits == Ipv4Addr::BITS && field.network_order => {
                let mask = u32::MAX.checked_shl(Ipv4Addr::BITS - bits).unwrap_or(0);
                if *bits < Ipv4Addr::BITS {
                    if !comparison.relation.is_equality() {
                        return Err(self.error(value.at, "networks are compared by `==` and `!=` only"));
                    }
                    operations.push((BitOperation::And, mask.into()));
                }
                (ip.to_bits() & mask).into()
            }
            _ => return Err(self.unequal(comparison, content)),
        };
        Ok(number(comparison.relation, value, operations))
    }

    /// The number that has this name. The second is what it may be instead: older kernels don't tell whether an enumeration has
    /// negative numbers.
    fn named_number(&self, name: &str, at: usize, content: &Content<'a>) -> Result<(i128, i128), FilterError> {
        let own = content.kind.map(|kind| kind.enumerators()).unwrap_or_default();
        let known = own.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let values = match known {
            Some(value) => vec![value],
            None if own.is_empty() => {
                let types = self.kernel.all_types().map_err(|error| self.error(at, error.to_string()))?;
                let mut values: Vec<i64> = types.iter().flat_map(|(_, types)| types.enumerator(name)).collect();
                values.sort_unstable();
                values.dedup();
                values
            }
            None => Vec::new(),
        };
        match values[..] {
            [value] => Ok((value.into(), (value as i32).into())),
            [] if own.is_empty() => Err(self.error(at, format!("no number of the kernel has the name `{name}`"))),
            [] => {
                let hint = did_you_mean(&similar(name, own.iter().map(|(name, _)| *name)));
                Err(self.error(at, format!("`{}` has no `{name}`", content.declaration)).with_hint_if(hint))
            }
            _ => {
                let all: Vec<String> = values.iter().map(i64::to_string).collect();
                let error = self.error(at, format!("the kernel uses the name `{name}` for different numbers"));
                Err(error.with_hint(format!("write the one that is meant: {}", all.join(" or "))))
            }
        }
    }

    /// Why a member and a value can't be compared.
    fn unequal(&self, comparison: &Comparison, content: &Content<'a>) -> FilterError {
        let declaration = &content.declaration;
        let Some(value) = &comparison.value else {
            return self.error(comparison.operand.path.at, format!("`{declaration}` is neither true nor false"));
        };
        let message = format!("`{declaration}` can't be compared with {}", value.literal.singular());
        let hint = match (&content.form, &value.literal) {
            (Form::Other, _) if !content.member_names().is_empty() => Some("name one of its members"),
            (Form::Number { .. }, Literal::Text { .. }) => Some("it is a number"),
            (Form::Bytes { text: true, .. }, Literal::Name(_)) => Some("a text is in quotes"),
            _ => None,
        };
        self.error(value.at, message).with_hint_if(hint)
    }
}

/// What a type's bytes are, the first of which has `skip` bits in front.
fn form(kind: Type<'_>, skip: u32, bits: Option<u32>) -> Form {
    let number = |integer: Integer, bits: u32| {
        let Integer { size, signed, boolean, .. } = integer;
        // The bits of a number whose bytes stand in another order are not in one piece.
        let network_order = integer.network_order && bits == size.saturating_mul(8);
        Form::Number { field: Field { skip, bits, signed, network_order }, boolean }
    };
    let whole = |size, network_order| Integer { size, signed: false, boolean: false, network_order };
    match kind.shape() {
        Some(Shape::Integer(integer) | Shape::Enumeration(integer)) => {
            match bits.unwrap_or(integer.size.saturating_mul(8)) {
                width @ 1..=64 if skip + width <= 64 => number(integer, width),
                _ => Form::Other,
            }
        }
        Some(Shape::Pointer(_)) => number(whole(8, false), 64),
        Some(Shape::Array { element, count }) => match element.shape() {
            Some(Shape::Integer(Integer { size: 1, .. })) => Form::Bytes { length: count, text: true },
            Some(Shape::Integer(integer)) if integer.size.checked_mul(count) == Some(16) => {
                Form::Bytes { length: 16, text: false }
            }
            _ => Form::Other,
        },
        Some(Shape::Composite { name: "in6_addr", size: 16 }) => Form::Bytes { length: 16, text: false },
        Some(Shape::Composite { name: "in_addr", size: 4 }) => number(whole(4, true), 32),
        _ => Form::Other,
    }
}

/// The least and the greatest number of so many bits.
fn range(bits: u32, signed: bool) -> (i128, i128) {
    if signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) }
}

/// How many bits are left of a number of `width` bits by an operation.
fn width_after(width: u32, (operation, with): (BitOperation, u64)) -> u32 {
    let operand = u64::BITS - with.leading_zeros();
    match operation {
        BitOperation::And => width.min(operand),
        BitOperation::Or | BitOperation::Xor => width.max(operand),
        BitOperation::ShiftLeft => u64::BITS.min(width.saturating_add(with as u32)),
        BitOperation::ShiftRight => width.saturating_sub(with as u32),
    }
}
