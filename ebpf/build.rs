// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compiles the programs and translates the wire format.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libbpf = PathBuf::from(env::var_os("DEP_BPF_INCLUDE").expect("libbpf-sys says where its headers are"));
    let includes = [own.join("include"), libbpf];
    println!("cargo:rerun-if-changed=include");
    println!("cargo:rerun-if-changed=programs");
    println!("cargo:rerun-if-env-changed=CLANG");
    println!("cargo:include={}", env::join_paths(&includes).expect("no path holds a colon").display());

    let mut sources: Vec<_> = fs::read_dir(own.join("programs"))
        .expect("the programs are here")
        .map(|entry| entry.expect("the folder is readable").path())
        .collect();
    sources.sort();
    let mut table = String::new();
    for source in sources {
        let object = tracer_ebpf_build::compile(&source, &includes);
        let name = source.file_name().expect("a source file has a name").to_string_lossy().replace(".bpf.c", "");
        writeln!(
            table,
            "/// The object made of `programs/{name}.bpf.c`.\npub const {}: &[u8] = include_bytes!({:?});",
            name.to_uppercase(),
            object
        )
        .expect("a string takes everything");
    }
    fs::write(tracer_ebpf_build::out_dir().join("objects.rs"), table).expect("OUT_DIR is writable");
    tracer_ebpf_build::bind(
        &own.join("include/tracer/wire.h"),
        "wire",
        &[
            "(NO_ARGUMENT|INDEX_MARK|RETURN_ADDRESS_BIT|REGISTER_ARGUMENTS|STACK_ARGUMENTS|STACK_DEPTH|EVENT_FIXED_SIZE|SKB_COPY_SIZE|FILTER_WINDOW|OUT_OF_RANGE|MAX_FILTERS|ARGUMENT_SLOTS|SCRATCH_SLOTS|COLLECTOR_CORE|SAMPLING_ALL|AVERAGE_ONE|LEFT_OUT)",
            "(PROBE|LOSS|CORE|PACKET|TUNNEL|LINK|PLACE)_.*",
            "(probe_flags|probe_config|packet_view|packet_kind|tunnel_kind|record_header|section_header|core_section|loss_cause|loss_counters|tracking_counters|sampling|packet_id|tracked_packet|packet_link|link_kind|link_place)",
        ],
    );
}
