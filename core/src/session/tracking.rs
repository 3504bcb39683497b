// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Following packets: which programs that takes on a kernel, and where they make events of their own.

use tracer_ebpf::wire;

use super::preflight;
use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;
use crate::kernel::btf::Types;

/// The programs of `buffers.bpf.c` and `links.bpf.c`, and the function that each sits at.
const TRACKING_PROGRAMS: [(&str, &str); 23] = [
    ("track_free_head", "skb_free_head"),
    ("track_free_head_2", "skb_free_head"),
    // Only where the first one is missing.
    ("track_release_data", "skb_release_data"),
    ("track_stolen_napi", "napi_skb_free_stolen_head"),
    ("track_stolen_partial", "kfree_skb_partial"),
    ("track_stolen_partial_2", "kfree_skb_partial"),
    ("track_reuse", "napi_reuse_skb"),
    ("track_expand_entry", "pskb_expand_head"),
    ("track_expand_exit", "pskb_expand_head"),
    ("link_copy", "skb_copy_header"),
    ("track_retransmit_entry", "__tcp_retransmit_skb"),
    ("track_retransmit_exit", "__tcp_retransmit_skb"),
    ("track_retransmit_outer_entry", "tcp_retransmit_skb"),
    ("track_retransmit_outer_exit", "tcp_retransmit_skb"),
    ("link_segments", "__skb_gso_segment"),
    ("link_fragment", "ip_frag_next"),
    ("link_fragment6", "ip6_frag_next"),
    ("link_fragments", "ip_fraglist_init"),
    ("link_fragments6", "ip6_fraglist_init"),
    ("link_merge", "skb_gro_receive"),
    ("link_merge_list", "skb_gro_receive_list"),
    ("link_fragment_queued", "inet_frag_queue_insert"),
    ("link_reassembly", "inet_frag_reasm_finish"),
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
    let known = vmlinux.functions(|name| TRACKING_PROGRAMS.iter().any(|(_, function)| *function == name));
    let exists = |function: &str| known.iter().any(|(name, _)| *name == function);
    let complete = exists("skb_free_head");
    if !complete && !exists("skb_release_data") {
        let missing = "packets can't be tracked: the kernel has neither `skb_free_head` nor `skb_release_data`";
        return Err(Error::new(ErrorKind::KernelLacks, missing));
    }
    let needed = TRACKING_PROGRAMS
        .iter()
        .filter(|(program, function)| exists(function) && (*program != "track_release_data" || !complete));
    Ok(needed.map(|(program, _)| *program).collect())
}
