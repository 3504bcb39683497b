// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Makes BTF for tests: as much of the format as the reader looks at.

/// Types under construction. Every method that adds a type returns its number.
pub(crate) struct BtfBuilder {
    types: Vec<u8>,
    strings: Vec<u8>,
    next: u32,
    string_base: u32,
}

impl BtfBuilder {
    /// For vmlinux.
    pub(crate) fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], next: 1, string_base: 0 }
    }

    /// For a module on top of `base`.
    pub(crate) fn on(base: &Self) -> Self {
        Self {
            types: Vec::new(),
            strings: Vec::new(),
            next: base.next,
            string_base: base.string_base + base.strings.len() as u32,
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let offset = self.string_base + self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        offset
    }

    fn add(&mut self, name: &str, kind: u32, members: u32, to: u32, rest: &[u32]) -> u32 {
        self.add_raw(name, kind << 24 | members, to, rest)
    }

    fn add_raw(&mut self, name: &str, info: u32, to: u32, rest: &[u32]) -> u32 {
        let name = self.string(name);
        for word in [name, info, to].iter().chain(rest) {
            self.types.extend_from_slice(&word.to_ne_bytes());
        }
        self.next += 1;
        self.next - 1
    }

    pub(crate) fn int(&mut self, name: &str) -> u32 {
        self.add(name, 1, 0, 4, &[32])
    }

    pub(crate) fn structure(&mut self, name: &str) -> u32 {
        self.add(name, 4, 0, 8, &[])
    }

    /// A number of so many bytes; `encoding` is 1 for one with a sign, 2 for a character, 4 for a `_Bool`.
    pub(crate) fn number(&mut self, name: &str, size: u32, encoding: u32) -> u32 {
        self.add(name, 1, 0, size, &[encoding << 24 | (size * 8)])
    }

    /// A number that is a part of its bytes: how bit fields were described before structs did it.
    pub(crate) fn part_of_number(&mut self, name: &str, size: u32, skip: u32, bits: u32) -> u32 {
        self.add(name, 1, 0, size, &[skip << 16 | bits])
    }

    /// A struct with members: name, type, bits from the beginning.
    pub(crate) fn structure_of(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        self.composite(name, 4 << 24, size, members)
    }

    pub(crate) fn union_of(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        self.composite(name, 5 << 24, size, members)
    }

    /// A struct whose bit fields are described by itself: name, type, bits from the beginning, width (0: no bit field).
    pub(crate) fn structure_with_bits(&mut self, name: &str, size: u32, members: &[(&str, u32, u32, u32)]) -> u32 {
        let members: Vec<_> = members.iter().map(|(name, of, at, bits)| (*name, *of, bits << 24 | at)).collect();
        self.composite(name, 1 << 31 | 4 << 24, size, &members)
    }

    fn composite(&mut self, name: &str, kind: u32, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let mut rest = Vec::new();
        for (name, of, place) in members {
            rest.extend([self.string(name), *of, *place]);
        }
        self.add_raw(name, kind | members.len() as u32, size, &rest)
    }

    /// An enumeration; of 8 bytes it is of the newer kind.
    pub(crate) fn enumeration(&mut self, name: &str, size: u32, signed: bool, values: &[(&str, u64)]) -> u32 {
        let mut rest = Vec::new();
        for (name, value) in values {
            rest.extend([self.string(name), *value as u32]);
            if size == 8 {
                rest.push((value >> 32) as u32);
            }
        }
        let kind = if size == 8 { 19 << 24 } else { 6 << 24 };
        self.add_raw(name, u32::from(signed) << 31 | kind | values.len() as u32, size, &rest)
    }

    /// A struct that is defined elsewhere.
    pub(crate) fn declared(&mut self, name: &str) -> u32 {
        self.add(name, 7, 0, 0, &[])
    }

    pub(crate) fn qualified(&mut self, kind: u32, name: &str, of: u32) -> u32 {
        self.add(name, kind, 0, of, &[])
    }

    pub(crate) fn pointer(&mut self, to: u32) -> u32 {
        self.add("", 2, 0, to, &[])
    }

    pub(crate) fn constant(&mut self, of: u32) -> u32 {
        self.add("", 10, 0, of, &[])
    }

    pub(crate) fn typedef(&mut self, name: &str, of: u32) -> u32 {
        self.add(name, 8, 0, of, &[])
    }

    pub(crate) fn array(&mut self, of: u32, count: u32) -> u32 {
        self.add("", 3, 0, 0, &[of, of, count])
    }

    pub(crate) fn prototype(&mut self, arguments: &[(&str, u32)]) -> u32 {
        self.prototype_returning(0, arguments)
    }

    fn prototype_returning(&mut self, returned: u32, arguments: &[(&str, u32)]) -> u32 {
        let mut rest = Vec::new();
        for (name, kind) in arguments {
            rest.extend([self.string(name), *kind]);
        }
        self.add("", 13, arguments.len() as u32, returned, &rest)
    }

    pub(crate) fn function(&mut self, name: &str, arguments: &[(&str, u32)]) -> u32 {
        self.function_returning(0, name, arguments)
    }

    pub(crate) fn function_returning(&mut self, returned: u32, name: &str, arguments: &[(&str, u32)]) -> u32 {
        let prototype = self.prototype_returning(returned, arguments);
        self.add(name, 12, 0, prototype, &[])
    }

    pub(crate) fn tracepoint(&mut self, name: &str, arguments: &[(&str, u32)]) {
        let void_pointer = self.pointer(0);
        let all: Vec<_> = [("__data", void_pointer)].into_iter().chain(arguments.iter().copied()).collect();
        let prototype = self.prototype(&all);
        let pointer = self.pointer(prototype);
        self.typedef(&format!("btf_trace_{name}"), pointer);
    }

    /// A type of a kind that no reader knows.
    pub(crate) fn unknown_kind(&mut self) {
        self.add("", 31, 0, 0, &[]);
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut data = 0xeb9f_u16.to_ne_bytes().to_vec();
        data.extend([1, 0]);
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        for word in [24, 0, types, types, strings] {
            data.extend(u32::to_ne_bytes(word));
        }
        data.extend(&self.types);
        data.extend(&self.strings);
        data
    }
}
