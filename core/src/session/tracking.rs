// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Following packets: which programs that takes on a kernel, and where they make events of their own.

use tracer_ebpf::wire;

use super::preflight;
use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;
use crate::kernel::btf::Types;

/// A program of `buffers.bpf.c` or `links.bpf.c`.
struct TrackingProgram {
    name: &'static str,
    /// Where it sits.
    function: &'static str,
    module: Option<&'static str>,
    /// It is needed only where this function is missing.
    instead_of: Option<&'static str>,
}

const fn at(name: &'static str, function: &'static str) -> TrackingProgram {
    TrackingProgram { name, function, module: None, instead_of: None }
}

const TRACKING_PROGRAMS: [TrackingProgram; 29] = [
    at("track_free_head", "skb_free_head"),
    at("track_free_head_2", "skb_free_head"),
    TrackingProgram { instead_of: Some("skb_free_head"), ..at("track_release_data", "skb_release_data") },
    at("track_stolen_napi", "napi_skb_free_stolen_head"),
    at("track_stolen_partial", "kfree_skb_partial"),
    at("track_stolen_partial_2", "kfree_skb_partial"),
    at("track_reuse", "napi_reuse_skb"),
    at("track_reuse_2", "napi_reuse_skb"),
    at("track_expand_entry", "pskb_expand_head"),
    at("track_expand_exit", "pskb_expand_head"),
    at("track_xdp_entry", "skb_pp_cow_data"),
    at("track_xdp_exit", "skb_pp_cow_data"),
    TrackingProgram {
        module: Some("veth"),
        instead_of: Some("skb_pp_cow_data"),
        ..at("track_veth_entry", "veth_xdp_rcv_skb")
    },
    TrackingProgram {
        module: Some("veth"),
        instead_of: Some("skb_pp_cow_data"),
        ..at("track_veth_exit", "veth_xdp_rcv_skb")
    },
    at("track_copy", "skb_copy"),
    at("track_copy_expand", "skb_copy_expand"),
    at("track_copy_head", "__pskb_copy_fclone"),
    at("track_retransmit_entry", "__tcp_retransmit_skb"),
    at("track_retransmit_exit", "__tcp_retransmit_skb"),
    at("track_segments", "__skb_gso_segment"),
    at("track_fragment", "ip_frag_next"),
    at("track_fragment6", "ip6_frag_next"),
    at("track_fragments", "ip_fraglist_init"),
    at("track_fragments6", "ip6_fraglist_init"),
    at("track_merge", "skb_gro_receive"),
    at("track_merge_list", "skb_gro_receive_list"),
    at("track_fragment_entry", "inet_frag_queue_insert"),
    at("track_fragment_exit", "inet_frag_queue_insert"),
    at("track_reassembly", "inet_frag_reasm_finish"),
];

/// The functions at which tracking makes events of its own, when they return, in the order of `enum link_place`.
pub(super) const LINK_PLACES: [&str; wire::LINK_PLACES as usize] =
    ["skb_gro_receive", "skb_gro_receive_list", "inet_frag_reasm_finish"];

/// The programs that keep the table of tracked packets true on this kernel.
///
/// # Errors
/// When the kernel has no function at which the end of a packet can be seen.
pub(crate) fn tracking_programs(kernel: &Kernel) -> Result<Vec<&'static str>, Error> {
    if kernel.has_ftrace_off() {
        return Err(preflight::ftrace_error("packets can't be tracked"));
    }
    let vmlinux = Types::new(kernel.vmlinux()?, None);
    let known = vmlinux.functions(|name| TRACKING_PROGRAMS.iter().any(|program| program.function == name));
    let exists = |function: &str| known.iter().any(|(name, _)| *name == function);
    if !exists("skb_free_head") && !exists("skb_release_data") {
        let missing = "packets can't be tracked: the kernel has neither `skb_free_head` nor `skb_release_data`";
        return Err(Error::new(ErrorKind::KernelLacks, missing));
    }
    let mut needed = Vec::new();
    for program in &TRACKING_PROGRAMS {
        let is_there = match program.module {
            _ if program.instead_of.is_some_and(exists) => false,
            None => exists(program.function),
            Some(module) => module_has(kernel, module, program.function)?,
        };
        if is_there {
            needed.push(program.name);
        }
    }
    Ok(needed)
}

/// Whether a module is loaded and has a function.
fn module_has(kernel: &Kernel, module: &str, function: &str) -> Result<bool, Error> {
    let Some((_, btf)) = kernel.modules()?.iter().find(|(name, _)| name == module) else { return Ok(false) };
    Ok(Types::new(btf, Some(kernel.vmlinux()?)).function_id(function).is_some())
}
