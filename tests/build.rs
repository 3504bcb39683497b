// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compiles the hooks and the programs that only tests have.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=ebpf");
    println!("cargo:rerun-if-changed=programs");
    println!("cargo:rerun-if-env-changed=CLANG");
    let includes: Vec<PathBuf> =
        env::split_paths(&env::var_os("DEP_TRACER_EBPF_INCLUDE").expect("tracer-ebpf says where its headers are"))
            .collect();
    for hook in ["refused_dev.bpf.c", "refused_ns.bpf.c", "usdt_ns.bpf.c"] {
        tracer_ebpf_build::compile(&Path::new(env!("CARGO_MANIFEST_DIR")).join("ebpf").join(hook), &includes);
    }
    let program = tracer_ebpf_build::out_dir().join("usdt");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/usdt.c");
    let compiled = Command::new("cc").args(["-O2", "-o"]).args([&program, &source]).status();
    assert!(compiled.is_ok_and(|status| status.success()), "cc refuses {}", source.display());
    println!("cargo:rustc-env=USDT_PROGRAM={}", program.display());
}
