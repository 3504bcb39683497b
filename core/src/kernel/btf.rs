// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads BTF, the kernel's description of its own types, as far as probing needs it: functions, tracepoints, and what their
//! arguments point to. Format: `Documentation/bpf/btf.rst` of the kernel.
//!
//! A module's BTF continues the numbering of vmlinux (split BTF), which is why libbpf-rs, which has no split BTF, is not
//! enough here.

mod declaration;
pub mod members;

use std::collections::HashMap;
use std::ops::Range;

const MAGIC: u16 = 0xeb9f;

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_FORWARD: u32 = 7;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_FLOAT: u32 = 16;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// Why BTF could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// It ends in the middle of something.
    #[error("it is cut short")]
    Truncated,
    /// It does not begin as BTF does.
    #[error("it does not begin with the BTF magic in this machine's byte order")]
    Magic,
    /// It holds a kind of type that is newer than this reader, so nothing behind it can be found.
    #[error("type {id} is of kind {kind}, which is not known")]
    Kind {
        /// The type's number.
        id: u32,
        /// The number of its kind.
        kind: u32,
    },
}

/// The type descriptions of vmlinux, or of a module on top of them.
#[derive(Debug)]
pub struct Btf {
    data: Vec<u8>,
    strings: Range<usize>,
    /// Where each type begins in `data`.
    types: Vec<u32>,
    first_type: u32,
    first_string: u32,
}

/// An argument of a function, as far as anybody asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument<'a> {
    /// Its name in the source; may be empty.
    pub name: &'a str,
    /// What it points to.
    pub target: Target<'a>,
    /// The number of its type.
    type_id: u32,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A pointer to this struct.
    Struct(&'a str),
    /// A pointer to a pointer to this struct.
    PointerToStruct(&'a str),
    /// A struct or union by value. It can take any number of registers, or the stack: where later arguments are is not known.
    Value,
    /// No pointer, but a value of this enum.
    Enum(&'a str),
    /// A pointer to nothing in particular (`void *`).
    Void,
    /// A whole number.
    Integer,
    /// Anything else.
    Other,
}

/// The arguments of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype<'a> {
    /// In order.
    pub arguments: Vec<Argument<'a>>,
    /// The number of the type that it returns.
    returns: u32,
}

impl Prototype<'_> {
    /// Whether another function's arguments have the same names and places, as far as anybody asks.
    pub fn has_arguments_of(&self, other: &Prototype<'_>) -> bool {
        self.arguments.len() == other.arguments.len()
            && self.arguments.iter().zip(&other.arguments).all(|(a, b)| (a.name, a.target) == (b.name, b.target))
    }
}

impl Btf {
    /// Reads the BTF of vmlinux.
    ///
    /// # Errors
    /// When the data is not BTF, or newer than this reader.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        Self::parse_from(data, 1, 0)
    }

    /// Reads the BTF of a module, which continues the numbering of `base`.
    ///
    /// # Errors
    /// As [`Btf::parse`].
    pub fn parse_split(data: Vec<u8>, base: &Self) -> Result<Self, BtfError> {
        Self::parse_from(data, base.first_type + base.types.len() as u32, base.strings.len() as u32)
    }

    fn parse_from(data: Vec<u8>, first_type: u32, first_string: u32) -> Result<Self, BtfError> {
        if data.get(..2) != Some(&MAGIC.to_ne_bytes()) {
            return Err(BtfError::Magic);
        }
        let field = |at: usize| read_u32(&data, at).ok_or(BtfError::Truncated).map(|value| value as usize);
        let header = field(4)?;
        let section = |offset: usize, length: usize| {
            let start = header.checked_add(offset).ok_or(BtfError::Truncated)?;
            let end = start.checked_add(length).ok_or(BtfError::Truncated)?;
            if end <= data.len() { Ok(start..end) } else { Err(BtfError::Truncated) }
        };
        let type_section = section(field(8)?, field(12)?)?;
        let strings = section(field(16)?, field(20)?)?;

        let mut types = Vec::with_capacity(type_section.len() / 32);
        let mut at = type_section.start;
        while at < type_section.end {
            let info = read_u32(&data, at + 4).ok_or(BtfError::Truncated)?;
            let (kind, members) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            let extra = match kind {
                KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
                KIND_ARRAY => 12,
                KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => members * 12,
                KIND_ENUM | KIND_FUNC_PROTO => members * 8,
                KIND_PTR | KIND_FORWARD..=KIND_FUNC | KIND_FLOAT | KIND_TYPE_TAG => 0,
                _ => return Err(BtfError::Kind { id: first_type + types.len() as u32, kind }),
            };
            types.push(at as u32);
            at += 12 + extra;
        }
        if at != type_section.end {
            return Err(BtfError::Truncated);
        }
        Ok(Self { data, strings, types, first_type, first_string })
    }

    /// The name at an offset of the string section; nothing when it is the base's.
    fn string(&self, offset: u32) -> Option<&str> {
        let start = self.strings.start + offset.checked_sub(self.first_string)? as usize;
        let bytes = self.data.get(start..self.strings.end)?;
        std::str::from_utf8(&bytes[..bytes.iter().position(|&byte| byte == 0)?]).ok()
    }

    fn raw(&self, id: u32) -> Option<RawType> {
        let at = *self.types.get(id.checked_sub(self.first_type)? as usize)? as usize;
        let info = read_u32(&self.data, at + 4)?;
        Some(RawType {
            at,
            name: read_u32(&self.data, at)?,
            kind: info >> 24 & 0x1f,
            flag: info >> 31 != 0,
            members: (info & 0xffff) as usize,
            to: read_u32(&self.data, at + 8)?,
        })
    }
}

#[derive(Clone, Copy)]
struct RawType {
    at: usize,
    name: u32,
    kind: u32,
    /// Of a type that is only declared: it is a union.
    flag: bool,
    members: usize,
    /// The type that it refers to, or its size.
    to: u32,
}

/// Functions and tracepoints of vmlinux or of one module.
#[derive(Clone, Copy, Debug)]
pub struct Types<'a> {
    own: &'a Btf,
    base: Option<&'a Btf>,
}

impl<'a> Types<'a> {
    /// Those of `own`; `base` is vmlinux when `own` is a module.
    pub fn new(own: &'a Btf, base: Option<&'a Btf>) -> Self {
        Self { own, base }
    }

    fn raw(&self, id: u32) -> Option<(&'a Btf, RawType)> {
        let btf = if id >= self.own.first_type { self.own } else { self.base? };
        Some((btf, btf.raw(id)?))
    }

    fn string(&self, offset: u32) -> Option<&'a str> {
        if offset >= self.own.first_string { self.own.string(offset) } else { self.base?.string(offset) }
    }

    /// All functions that `wanted` accepts, in the order of the file. A name can occur more than once.
    pub fn functions(&self, wanted: impl Fn(&str) -> bool) -> Vec<(&'a str, Prototype<'a>)> {
        let mut found = Vec::new();
        for index in 0..self.own.types.len() as u32 {
            let Some(raw) = self.own.raw(self.own.first_type + index) else { continue };
            if raw.kind != KIND_FUNC {
                continue;
            }
            let Some(name) = self.string(raw.name).filter(|name| wanted(name)) else { continue };
            if let Some(prototype) = self.prototype(raw.to) {
                found.push((name, prototype));
            }
        }
        found
    }

    /// The number of a function.
    pub fn function_id(&self, name: &str) -> Option<u32> {
        let ids = self.own.first_type..self.own.first_type + self.own.types.len() as u32;
        ids.into_iter().find(|&id| {
            self.own.raw(id).is_some_and(|raw| raw.kind == KIND_FUNC && self.string(raw.name) == Some(name))
        })
    }

    /// The size of a struct in bytes.
    pub fn struct_size(&self, name: &str) -> Option<u32> {
        self.struct_named(name).map(|(_, raw)| raw.to)
    }

    /// The number of a struct.
    pub fn struct_id(&self, name: &str) -> Option<u32> {
        self.struct_named(name).map(|(id, _)| id)
    }

    fn struct_named(&self, name: &str) -> Option<(u32, RawType)> {
        let ids = (self.own.first_type..).take(self.own.types.len());
        let mut all = ids.filter_map(|id| Some((id, self.own.raw(id)?)));
        all.find(|(_, raw)| raw.kind == KIND_STRUCT && self.string(raw.name) == Some(name))
    }

    /// The names and values of an enum.
    pub fn enumeration(&self, name: &str) -> Option<Vec<(&'a str, i64)>> {
        let all = (self.own.first_type..).take(self.own.types.len()).filter_map(|id| self.own.raw(id));
        let mut enums = all.filter(|raw| matches!(raw.kind, KIND_ENUM | KIND_ENUM64));
        let raw = enums.find(|raw| raw.members > 0 && self.string(raw.name) == Some(name))?;
        let size = if raw.kind == KIND_ENUM { 8 } else { 12 };
        let members = (0..raw.members).map(|index| {
            let at = raw.at + 12 + index * size;
            let low = read_u32(&self.own.data, at + 4)?;
            let value = match raw.kind {
                KIND_ENUM if raw.flag => i64::from(low as i32),
                KIND_ENUM => i64::from(low),
                _ => (u64::from(read_u32(&self.own.data, at + 8)?) << 32 | u64::from(low)) as i64,
            };
            Some((self.string(read_u32(&self.own.data, at)?)?, value))
        });
        members.collect()
    }

    /// The arguments that programs at these tracepoints see (without the first, internal one), by tracepoint name.
    pub fn tracepoints(&self, wanted: impl Fn(&str) -> bool) -> HashMap<&'a str, Prototype<'a>> {
        let mut found = HashMap::new();
        for index in 0..self.own.types.len() as u32 {
            let Some(raw) = self.own.raw(self.own.first_type + index) else { continue };
            if raw.kind != KIND_TYPEDEF {
                continue;
            }
            let name = self.string(raw.name).and_then(|name| name.strip_prefix("btf_trace_"));
            let Some(name) = name.filter(|name| wanted(name)) else { continue };
            let Some((_, pointer)) = self.raw(raw.to).filter(|(_, raw)| raw.kind == KIND_PTR) else { continue };
            if let Some(mut prototype) = self.prototype(pointer.to) {
                if !prototype.arguments.is_empty() {
                    prototype.arguments.remove(0);
                }
                found.insert(name, prototype);
            }
        }
        found
    }

    fn prototype(&self, id: u32) -> Option<Prototype<'a>> {
        let (btf, raw) = self.raw(id)?;
        if raw.kind != KIND_FUNC_PROTO {
            return None;
        }
        let arguments = (0..raw.members)
            .map(|index| {
                let at = raw.at + 12 + index * 8;
                let (name, kind) = (read_u32(&btf.data, at)?, read_u32(&btf.data, at + 4)?);
                let name = self.string(name).unwrap_or_default();
                Some(Argument { name, target: self.target(kind), type_id: kind })
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Prototype { arguments, returns: raw.to })
    }

    fn target(&self, id: u32) -> Target<'a> {
        let mut pointers = 0;
        let mut id = id;
        // No type of the kernel is nested deeper; a malformed one that refers to itself ends here.
        for _ in 0..32 {
            if id == 0 && pointers == 1 {
                return Target::Void;
            }
            let Some((_, raw)) = self.raw(id) else { break };
            match raw.kind {
                KIND_PTR => pointers += 1,
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {}
                KIND_STRUCT | KIND_UNION if pointers == 0 => return Target::Value,
                KIND_INT if pointers == 0 => return Target::Integer,
                KIND_ENUM | KIND_ENUM64 if pointers == 0 => {
                    return self.string(raw.name).filter(|name| !name.is_empty()).map_or(Target::Other, Target::Enum);
                }
                KIND_STRUCT => {
                    let name = self.string(raw.name).unwrap_or_default();
                    return match pointers {
                        1 => Target::Struct(name),
                        2 => Target::PointerToStruct(name),
                        _ => Target::Other,
                    };
                }
                _ => break,
            }
            id = raw.to;
        }
        Target::Other
    }
}

fn read_u32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(data.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
