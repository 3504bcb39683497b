// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What BTF says about the inside of types.

use tracer_core::kernel::btf::members::{Integer, Shape, Type};
use tracer_core::kernel::btf::{Btf, Types};

use crate::btf_builder::BtfBuilder;

const VOLATILE: u32 = 9;
const RESTRICT: u32 = 11;
const TYPE_TAG: u32 = 18;

fn place(kind: Type<'_>, name: &str) -> (u32, Option<u32>) {
    let member = kind.member(name).unwrap_or_else(|| panic!("no member `{name}`"));
    (member.bit_offset, member.bits)
}

fn integer(kind: Type<'_>) -> Integer {
    match kind.shape() {
        Some(Shape::Integer(integer) | Shape::Enumeration(integer)) => integer,
        other => panic!("{other:?} is no number"),
    }
}

#[test]
fn finds_members_in_nameless_structs_and_unions() {
    let mut builder = BtfBuilder::new();
    let word = builder.number("unsigned int", 4, 0);
    let pair = builder.structure_of("", 8, &[("next", word, 0), ("prev", word, 32)]);
    let either = builder.union_of("", 8, &[("", pair, 0), ("list", word, 0)]);
    let inner = builder.structure_of("inner", 4, &[("hidden", word, 0)]);
    builder.structure_of("sk_buff", 24, &[("", either, 64), ("named", inner, 128), ("last", word, 160)]);
    let btf = Btf::parse(builder.build()).unwrap();
    let packet = Types::new(&btf, None).composite("sk_buff").unwrap();
    assert_eq!(packet.member_names(), ["next", "prev", "list", "named", "last"]);
    assert_eq!(place(packet, "prev"), (96, None));
    assert_eq!(place(packet, "list"), (64, None));
    assert_eq!(packet.size(), Some(24));
    assert!(packet.member("hidden").is_none(), "it is a member of `named`");
    assert_eq!(packet.member("named").unwrap().kind.declaration(), "struct inner");
}

#[test]
fn knows_bit_fields_in_both_descriptions() {
    let mut builder = BtfBuilder::new();
    let word = builder.number("unsigned int", 4, 0);
    builder.structure_with_bits("new", 8, &[("a", word, 3, 5), ("b", word, 8, 13), ("c", word, 32, 0)]);
    let three = builder.part_of_number("unsigned int", 4, 0, 3);
    let moved = builder.part_of_number("unsigned int", 4, 7, 2);
    builder.structure_of("old", 8, &[("a", three, 5), ("b", moved, 32), ("c", word, 32)]);
    let btf = Btf::parse(builder.build()).unwrap();
    let types = Types::new(&btf, None);
    let new = types.composite("new").unwrap();
    assert_eq!([place(new, "a"), place(new, "b"), place(new, "c")], [(3, Some(5)), (8, Some(13)), (32, None)]);
    let old = types.composite("old").unwrap();
    assert_eq!([place(old, "a"), place(old, "b"), place(old, "c")], [(5, Some(3)), (39, Some(2)), (32, None)]);
}

#[test]
fn looks_through_typedefs_and_qualifiers() {
    let mut builder = BtfBuilder::new();
    let short = builder.number("short unsigned int", 2, 0);
    let u16 = builder.typedef("__u16", short);
    let big = builder.typedef("__be16", u16);
    let big = builder.typedef("port_t", big);
    let mut kind = builder.constant(big);
    for qualifier in [VOLATILE, RESTRICT, TYPE_TAG] {
        kind = builder.qualified(qualifier, if qualifier == TYPE_TAG { "rcu" } else { "" }, kind);
    }
    let long = builder.number("long int", 8, 1);
    let truth = builder.number("_Bool", 1, 4);
    let row = builder.array(u16, 3);
    let rows = builder.array(row, 2);
    let open = builder.array(long, 0);
    let void = builder.pointer(0);
    let prototype = builder.prototype(&[]);
    let callback = builder.pointer(prototype);
    let members = [
        ("port", kind),
        ("long", long),
        ("truth", truth),
        ("rows", rows),
        ("open", open),
        ("void", void),
        ("call", callback),
    ];
    builder.structure_of("s", 64, &members.map(|(name, kind)| (name, kind, 0)));
    let btf = Btf::parse(builder.build()).unwrap();
    let member = |name| Types::new(&btf, None).composite("s").unwrap().member(name).unwrap().kind;
    let plain = Integer { size: 2, signed: false, boolean: false, network_order: false };
    assert_eq!(integer(member("port")), Integer { network_order: true, ..plain });
    assert_eq!(integer(member("long")), Integer { size: 8, signed: true, ..plain });
    assert_eq!(integer(member("truth")), Integer { size: 1, boolean: true, ..plain });
    assert_eq!(member("rows").size(), Some(12));
    let Some(Shape::Array { element, count: 2 }) = member("rows").shape() else { panic!("no array") };
    assert!(matches!(element.shape(), Some(Shape::Array { count: 3, .. })));
    assert!(matches!(member("open").shape(), Some(Shape::Array { count: 0, .. })));
    assert!(matches!(member("void").shape(), Some(Shape::Pointer(None))));
    let Some(Shape::Pointer(Some(function))) = member("call").shape() else { panic!("no pointer") };
    assert!(matches!(function.shape(), Some(Shape::Other)));
    assert_eq!(function.size(), None);
}

#[test]
fn knows_the_names_of_numbers() {
    let mut builder = BtfBuilder::new();
    builder.enumeration("plain", 4, false, &[("ONE", 1), ("TOP", 0xffff_ffff), ("SAME", 5)]);
    builder.enumeration("signed", 4, true, &[("MINUS", 0xffff_ffff), ("SAME", 6)]);
    builder.enumeration("wide", 8, false, &[("HUGE", 0x8000_0000_0000_0001)]);
    builder.enumeration("wide_signed", 8, true, &[("MINUS_TWO", 0xffff_ffff_ffff_fffe), ("SAME", 5)]);
    let kind = builder.enumeration("last", 8, true, &[("NEVER", 3)]);
    builder.structure_of("s", 8, &[("kind", kind, 0)]);
    let btf = Btf::parse(builder.build()).unwrap();
    let types = Types::new(&btf, None);
    assert_eq!(types.enumerator("ONE"), [1]);
    assert_eq!(types.enumerator("TOP"), [0xffff_ffff]);
    assert_eq!(types.enumerator("MINUS"), [-1]);
    assert_eq!(types.enumerator("HUGE"), [0x8000_0000_0000_0001_u64.cast_signed()]);
    assert_eq!(types.enumerator("MINUS_TWO"), [-2]);
    assert_eq!(types.enumerator("SAME"), [5, 6], "each value once");
    assert!(types.enumerator("kind").is_empty());
    let kind = types.composite("s").unwrap().member("kind").unwrap().kind;
    assert_eq!(kind.enumerators(), [("NEVER", 3)]);
    assert_eq!(integer(kind), Integer { size: 8, signed: true, boolean: false, network_order: false });
}

#[test]
fn a_modules_structs_have_members_of_vmlinux() {
    let mut vmlinux = BtfBuilder::new();
    let word = vmlinux.number("unsigned int", 4, 0);
    let base = vmlinux.structure_of("sock", 8, &[("state", word, 32)]);
    let elsewhere = vmlinux.declared("own_sock");
    let pointer = vmlinux.pointer(elsewhere);
    vmlinux.structure_of("sk_buff", 8, &[("sk", pointer, 0)]);
    let mut module = BtfBuilder::on(&vmlinux);
    module.structure_of("own_sock", 16, &[("sk", base, 0), ("extra", word, 64)]);
    let vmlinux = Btf::parse(vmlinux.build()).unwrap();
    let module = Btf::parse_split(module.build(), &vmlinux).unwrap();
    let base_types = Types::new(&vmlinux, None);
    let sk = base_types.composite("sk_buff").unwrap().member("sk").unwrap().kind;
    let Some(Shape::Pointer(Some(target))) = sk.shape() else { panic!("no pointer") };
    assert!(matches!(target.shape(), Some(Shape::Declared("own_sock"))));
    assert!(base_types.composite("own_sock").is_none(), "declared is not defined");
    let own = Types::new(&module, Some(&vmlinux)).composite("own_sock").unwrap();
    assert_eq!(place(own, "extra"), (64, None));
    let inner = own.member("sk").unwrap().kind;
    assert_eq!(place(inner, "state"), (32, None));
    assert_eq!(integer(inner.member("state").unwrap().kind).size, 4);
    let types = Types::new(&module, Some(&vmlinux));
    assert_eq!(types.composite_names().collect::<Vec<_>>(), ["own_sock"]);
}

#[test]
fn types_that_hold_themselves_end() {
    let mut builder = BtfBuilder::new();
    // Nameless, and each holds the other twice: without a bound that is 2^32 visits.
    builder.structure_of("", 8, &[("", 2, 0), ("", 2, 0)]);
    builder.structure_of("", 8, &[("", 1, 0), ("", 1, 0)]);
    builder.structure_of("s", 8, &[("", 1, 0)]);
    builder.array(4, 2);
    builder.typedef("t", 5);
    builder.structure_of("u", 8, &[("array", 4, 0), ("alias", 5, 0)]);
    let btf = Btf::parse(builder.build()).unwrap();
    let types = Types::new(&btf, None);
    assert!(types.composite("s").unwrap().member("x").is_none());
    let member = |name| types.composite("u").unwrap().member(name).unwrap().kind;
    assert_eq!(member("array").size(), None);
    assert!(member("alias").shape().is_none());
}
