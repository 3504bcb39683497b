// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compiles the hooks that only tests have.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=ebpf");
    println!("cargo:rerun-if-env-changed=CLANG");
    let includes: Vec<PathBuf> =
        env::split_paths(&env::var_os("DEP_TRACER_EBPF_INCLUDE").expect("tracer-ebpf says where its headers are"))
            .collect();
    for hook in ["refused_dev.bpf.c", "refused_ns.bpf.c"] {
        tracer_ebpf_build::compile(&Path::new(env!("CARGO_MANIFEST_DIR")).join("ebpf").join(hook), &includes);
    }
}
