// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is inside types: members of structs, elements of arrays, the names of numbers.

use super::{
    Btf, KIND_ARRAY, KIND_CONST, KIND_ENUM, KIND_ENUM64, KIND_FORWARD, KIND_INT, KIND_PTR, KIND_RESTRICT, KIND_STRUCT,
    KIND_TYPE_TAG, KIND_TYPEDEF, KIND_UNION, KIND_VOLATILE, RawType, Types, read_u32,
};

/// No type of the kernel is nested deeper; a malformed one that refers to itself ends here.
const DEEPEST: u32 = 32;

/// Structs and unions within one struct. No struct of the kernel has more; a malformed one that holds itself ends here.
const MOST_VISITS: u32 = 1000;

/// The types whose numbers have the byte order of the network.
const NETWORK_ORDER: [&str; 3] = ["__be16", "__be32", "__be64"];

/// A type of vmlinux or of a module.
#[derive(Clone, Copy, Debug)]
pub struct Type<'a> {
    types: Types<'a>,
    id: u32,
}

/// What a type is, behind its typedefs and qualifiers.
#[derive(Clone, Copy, Debug)]
pub enum Shape<'a> {
    /// A number.
    Integer(Integer),
    /// A number that has names.
    Enumeration(Integer),
    /// A pointer. What it points to is `None` for `void *`.
    Pointer(Option<Type<'a>>),
    /// An array.
    Array {
        /// What it holds.
        element: Type<'a>,
        /// How many; 0 when it has any number (a flexible array).
        count: u32,
    },
    /// A struct or union.
    Composite {
        /// Its name; empty when it has none.
        name: &'a str,
        /// In bytes.
        size: u32,
    },
    /// A struct or union that is declared here and defined elsewhere, in a module perhaps.
    Declared(&'a str),
    /// Anything else: a function, a floating-point number.
    Other,
}

/// How a number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer {
    /// In bytes: 1, 2, 4, 8, or 16.
    pub size: u32,
    /// Whether it can be below 0.
    pub signed: bool,
    /// Whether it is a `_Bool`.
    pub boolean: bool,
    /// Whether it has the byte order of the network (`__be16` and its like).
    pub network_order: bool,
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Where it begins, in bits from the beginning of the struct.
    pub bit_offset: u32,
    /// How many bits it has, when it is a bit field.
    pub bits: Option<u32>,
    /// Its type.
    pub kind: Type<'a>,
}

impl<'a> Types<'a> {
    /// The struct or union of this name that is defined among these types. Of a module's types only its own are looked at.
    pub fn composite(&self, name: &str) -> Option<Type<'a>> {
        let (types, mut all) = (*self, self.own());
        all.find(|(_, raw)| matches!(raw.kind, KIND_STRUCT | KIND_UNION) && self.string(raw.name) == Some(name))
            .map(|(id, _)| Type { types, id })
    }

    /// The names of all structs and unions, of a module only its own.
    pub fn composite_names(&self) -> impl Iterator<Item = &'a str> {
        let named = self.own().filter(|(_, raw)| matches!(raw.kind, KIND_STRUCT | KIND_UNION));
        named.filter_map(|(_, raw)| self.string(raw.name).filter(|name| !name.is_empty()))
    }

    /// The values that this name has among the enumerations. A name has several where the kernel's sources use it for
    /// different things.
    pub fn enumerator(&self, name: &str) -> Vec<i64> {
        let mut values: Vec<i64> = self
            .own()
            .filter(|(_, raw)| matches!(raw.kind, KIND_ENUM | KIND_ENUM64))
            .flat_map(|(id, _)| Type { types: *self, id }.enumerators())
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value)
            .collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    fn own(&self) -> impl Iterator<Item = (u32, RawType)> + use<'a> {
        let own: &'a Btf = self.own;
        (own.first_type..).take(own.types.len()).filter_map(|id| Some((id, own.raw(id)?)))
    }
}

impl<'a> Type<'a> {
    /// What it is. `None` when that can't be made out.
    pub fn shape(&self) -> Option<Shape<'a>> {
        let (mut id, mut network_order) = (self.id, false);
        for _ in 0..DEEPEST {
            let (btf, raw) = self.types.raw(id)?;
            let integer = |signed, boolean| Integer { size: raw.to, signed, boolean, network_order };
            let name = self.types.string(raw.name).unwrap_or_default();
            return Some(match raw.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    network_order |= raw.kind == KIND_TYPEDEF && NETWORK_ORDER.contains(&name);
                    id = raw.to;
                    continue;
                }
                KIND_INT => {
                    let encoding = read_u32(&btf.data, raw.at + 12)? >> 24;
                    Shape::Integer(integer(encoding & 1 != 0, encoding & 4 != 0))
                }
                KIND_ENUM | KIND_ENUM64 => Shape::Enumeration(integer(raw.flag, false)),
                KIND_PTR => Shape::Pointer((raw.to != 0).then_some(self.other(raw.to))),
                KIND_ARRAY => {
                    let element = self.other(read_u32(&btf.data, raw.at + 12)?);
                    Shape::Array { element, count: read_u32(&btf.data, raw.at + 20)? }
                }
                KIND_STRUCT | KIND_UNION => Shape::Composite { name, size: raw.to },
                KIND_FORWARD => Shape::Declared(name),
                _ => Shape::Other,
            });
        }
        None
    }

    /// How many bytes it takes. `None` for what has no size.
    pub fn size(&self) -> Option<u32> {
        let (mut kind, mut count) = (*self, 1_u32);
        for _ in 0..DEEPEST {
            let size = match kind.shape()? {
                Shape::Integer(integer) | Shape::Enumeration(integer) => integer.size,
                Shape::Pointer(_) => size_of::<u64>() as u32,
                Shape::Composite { size, .. } => size,
                Shape::Array { element, count: elements } => {
                    count = count.checked_mul(elements)?;
                    kind = element;
                    continue;
                }
                Shape::Declared(_) | Shape::Other => return None,
            };
            return count.checked_mul(size);
        }
        None
    }

    /// The member of this name, of a struct or union. Members of nameless structs and unions count as the outer one's, as in C.
    pub fn member(&self, name: &str) -> Option<Member<'a>> {
        self.all_members().into_iter().find(|(known, _)| *known == name).map(|(_, member)| member)
    }

    /// The names of all members.
    pub fn member_names(&self) -> Vec<&'a str> {
        self.all_members().into_iter().map(|(name, _)| name).collect()
    }

    /// The names of an enumeration, with their values.
    pub fn enumerators(&self) -> Vec<(&'a str, i64)> {
        let Some((btf, raw)) = self.resolved() else { return Vec::new() };
        let read = |index: usize| {
            let wide = raw.kind == KIND_ENUM64;
            let at = raw.at + 12 + index * if wide { 12 } else { 8 };
            let name = self.types.string(read_u32(&btf.data, at)?)?;
            let low = read_u32(&btf.data, at + 4)?;
            let value = match wide {
                true => (u64::from(read_u32(&btf.data, at + 8)?) << 32 | u64::from(low)).cast_signed(),
                false if raw.flag => i64::from(low.cast_signed()),
                false => i64::from(low),
            };
            Some((name, value))
        };
        let count = if matches!(raw.kind, KIND_ENUM | KIND_ENUM64) { raw.members } else { 0 };
        (0..count).filter_map(read).collect()
    }

    /// The type in the words of C: `struct net_device *`.
    pub fn declaration(&self) -> String {
        self.types.declare(self.id, "", DEEPEST)
    }

    fn other(&self, id: u32) -> Self {
        Self { types: self.types, id }
    }

    /// What is behind typedefs and qualifiers.
    fn resolved(&self) -> Option<(&'a Btf, RawType)> {
        let mut id = self.id;
        for _ in 0..DEEPEST {
            let (btf, raw) = self.types.raw(id)?;
            match raw.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => id = raw.to,
                _ => return Some((btf, raw)),
            }
        }
        None
    }

    fn all_members(&self) -> Vec<(&'a str, Member<'a>)> {
        let mut found = Vec::new();
        self.collect_members(0, &mut { MOST_VISITS }, &mut found);
        found
    }

    fn collect_members(&self, base: u32, visits: &mut u32, found: &mut Vec<(&'a str, Member<'a>)>) {
        let Some(left) = visits.checked_sub(1) else { return };
        *visits = left;
        let composite = self.resolved().filter(|(_, raw)| matches!(raw.kind, KIND_STRUCT | KIND_UNION));
        let Some((btf, raw)) = composite else { return };
        for index in 0..raw.members {
            let at = raw.at + 12 + index * 12;
            let word = |number: usize| read_u32(&btf.data, at + 4 * number);
            let (Some(name), Some(id), Some(place)) = (word(0), word(1), word(2)) else { return };
            let Some(name) = self.types.string(name) else { continue };
            let kind = self.other(id);
            let (offset, bits) = match raw.flag {
                true => (place & 0xff_ffff, Some(place >> 24).filter(|&bits| bits > 0)),
                false => {
                    kind.narrow_integer().map_or((place, None), |(skip, bits)| (place.wrapping_add(skip), Some(bits)))
                }
            };
            let bit_offset = base.wrapping_add(offset);
            if name.is_empty() {
                kind.collect_members(bit_offset, visits, found);
            } else {
                found.push((name, Member { bit_offset, bits, kind }));
            }
        }
    }

    /// Where in its bytes an integer begins and how many bits it has, when these are not all: the older way to describe bit fields.
    fn narrow_integer(&self) -> Option<(u32, u32)> {
        let (btf, raw) = self.resolved().filter(|(_, raw)| raw.kind == KIND_INT)?;
        let encoding = read_u32(&btf.data, raw.at + 12)?;
        let (skip, bits) = (encoding >> 16 & 0xff, encoding & 0xff);
        (skip != 0 || bits != raw.to.wrapping_mul(8)).then_some((skip, bits))
    }
}
