// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's symbols, as `/proc/kallsyms` lists them.

use std::fmt;
/// All symbols, for looking up names and addresses. About 20 bytes a symbol and the names.
#[derive(Debug)]
pub struct Symbols {
    /// By address.
    entries: Vec<Entry>,
    names: String,
    /// Indices into `entries`, by name.
    by_name: Vec<u32>,
    modules: Vec<String>,
}

/// A function, as the symbols know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// The module that it is in, if any.
    pub module: Option<&'a str>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: u64,
    name: u32,
    length: u16,
    /// 0: vmlinux, else one more than the index of the module.
    module: u16,
    function: bool,
}

/// An address in words: `ip_rcv+0x1c`, or `nf_hook_slow+0x10 [module]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// The symbol at or before the address.
    pub symbol: &'a str,
    /// Bytes from the symbol to the address.
    pub offset: u64,
    /// The module that the symbol belongs to.
    pub module: Option<&'a str>,
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:#x}", self.symbol, self.offset)?;
        match self.module {
            Some(module) => write!(f, " [{module}]"),
            None => Ok(()),
        }
    }
}

impl Symbols {
    /// Reads the lines `ADDRESS TYPE NAME [MODULE]`. Data symbols are kept too; lines of another form are passed over.
    pub fn parse(text: &str) -> Self {
        let mut symbols = Self {
            entries: Vec::with_capacity(text.len() / 45),
            names: String::new(),
            by_name: Vec::new(),
            modules: Vec::new(),
        };
        symbols.names.reserve(text.len() / 2);
        for line in text.lines() {
            symbols.add(line);
        }
        symbols.entries.sort_by_key(|entry| entry.address);
        symbols.by_name = (0..symbols.entries.len() as u32).collect();
        let mut by_name = std::mem::take(&mut symbols.by_name);
        by_name.sort_by(|&a, &b| symbols.name(a).cmp(symbols.name(b)));
        symbols.by_name = by_name;
        symbols
    }

    /// Whether there is none: the list could not be read in earnest.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether all addresses are zero, as the kernel shows them to those who may not see them. The names are true.
    pub fn hides_addresses(&self) -> bool {
        self.entries.last().is_none_or(|last| last.address == 0)
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split_ascii_whitespace();
        let address = u64::from_str_radix(fields.next()?, 16).ok()?;
        let kind = fields.next()?;
        let name = fields.next()?;
        // Padding in front of functions, and bounds that the linker made, name no place of interest.
        if name.starts_with("__pfx_") {
            return None;
        }
        let module = match fields.next().and_then(|module| module.strip_prefix('[')?.strip_suffix(']')) {
            None => 0,
            Some(module) => {
                // Symbols of a module stand together.
                if self.modules.last().is_none_or(|last| last != module) {
                    self.modules.push(module.to_owned());
                }
                self.modules.len() as u16
            }
        };
        let entry = Entry {
            address,
            name: self.names.len() as u32,
            length: name.len() as u16,
            module,
            function: matches!(kind, "t" | "T" | "w" | "W"),
        };
        self.names.push_str(name);
        self.entries.push(entry);
        Some(())
    }

    fn name(&self, index: u32) -> &str {
        let entry = &self.entries[index as usize];
        &self.names[entry.name as usize..][..usize::from(entry.length)]
    }

    /// The addresses of all symbols of exactly this name.
    pub fn addresses(&self, name: &str) -> impl Iterator<Item = u64> {
        self.named(name).map(|entry| entry.address)
    }

    /// The addresses of all functions of exactly this name.
    pub fn functions(&self, name: &str) -> impl Iterator<Item = u64> {
        self.named(name).filter(|entry| entry.function).map(|entry| entry.address)
    }

    /// All functions, by name.
    pub fn all_functions(&self) -> impl Iterator<Item = Function<'_>> {
        let functions = self.by_name.iter().filter(|&&index| self.entries[index as usize].function);
        functions.map(|&index| Function { name: self.name(index), module: self.module(self.entries[index as usize]) })
    }

    /// The module of the first function of this name.
    pub fn module_of(&self, function: &str) -> Option<&str> {
        self.named(function).find(|entry| entry.function).and_then(|entry| self.module(*entry))
    }

    fn module(&self, entry: Entry) -> Option<&str> {
        usize::from(entry.module).checked_sub(1).map(|module| self.modules[module].as_str())
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Entry> {
        let start = self.by_name.partition_point(|&index| self.name(index) < name);
        let end = start + self.by_name[start..].partition_point(|&index| self.name(index) == name);
        self.by_name[start..end].iter().map(|&index| &self.entries[index as usize])
    }

    /// The functions that the compiler made out of `name`: `name.isra.0`, `name.constprop.0`, ...
    pub fn variants(&self, name: &str) -> Vec<&str> {
        let prefix = format!("{name}.");
        let start = self.by_name.partition_point(|&index| self.name(index) < prefix.as_str());
        self.by_name[start..]
            .iter()
            .take_while(|&&index| self.name(index).starts_with(&prefix))
            .filter(|&&index| self.entries[index as usize].function)
            .map(|&index| self.name(index))
            .collect()
    }

    /// What is at an address, as it was when the symbols were read: see [`SymbolSource::locate`](super::symbol_source::SymbolSource::locate).
    /// Nothing when it is too far behind a symbol to belong to it, as generated code is.
    pub fn locate(&self, address: u64) -> Option<Location<'_>> {
        /// No function of a kernel is larger, bytes.
        const LARGEST: u64 = 1 << 20;
        let index = self.entries.partition_point(|entry| entry.address <= address).checked_sub(1)?;
        let entry = self.entries[index];
        // Addresses of zero are hidden ones, or offsets into the memory of a CPU.
        if entry.address == 0 || address - entry.address >= LARGEST {
            return None;
        }
        // Of several names for one place, a function's is the one to show.
        let index = (0..=index)
            .rev()
            .take_while(|&other| self.entries[other].address == entry.address)
            .find(|&other| self.entries[other].function)
            .unwrap_or(index);
        let entry = self.entries[index];
        Some(Location { symbol: self.name(index as u32), offset: address - entry.address, module: self.module(entry) })
    }
}

#[cfg(test)]
mod tests {
    use super::Symbols;

    const LINES: &str = "\
ffffffff81000000 T _text
ffffffff81000010 t __pfx_twice
ffffffff81000020 t twice
ffffffff81000040 t twice
ffffffff81000060 T ip_rcv
ffffffff81000080 t flow_lookup.isra.0
ffffffff82000000 D vmemmap_base
ffffffffc0000000 t ovs_dp_upcall\t[openvswitch]
";

    #[test]
    fn tells_where_an_address_is() {
        let symbols = Symbols::parse(LINES);
        assert!(!symbols.hides_addresses());
        assert_eq!(symbols.locate(0xffff_ffff_8100_007f).unwrap().to_string(), "ip_rcv+0x1f");
        assert_eq!(symbols.locate(0xffff_ffff_c000_0004).unwrap().to_string(), "ovs_dp_upcall+0x4 [openvswitch]");
        assert_eq!(symbols.locate(1), None);
        assert_eq!(symbols.locate(0xffff_ffff_d000_0000), None, "code that BPF's compiler made");
    }

    #[test]
    fn finds_every_function_of_a_name_and_its_variants() {
        let symbols = Symbols::parse(LINES);
        assert_eq!(symbols.functions("twice").count(), 2);
        assert_eq!(symbols.functions("vmemmap_base").count(), 0);
        assert_eq!(symbols.addresses("vmemmap_base").collect::<Vec<_>>(), [0xffff_ffff_8200_0000]);
        assert_eq!(symbols.variants("flow_lookup"), ["flow_lookup.isra.0"]);
        assert_eq!(symbols.functions("flow").count(), 0);
    }

    #[test]
    fn names_are_known_although_the_addresses_are_hidden() {
        let hidden: String = LINES.lines().map(|line| format!("0000000000000000{}\n", &line[16..])).collect();
        let symbols = Symbols::parse(&hidden);
        assert!(symbols.hides_addresses());
        assert_eq!(symbols.functions("twice").count(), 2);
        assert_eq!(symbols.module_of("ovs_dp_upcall"), Some("openvswitch"));
        assert_eq!(symbols.locate(0x10), None);
        let functions: Vec<&str> = symbols.all_functions().map(|function| function.name).collect();
        assert_eq!(functions, ["_text", "flow_lookup.isra.0", "ip_rcv", "ovs_dp_upcall", "twice", "twice"]);
    }
}
