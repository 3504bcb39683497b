// SPDX-License-Identifier: Apache-2.0 OR MIT
//! For build scripts: turns eBPF C into objects, and the structs that it shares with user space into Rust.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `source` (`NAME.bpf.c`) to `OUT_DIR/NAME.bpf.o`.
///
/// # Panics
/// When clang is missing or refuses the source, with what it said: in a build script that is the error report.
pub fn compile(source: &Path, includes: &[PathBuf]) -> PathBuf {
    let name = source.file_stem().expect("a source file has a name").to_string_lossy();
    compile_as(source, &name, includes)
}

/// Like [`compile`], for sources of the same name in several folders: the object is `OUT_DIR/NAME.o`.
///
/// # Panics
/// As [`compile`].
pub fn compile_as(source: &Path, name: &str, includes: &[PathBuf]) -> PathBuf {
    let object = out_dir().join(format!("{name}.o"));
    let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    let architecture = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => "x86",
        Ok("aarch64") => "arm64",
        other => panic!("no calling convention is known for {other:?}"),
    };
    let status = Command::new(&clang)
        .args([
            "-target",
            "bpf",
            "-O2",
            "-g",
            "-Wall",
            "-Wextra",
            "-Wno-unused-parameter",
            "-Wno-sign-compare",
            "-Werror",
        ])
        // v3: atomic operations that return a value, 32-bit jumps. No address-significance table: libbpf's linker refuses it.
        .args(["-mcpu=v3", "-fno-addrsig"])
        .arg(format!("-D__TARGET_ARCH_{architecture}"))
        // Paths of the build machine stay out of the debug information.
        .arg(format!("-fdebug-prefix-map={}=.", env::var("CARGO_MANIFEST_DIR").unwrap_or_default()))
        .arg(format!("-fdebug-prefix-map={}=.", out_dir().display()))
        .args(includes.iter().map(|dir| format!("-I{}", dir.display())))
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(&object)
        .status()
        .unwrap_or_else(|error| panic!("`{}` can't be run: {error}; hint: make setup", clang.display()));
    assert!(status.success(), "clang refuses {}", source.display());
    object
}

/// Translates the types of a header that C and Rust share into `OUT_DIR/NAME.rs`, with layout assertions.
///
/// # Panics
/// When the header can't be read.
pub fn bind(header: &Path, name: &str, allowed: &[&str]) {
    let mut builder = bindgen::Builder::default()
        .header(header.to_string_lossy())
        .rust_edition(bindgen::RustEdition::Edition2024)
        .use_core()
        .derive_default(true)
        // Longer arrays than 32 elements have no default value, and what is generated instead is unsafe.
        .no_default("packet_view")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .generate_comments(false)
        .layout_tests(true)
        .clang_args(["-include", "linux/types.h"])
        .raw_line("// Generated from the header that the eBPF programs include.");
    for pattern in allowed {
        builder = builder.allowlist_item(*pattern);
    }
    builder
        .generate()
        .unwrap_or_else(|error| panic!("{} can't be translated: {error}", header.display()))
        .write_to_file(out_dir().join(format!("{name}.rs")))
        .unwrap_or_else(|error| panic!("the translation of {} can't be written: {error}", header.display()));
}

/// Where cargo wants generated files.
///
/// # Panics
/// Outside a build script.
pub fn out_dir() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"))
}
