// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compiles every collector's hook and generates what joins them to the engine: the numbers that tell them apart and the
//! dispatcher. A collector is a folder with a `hook.bpf.c`; nothing else lists them.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tracer_ebpf_build::out_dir();
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-env-changed=CLANG");

    let mut names: Vec<String> = fs::read_dir(own.join("src"))
        .expect("the collectors are here")
        .map(|entry| entry.expect("the folder is readable").path())
        .filter(|path| path.join("hook.bpf.c").exists())
        .map(|path| path.file_name().expect("a folder has a name").to_string_lossy().into_owned())
        .collect();
    names.sort();

    let generated = out.join("include");
    fs::create_dir_all(generated.join("tracer")).expect("OUT_DIR is writable");
    fs::write(generated.join("tracer/collectors.h"), numbers(&names)).expect("OUT_DIR is writable");
    fs::write(out.join("dispatch.bpf.c"), dispatcher(&names)).expect("OUT_DIR is writable");

    let mut includes: Vec<PathBuf> =
        env::split_paths(&env::var_os("DEP_TRACER_EBPF_INCLUDE").expect("tracer-ebpf says where its headers are"))
            .collect();
    includes.push(generated);
    tracer_ebpf_build::compile(&out.join("dispatch.bpf.c"), &includes);

    let mut table = String::from(
        "/// Calls the hooks that are there.\npub(crate) const DISPATCHER: &[u8] = include_bytes!(concat!(env!(\"OUT_DIR\"), \"/dispatch.bpf.o\"));\n",
    );
    for (number, name) in names.iter().enumerate() {
        let folder = own.join("src").join(name);
        tracer_ebpf_build::compile_as(&folder.join("hook.bpf.c"), &format!("{name}.hook"), &includes);
        tracer_ebpf_build::bind(
            &folder.join("event.h"),
            &format!("{name}_event"),
            &[&format!("{name}_.*"), &format!("{}_.*", name.to_uppercase())],
        );
        writeln!(
            table,
            "/// The hook of `{name}`.\npub(crate) const {}: Hook = Hook {{ number: {number}, object: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.hook.o\")) }};",
            name.to_uppercase()
        )
        .expect("a string takes everything");
    }
    fs::write(out.join("hooks.rs"), table).expect("OUT_DIR is writable");
}

/// The header that every hook includes.
fn numbers(names: &[String]) -> String {
    let mut text = String::from("#include <tracer/hit.h>\n\n");
    for (number, name) in names.iter().enumerate() {
        writeln!(text, "#define COLLECTOR_{} {number}", name.to_uppercase()).expect("a string takes everything");
    }
    text
}

/// Calls each hook whose collector looks at the probe, and asks each that decides; a weak stub stands for what is not linked.
fn dispatcher(names: &[String]) -> String {
    let mut text = String::from("#include <tracer/collectors.h>\n#include <tracer/dispatch.h>\n\n");
    for name in names {
        for kind in ["HOOK", "REFUSE", "SELECT"] {
            writeln!(text, "__weak {kind}({name})\n{{\n\treturn 0;\n}}\n").expect("a string takes everything");
        }
    }
    for (function, call) in [
        ("call_hooks", ")\n\t\thook_NAME(hit);\n"),
        ("is_refused", " && refuse_NAME(hit))\n\t\treturn 1;\n"),
        ("is_selected", " && select_NAME(hit))\n\t\treturn 1;\n"),
    ] {
        writeln!(text, "INTERNAL int {function}(struct hit *hit)\n{{").expect("a string takes everything");
        for name in names {
            write!(text, "\tif (hit->probe && hit->probe->collectors & 1U << COLLECTOR_{}", name.to_uppercase())
                .expect("a string takes everything");
            text.push_str(&call.replace("NAME", name));
        }
        text.push_str("\treturn 0;\n}\n\n");
    }
    text
}
