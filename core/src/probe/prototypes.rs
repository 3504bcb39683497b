// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What BTF knows of the functions and tracepoints that were asked for.

use std::collections::{BTreeMap, HashSet};

use crate::error::Error;
use crate::kernel::Kernel;
use crate::kernel::btf::{Prototype, Target, Types};

use super::{ProbeSpec, ProbeType, matches};

/// A function or tracepoint in BTF.
pub(super) struct Described<'a> {
    /// `None`: vmlinux.
    pub(super) module: Option<&'a str>,
    /// Where its types are.
    pub(super) types: Types<'a>,
    pub(super) prototype: Prototype<'a>,
}

/// Everything that was asked for and is in BTF.
#[derive(Default)]
pub(super) struct Prototypes<'a> {
    /// By name, once for each function of that name.
    pub(super) functions: BTreeMap<&'a str, Vec<Described<'a>>>,
    /// By name, without the group.
    pub(super) tracepoints: BTreeMap<&'a str, Described<'a>>,
}

/// What calls the programs at a tracepoint. Its arguments, behind one of its own, are those of the tracepoint, and have names.
const CALLER: &str = "__traceiter_";

impl<'a> Prototypes<'a> {
    /// Reads what is needed for all specs in one pass over the types; modules only when vmlinux does not have it all.
    pub(super) fn read(kernel: &'a Kernel, specs: &'a [ProbeSpec]) -> Result<Self, Error> {
        let of_type = |is_tracepoint: bool| -> Vec<&'a str> {
            let wanted = specs.iter().filter(|spec| match spec.probe_type {
                ProbeType::Kprobe | ProbeType::Kretprobe => !is_tracepoint,
                ProbeType::RawTracepoint => is_tracepoint,
                ProbeType::Usdt => false,
            });
            let name = |spec: &'a ProbeSpec| spec.target.rsplit_once(':').map_or(&*spec.target, |(_, name)| name);
            wanted.map(|spec| spec.like.unwrap_or_else(|| name(spec))).collect()
        };
        let functions = NameSet::new(&of_type(false));
        let tracepoints = NameSet::new(&of_type(true));
        let mut read = Self::default();
        let mut collect = |module: Option<&'a str>, types: Types<'a>| {
            if !functions.is_empty() {
                for (name, prototype) in types.functions(|name| functions.contains(name)) {
                    read.functions.entry(name).or_default().push(Described { module, types, prototype });
                }
            }
            if !tracepoints.is_empty() {
                for (name, prototype) in types.tracepoints(|name| tracepoints.contains(name)) {
                    read.tracepoints.entry(name).or_insert(Described { module, types, prototype });
                }
            }
            let has_all = functions.patterns.is_empty()
                && tracepoints.patterns.is_empty()
                && functions.names.iter().all(|name| read.functions.contains_key(name))
                && tracepoints.names.iter().all(|name| read.tracepoints.contains_key(name));
            !has_all
        };
        let vmlinux = kernel.vmlinux()?;
        if collect(None, Types::new(vmlinux, None)) {
            for (module, btf) in kernel.modules()? {
                collect(Some(module), Types::new(btf, Some(vmlinux)));
            }
        }
        Ok(read)
    }

    /// Names the arguments of tracepoints; only those that have an address among them, of which the name tells what it is, or all.
    pub(super) fn name_arguments(&mut self, all: bool) {
        let has_address = |prototype: &Prototype<'_>| {
            prototype.arguments.iter().any(|argument| argument.target == Target::Void && argument.name.is_empty())
        };
        // A module's tracepoint has its caller in the module.
        let mut by_module: BTreeMap<Option<&'a str>, Types<'a>> = BTreeMap::new();
        for described in self.tracepoints.values() {
            if all || has_address(&described.prototype) {
                by_module.insert(described.module, described.types);
            }
        }
        for types in by_module.into_values() {
            let wanted = |name: &str| name.strip_prefix(CALLER).is_some_and(|name| self.tracepoints.contains_key(name));
            for (name, caller) in types.functions(wanted) {
                let Some(described) = self.tracepoints.get_mut(&name[CALLER.len()..]) else { continue };
                for (argument, named) in described.prototype.arguments.iter_mut().zip(caller.arguments.iter().skip(1)) {
                    argument.name = named.name;
                }
            }
        }
    }

    /// The function of this name; `None` when there is none, or several that differ: it is not known which one is meant.
    pub(super) fn function(&self, name: &str) -> Option<&Described<'a>> {
        let (first, others) = self.functions.get(name)?.split_first()?;
        others.iter().all(|other| other.prototype.has_arguments_of(&first.prototype)).then_some(first)
    }
}

/// Names and patterns to look for: tens of thousands of names are held against it.
struct NameSet<'a> {
    names: HashSet<&'a str>,
    patterns: Vec<&'a str>,
}

impl<'a> NameSet<'a> {
    fn new(texts: &[&'a str]) -> Self {
        let (patterns, names): (Vec<&str>, Vec<&str>) = texts.iter().partition(|text| text.contains('*'));
        Self { names: names.into_iter().collect(), patterns }
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.patterns.is_empty()
    }

    fn contains(&self, name: &str) -> bool {
        self.names.contains(name) || self.patterns.iter().any(|pattern| matches(pattern, name))
    }
}
