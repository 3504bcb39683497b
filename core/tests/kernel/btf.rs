// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading BTF.

use proptest::prelude::{ProptestConfig, any, prop, proptest};
use tracer_core::kernel::btf::{Btf, BtfError, Target, Types};

use crate::btf_builder::BtfBuilder;

fn targets(types: &Types<'_>, name: &str) -> Vec<String> {
    let functions = types.functions(|found| found == name);
    let (_, prototype) = functions.first().expect("the function is there");
    prototype.arguments.iter().map(|argument| format!("{}: {:?}", argument.name, argument.target)).collect()
}

#[test]
fn tells_a_packet_from_a_pointer_to_one() {
    let mut builder = BtfBuilder::new();
    let skb = builder.structure("sk_buff");
    let constant = builder.constant(skb);
    let alias = builder.typedef("packet_t", constant);
    let one = builder.pointer(alias);
    let two = builder.pointer(one);
    let three = builder.pointer(two);
    let number = builder.int("int");
    builder.function("f", &[("a", one), ("b", two), ("c", three), ("d", number), ("e", skb), ("", one)]);
    let btf = Btf::parse(builder.build()).unwrap();
    assert_eq!(
        targets(&Types::new(&btf, None), "f"),
        [
            r#"a: Struct("sk_buff")"#,
            r#"b: PointerToStruct("sk_buff")"#,
            "c: Other",
            "d: Integer",
            "e: Value",
            r#": Struct("sk_buff")"#
        ]
    );
}

#[test]
fn knows_the_size_of_a_struct() {
    let mut builder = BtfBuilder::new();
    builder.typedef("alias", 0);
    builder.structure("bpf_link_info");
    let btf = Btf::parse(builder.build()).unwrap();
    let types = Types::new(&btf, None);
    assert_eq!(types.struct_size("bpf_link_info"), Some(8));
    assert_eq!(types.struct_size("alias"), None);
}

#[test]
fn a_module_refers_to_types_and_names_of_vmlinux() {
    let mut vmlinux = BtfBuilder::new();
    let skb = vmlinux.structure("sk_buff");
    let pointer = vmlinux.pointer(skb);
    let mut module = BtfBuilder::on(&vmlinux);
    let own = module.structure("vport");
    let own = module.pointer(own);
    module.function("ovs_vport_receive", &[("vport", own), ("skb", pointer)]);
    module.tracepoint("ovs_dp_upcall", &[("dp", own), ("skb", pointer)]);
    let base = Btf::parse(vmlinux.build()).unwrap();
    let btf = Btf::parse_split(module.build(), &base).unwrap();
    let types = Types::new(&btf, Some(&base));
    assert_eq!(targets(&types, "ovs_vport_receive"), [r#"vport: Struct("vport")"#, r#"skb: Struct("sk_buff")"#]);
    let tracepoints = types.tracepoints(|_| true);
    let arguments = &tracepoints["ovs_dp_upcall"].arguments;
    assert_eq!(arguments.len(), 2, "the internal first argument is not shown");
    assert_eq!(arguments[1].target, Target::Struct("sk_buff"));
}

#[test]
fn declares_functions_as_c_does() {
    let mut builder = BtfBuilder::new();
    let number = builder.int("int");
    let word = builder.typedef("u16", number);
    let skb = builder.structure("sk_buff");
    let constant = builder.constant(skb);
    let pointer = builder.pointer(constant);
    let constant_pointer = builder.constant(pointer);
    let array = builder.array(number, 4);
    let array_pointer = builder.pointer(array);
    let callback = builder.prototype(&[("", pointer), ("", 0)]);
    let callback = builder.pointer(callback);
    let void_pointer = builder.pointer(0);
    let nameless = builder.structure("");
    builder.function_returning(
        word,
        "f",
        &[("skb", pointer), ("kept", constant_pointer), ("row", array_pointer), ("done", callback), ("", void_pointer)],
    );
    builder.function_returning(pointer, "g", &[]);
    builder.function("h", &[("format", nameless), ("", 0)]);
    let btf = Btf::parse(builder.build()).unwrap();
    let types = Types::new(&btf, None);
    let declared: Vec<String> =
        types.functions(|_| true).iter().map(|(name, prototype)| types.declaration(name, prototype)).collect();
    assert_eq!(
        declared,
        [
            "u16 f(const struct sk_buff *skb, const struct sk_buff *const kept, int (*row)[4], \
             void (*done)(const struct sk_buff *, ...), void *)",
            "const struct sk_buff *g(void)",
            "void h(struct {...} format, ...)",
        ]
    );
}

#[test]
fn says_why_it_cannot_read() {
    assert_eq!(Btf::parse(b"ELF".to_vec()).unwrap_err(), BtfError::Magic);
    assert_eq!(Btf::parse(Vec::new()).unwrap_err(), BtfError::Magic);
    let mut builder = BtfBuilder::new();
    builder.int("int");
    builder.unknown_kind();
    assert_eq!(Btf::parse(builder.build()).unwrap_err(), BtfError::Kind { id: 2, kind: 31 });
    let whole = builder.build();
    assert_eq!(Btf::parse(whole[..whole.len() - 1].to_vec()).unwrap_err(), BtfError::Truncated);
}

#[test]
fn a_type_that_refers_to_itself_is_nothing_known() {
    let mut builder = BtfBuilder::new();
    let own = builder.pointer(1);
    builder.function("f", &[("loop", own), ("nothing", 4711)]);
    let btf = Btf::parse(builder.build()).unwrap();
    assert_eq!(targets(&Types::new(&btf, None), "f"), ["loop: Other", "nothing: Other"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nonsense_is_read_without_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut builder = BtfBuilder::new();
        let word = builder.number("int", 4, 1);
        let words = builder.array(word, 2);
        let names = builder.enumeration("e", 4, false, &[("f", 1)]);
        let inner = builder.union_of("", 8, &[("words", words, 0), ("word", word, 0)]);
        let skb = builder.structure_with_bits("sk_buff", 16, &[("", inner, 0, 0), ("names", names, 64, 3)]);
        let pointer = builder.pointer(skb);
        builder.function("f", &[("skb", pointer)]);
        builder.tracepoint("t", &[("skb", pointer)]);
        let mut data = builder.build();
        for (index, value) in changes {
            let at = index.index(data.len());
            data[at] = value;
        }
        if let Ok(btf) = Btf::parse(data) {
            let types = Types::new(&btf, None);
            for (name, prototype) in types.functions(|_| true) {
                types.declaration(name, &prototype);
            }
            types.tracepoints(|_| true);
            types.enumerator("f");
            for composite in types.composite_names().filter_map(|name| types.composite(name)) {
                composite.size();
                for name in composite.member_names() {
                    composite.member(name).map(|member| (member.kind.size(), member.kind.enumerators()));
                }
            }
        }
    }
}
