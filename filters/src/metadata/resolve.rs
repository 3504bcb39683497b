// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From names to places: which bytes of the kernel's memory a comparison is about, by the kernel's own description of its types.

mod value;

use tracer_core::error::Error;
use tracer_core::event::section_table::SectionTable;
use tracer_core::kernel::Kernel;
use tracer_core::kernel::btf::Types;
use tracer_core::kernel::btf::members::{Member, Shape, Type};
use tracer_core::similar::{did_you_mean, similar};
use tracer_ebpf::wire::SKB_COPY_SIZE;

use super::parser::parse_path;
use super::scanner::error_at;
use super::syntax::{BitOperation, Comparison, Condition, Operand, Path, Relation, Step, StepKind};
use crate::error::{FilterError, Language};

/// A condition of which everything is known that a program needs.
#[derive(Clone, Debug)]
pub(super) enum Resolved {
    /// All of them.
    All(Vec<Resolved>),
    /// Any of them.
    Any(Vec<Resolved>),
    /// A test.
    Test(Test),
}

/// Some bytes and what must hold for them.
#[derive(Clone, Debug)]
pub(super) struct Test {
    /// Where the bytes are.
    pub(super) source: Source,
    /// What must hold.
    pub(super) check: Check,
}

/// Where bytes come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// The number of the running process.
    ProcessId,
    /// The name of the running thread, 16 bytes.
    ThreadName,
    /// The first of these places that can be reached.
    Packet(Vec<Place>),
}

/// A place that is found from the packet's `struct sk_buff`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Pointers that are followed, one after the other.
    pub(super) hops: Vec<Hop>,
    /// The offset of the bytes behind the last of them.
    pub(super) offset: i32,
    /// So many bytes from the beginning of the `struct sk_buff` are in the copy.
    pub(super) copied: i32,
}

/// A pointer that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    /// The pointer's offset behind the one before.
    pub(super) offset: i32,
    /// The bits of it that are an address.
    pub(super) mask: Option<u64>,
}

/// What must hold for some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// As a number.
    Number {
        /// How the number is stored.
        field: Field,
        /// What is done with it, one after the other.
        operations: Vec<(BitOperation, u64)>,
        /// What must hold.
        relation: Relation,
        /// For it and this; a negative one is extended to 64 bits.
        value: u64,
    },
    /// As they are.
    Bytes {
        /// What they should be.
        expected: Vec<u8>,
        /// The bits of the last byte that count.
        last_mask: u8,
        /// Whether they must be that, or must not.
        equal: bool,
    },
    /// As text that ends with a zero byte.
    Text {
        /// What it should be.
        expected: Vec<u8>,
        /// Whether more may follow.
        prefix: bool,
        /// Whether it must be that, or must not.
        equal: bool,
    },
}

/// How a number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Bits in front of it in its first byte.
    pub(super) skip: u32,
    /// How many it has.
    pub(super) bits: u32,
    /// Whether it can be below 0.
    pub(super) signed: bool,
    /// Whether it has the byte order of the network.
    pub(super) network_order: bool,
}

impl Resolved {
    /// Whether nothing of it can hold without a packet.
    pub(super) fn needs_packet(&self) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().any(Self::needs_packet),
            Self::Any(conditions) => conditions.iter().all(Self::needs_packet),
            Self::Test(test) => matches!(test.source, Source::Packet(_)),
        }
    }
}

/// Where a path has led so far.
struct Position<'a> {
    place: Place,
    /// In bits, behind the last pointer.
    bit_offset: u64,
    kind: Type<'a>,
    /// When it is a bit field.
    bits: Option<u32>,
    /// For the pointer that is followed next.
    mask: Option<u64>,
}

/// Finds what a text is about in a kernel.
pub(super) struct Resolver<'a> {
    text: &'a str,
    kernel: &'a Kernel,
    packet: Type<'a>,
}

/// Short names and what they stand for; of several places the first that can be reached.
const SHORT_NAMES: [(&str, &[&str]); 4] = [
    ("netns", &["sk_buff.dev.nd_net.net.ns.inum", "sk_buff.sk.__sk_common.skc_net.net.ns.inum"]),
    ("ifname", &["sk_buff.dev.name"]),
    ("ifindex", &["sk_buff.dev.ifindex"]),
    ("mark", &["sk_buff.mark"]),
];

/// All words that a path can begin with.
const ROOTS: [&str; 7] = ["sk_buff", "netns", "ifname", "ifindex", "mark", "pid", "comm"];

impl<'a> Resolver<'a> {
    pub(super) fn new(text: &'a str, kernel: &'a Kernel) -> Result<Self, FilterError> {
        let whole = |message: &str| FilterError::new(Language::Metadata, text, message);
        let vmlinux = kernel
            .vmlinux()
            .map_err(|error| whole(&error.to_string()).with_hint_if(error.hint().map(str::to_owned)))?;
        let packet = Types::new(vmlinux, None).composite("sk_buff");
        let packet = packet.ok_or_else(|| whole("the kernel's type information has no `struct sk_buff`"))?;
        Ok(Self { text, kernel, packet })
    }

    /// Finds what everything in a condition is.
    pub(super) fn condition(&self, condition: &Condition) -> Result<Resolved, FilterError> {
        let all = |conditions: &[Condition]| conditions.iter().map(|one| self.condition(one)).collect::<Result<_, _>>();
        Ok(match condition {
            Condition::All(conditions) => Resolved::All(all(conditions)?),
            Condition::Any(conditions) => Resolved::Any(all(conditions)?),
            Condition::Comparison(comparison) => Resolved::Test(self.comparison(comparison)?),
        })
    }

    fn comparison(&self, comparison: &Comparison) -> Result<Test, FilterError> {
        let Operand { path, .. } = &comparison.operand;
        let no_steps = |source: Source, field: value::Content<'a>| match path.steps.first() {
            Some(step) => Err(self.error(step.at, format!("`{}` has no members", path.root))),
            None => Ok(Test { source, check: self.check_content(comparison, field)? }),
        };
        match path.root.as_str() {
            "sk_buff" => self.member(comparison, path.clone()),
            "pid" => no_steps(Source::ProcessId, value::Content::process_id()),
            "comm" => no_steps(Source::ThreadName, value::Content::thread_name()),
            root => match SHORT_NAMES.iter().find(|(name, _)| *name == root) {
                Some((_, paths)) => self.short(comparison, paths),
                None => Err(self.unknown_root(path)),
            },
        }
    }

    /// A comparison with what a short name stands for.
    fn short(&self, comparison: &Comparison, paths: &[&str]) -> Result<Test, FilterError> {
        let (mut places, mut check) = (Vec::new(), None);
        for path in paths {
            let mut path = parse_path(path)?;
            path.steps.iter_mut().for_each(|step| step.at = comparison.operand.path.at);
            path.at = comparison.operand.path.at;
            path.steps.extend(comparison.operand.path.steps.iter().cloned());
            let test = self.member(comparison, path)?;
            if let Source::Packet(found) = test.source {
                places.extend(found);
            }
            check = Some(test.check);
        }
        let check = check.expect("each short name has a path");
        Ok(Test { source: Source::Packet(places), check })
    }

    fn member(&self, comparison: &Comparison, path: Path) -> Result<Test, FilterError> {
        if path.steps.is_empty() {
            let error = self.error(path.at, "`sk_buff` alone is no value");
            return Err(error.with_hint("name a member, e.g. `sk_buff.len`"));
        }
        let copied = self.packet.size().unwrap_or(0).min(SKB_COPY_SIZE);
        let place = Place { copied: copied.cast_signed(), ..Place::default() };
        let mut position = Position { place, bit_offset: 0, kind: self.packet, bits: None, mask: None };
        for step in &path.steps {
            self.step(&mut position, step)?;
        }
        self.check_member(comparison, position)
    }

    fn step(&self, position: &mut Position<'a>, step: &Step) -> Result<(), FilterError> {
        if position.bits.is_some() {
            return Err(self.error(step.at, "nothing can follow a bit field"));
        }
        match &step.kind {
            StepKind::Mask(mask) => {
                position.mask = Some(*mask);
                return Ok(());
            }
            StepKind::Member(name) => self.enter(position, name, step.at)?,
            StepKind::Index(index) => self.index(position, *index, step.at)?,
            StepKind::Cast(name) => {
                let target = self.composite(name, step.at)?;
                match position.kind.shape() {
                    // What is stored here itself is seen as something else: `sk_buff.cb` holds what its owner wants.
                    Some(Shape::Composite { .. } | Shape::Array { .. }) => {}
                    Some(Shape::Pointer(_)) => self.follow(position, step.at)?,
                    Some(Shape::Integer(integer)) if integer.size == 8 => self.follow(position, step.at)?,
                    _ => return Err(self.error(step.at, format!("`{}` is no pointer", position.kind.declaration()))),
                }
                position.kind = target;
            }
        }
        match position.mask {
            Some(_) => Err(self.error(step.at, "a mask in front of what is no pointer")),
            None => Ok(()),
        }
    }

    /// Goes to a member of a struct, or of a struct that is pointed to.
    fn enter(&self, position: &mut Position<'a>, name: &str, at: usize) -> Result<(), FilterError> {
        if let Some(Shape::Pointer(Some(target))) = position.kind.shape() {
            self.follow(position, at)?;
            position.kind = target;
        }
        if let Some(Shape::Declared(name)) = position.kind.shape() {
            position.kind = self.composite(name, at)?;
        }
        let Some(Shape::Composite { .. }) = position.kind.shape() else {
            let kind = position.kind.declaration();
            let hint = match position.kind.shape() {
                Some(Shape::Array { .. } | Shape::Pointer(Some(_))) => Some("one of its elements is had by `[0]`"),
                Some(Shape::Pointer(None)) => Some("say what it points to: `.(tcp_sock)`"),
                _ => None,
            };
            return Err(self.error(at, format!("`{kind}` has no members")).with_hint_if(hint));
        };
        let Some(Member { bit_offset, bits, kind }) = position.kind.member(name) else {
            let names = position.kind.member_names();
            let message = format!("`{}` has no member `{name}`", position.kind.declaration());
            return Err(self.error(at, message).with_hint_if(did_you_mean(&similar(name, names))));
        };
        position.bit_offset += u64::from(bit_offset);
        (position.bits, position.kind) = (bits, kind);
        Ok(())
    }

    fn index(&self, position: &mut Position<'a>, index: u64, at: usize) -> Result<(), FilterError> {
        let element = match position.kind.shape() {
            Some(Shape::Array { count, .. }) if count > 0 && index >= u64::from(count) => {
                let message = format!("`{}` has no element {index}", position.kind.declaration());
                return Err(self.error(at, message).with_hint(format!("the last one is {}", count - 1)));
            }
            Some(Shape::Array { element, .. }) => element,
            Some(Shape::Pointer(Some(element))) => {
                self.follow(position, at)?;
                element
            }
            _ => return Err(self.error(at, format!("`{}` has no elements", position.kind.declaration()))),
        };
        let bits = element.size().and_then(|size| index.checked_mul(u64::from(size) * 8));
        let bits = bits.and_then(|bits| position.bit_offset.checked_add(bits));
        position.bit_offset = bits.ok_or_else(|| self.error(at, format!("where element {index} is can't be told")))?;
        position.kind = element;
        Ok(())
    }

    /// Goes to where the pointer at `position` leads. What is there remains to be said.
    fn follow(&self, position: &mut Position<'a>, at: usize) -> Result<(), FilterError> {
        let offset = self.offset(position.bit_offset, at)?;
        position.place.hops.push(Hop { offset, mask: position.mask.take() });
        position.bit_offset = 0;
        Ok(())
    }

    fn offset(&self, bit_offset: u64, at: usize) -> Result<i32, FilterError> {
        i32::try_from(bit_offset / 8).map_err(|_| self.error(at, "too far from the beginning of what it is in"))
    }

    /// The struct of this name, of vmlinux or else of a module.
    fn composite(&self, name: &str, at: usize) -> Result<Type<'a>, FilterError> {
        let error = |error: Error| self.error(at, error.to_string());
        if let Some(found) = Types::new(self.kernel.vmlinux().map_err(error)?, None).composite(name) {
            return Ok(found);
        }
        let types = self.kernel.all_types().map_err(error)?;
        types.iter().find_map(|(_, types)| types.composite(name)).ok_or_else(|| {
            let known = types.iter().flat_map(|(_, types)| types.composite_names());
            self.error(at, format!("the kernel has no `struct {name}`"))
                .with_hint_if(did_you_mean(&similar(name, known)))
        })
    }

    fn unknown_root(&self, path: &Path) -> FilterError {
        let root = path.root.as_str();
        let error = self.error(path.at, format!("`{root}` is neither `sk_buff` nor a short name"));
        if SectionTable::registered().is_ok_and(|sections| sections.get(root).is_some()) {
            return error.with_hint("sections are in stored events, for which `print` and `sort` take filters");
        }
        let known = format!("a member is found from `sk_buff`; short names are `{}`", ROOTS[1..].join("`, `"));
        error.with_hint(did_you_mean(&similar(root, ROOTS)).unwrap_or(known))
    }

    fn error(&self, at: usize, message: impl Into<String>) -> FilterError {
        error_at(self.text, at, message)
    }
}
