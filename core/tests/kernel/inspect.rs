// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be probed and why the rest can't, on a made-up kernel.

use tracer_core::kernel::Kernel;
use tracer_core::probe::inspect::{Inspection, Place, inspect, inspect_packets};
use tracer_core::probe::{AttachError, ProbeSpec};

use crate::fake_kernel::FakeKernel;

fn look(kernel: &FakeKernel, specs: &[&str]) -> Inspection {
    let specs: Vec<ProbeSpec> = specs.iter().map(|spec| spec.parse().expect("the spec is well-formed")).collect();
    inspect(&Kernel::new(kernel.path()), &specs).expect("there is something to see")
}

fn place(kernel: &FakeKernel, spec: &str) -> Place {
    look(kernel, &[spec]).places.remove(0)
}

fn whole() -> FakeKernel {
    FakeKernel::new().with_tracefs().with_symbols()
}

#[test]
fn shows_prototype_and_packet() {
    let kernel = whole();
    let shown = |spec: &str| {
        let place = place(&kernel, spec);
        (place.prototype.unwrap_or_default(), place.packet_name.or(place.no_packet.map(str::to_owned)))
    };
    let skb = Some("skb".to_owned());
    assert_eq!(shown("ip_rcv"), ("void ip_rcv(struct sk_buff *skb, struct net_device *dev)".to_owned(), skb.clone()));
    assert_eq!(
        shown("many"),
        ("void many(int a, int b, int c, int d, int e, int f, struct sk_buff *skb)".to_owned(), skb.clone())
    );
    assert_eq!(shown("tp:net:netif_rx"), ("void netif_rx(struct sk_buff *skb)".to_owned(), skb));
    assert_eq!(shown("udp_sendmsg").1.as_deref(), Some("it takes none"));
    assert_eq!(shown("enqueue").1.as_deref(), Some("it has only room for packets, not one that is handed in"));
    assert_eq!(
        shown("takes_a_struct").1.as_deref(),
        Some("a struct passed by value stands in front of it, and takes unknown room")
    );
    assert_eq!(
        shown("not_in_btf"),
        (
            String::new(),
            Some("the kernel's types (BTF) don't describe it, or differently for functions of one name".to_owned())
        )
    );
    assert_eq!(place(&kernel, "ovs_dp_process_packet").probe.module.as_deref(), Some("openvswitch"));
    let stack = place(&kernel, "many").probe;
    assert_eq!([5, 6, 7].map(|argument| stack.stack_offset(argument)), [None, Some(8), Some(16)]);
    assert_eq!(place(&kernel, "tp:net:netif_rx").probe.stack_offset(6), None);
}

#[test]
fn tells_apart_why_a_function_can_not_be_probed() {
    let kernel =
        whole().with("sys/kernel/debug/kprobes/blacklist", "0xffffffff81000300-0xffffffff81000310\tirq_enter\n");
    let obstacle = |spec: &str| place(&kernel, spec).obstacle;
    assert_eq!(obstacle("ip_rcv"), None);
    assert_eq!(obstacle("kr:not_in_btf"), None);
    assert_eq!(obstacle("ip_rvc"), Some(AttachError::Missing(vec!["ip_rcv".to_owned()])));
    assert_eq!(obstacle("xyz"), Some(AttachError::Missing(Vec::new())));
    assert_eq!(obstacle("udp_inlined"), Some(AttachError::Inlined));
    assert_eq!(obstacle("ip_fragment"), Some(AttachError::Suffixed("ip_fragment.constprop.0".to_owned())));
    assert_eq!(obstacle("ip_fragment.constprop.0"), None);
    assert_eq!(obstacle("dst_output"), Some(AttachError::Ambiguous(2)));
    assert_eq!(obstacle("irq_enter"), Some(AttachError::Blacklisted));
    assert_eq!(obstacle("trace_event_raw_event_udp"), Some(AttachError::NotTraceable));
    assert_eq!(obstacle("tp:net:netif_rxx"), Some(AttachError::NoTracepoint(vec!["net:netif_rx".to_owned()])));
    assert_eq!(obstacle("tp:net:netif_rx"), None);
}

#[test]
fn every_reason_has_its_text() {
    let mut text = String::new();
    for error in [
        AttachError::Missing(vec!["ip_rcv".to_owned(), "udp_rcv".to_owned()]),
        AttachError::Missing(Vec::new()),
        AttachError::Inlined,
        AttachError::Suffixed("ip_fragment.constprop.0".to_owned()),
        AttachError::Ambiguous(2),
        AttachError::Blacklisted,
        AttachError::NotTraceable,
        AttachError::Refused,
        AttachError::NoTracepoint(vec!["net:netif_rx".to_owned()]),
        AttachError::NotPermitted("run as root, or with CAP_BPF".to_owned()),
        AttachError::Other("Too many open files (os error 24)".to_owned()),
    ] {
        text += &format!("{error}\nhint: {}\n\n", error.hint().as_deref().unwrap_or("-"));
    }
    insta::assert_snapshot!("attach_errors", text.trim_end());
}

#[test]
fn a_wildcard_shows_all_that_it_fits_with_or_without_a_packet() {
    let names = |specs: &[&str]| -> Vec<String> {
        look(&whole(), specs).places.iter().map(|place| place.probe.to_string()).collect()
    };
    assert_eq!(names(&["udp_*", "udp_rcv"]), ["kprobe:udp_inlined", "kprobe:udp_rcv", "kprobe:udp_sendmsg"]);
    assert_eq!(names(&["tp:n*:n*"]).len(), 3, "one of them without a packet");
    assert_eq!(names(&["kr:ip_*"]), ["kretprobe:ip_fragment", "kretprobe:ip_fragment.constprop.0", "kretprobe:ip_rcv"]);
    let nothing = inspect(&Kernel::new(whole().path()), &["xyz_*".parse().unwrap()]).unwrap_err();
    assert_eq!(nothing.to_string(), "`kprobe:xyz_*` fits no function of this kernel");
}

#[test]
fn without_a_pattern_all_that_has_a_packet_is_shown() {
    let found = inspect_packets(&Kernel::new(whole().path())).unwrap();
    let shown: Vec<String> = found
        .places
        .iter()
        .map(|place| format!("{}{}", place.probe, if place.obstacle.is_some() { " -" } else { "" }))
        .collect();
    assert_eq!(
        shown,
        [
            "kprobe:__traceiter_netif_rx -",
            "kprobe:br_handle_frame",
            "kprobe:ip_fragment -",
            "kprobe:ip_rcv",
            "kprobe:many",
            "kprobe:nft_do_chain -",
            "kprobe:nft_trace_notify -",
            "kprobe:ovs_dp_process_packet",
            "kprobe:trace_event_raw_event_udp -",
            "kprobe:udp_inlined -",
            "kprobe:udp_rcv",
            "raw_tracepoint:net:net_dev_xmit",
            "raw_tracepoint:net:netif_rx",
        ]
    );
    assert_eq!(found.unseen, [""; 0]);
}

#[test]
fn says_what_it_could_not_see() {
    let kernel = FakeKernel::new();
    let found = look(&kernel, &["udp_*", "tp:*"]);
    let unseen: Vec<String> =
        found.unseen.iter().map(|unseen| unseen.replace(&kernel.path().display().to_string(), "")).collect();
    assert_eq!(
        unseen,
        [
            "the kernel's symbols at `/proc/kallsyms`: No such file or directory (os error 2); which functions exist, and \
             how often, is not known",
            "tracefs: it is not mounted at `/sys/kernel/tracing`; the groups of tracepoints, and which functions can be \
             traced, are not known",
        ]
    );
    let shown: Vec<String> = found.places.iter().map(|place| place.probe.to_string()).collect();
    assert_eq!(shown.len(), 6, "three functions and three tracepoints: {shown:?}");
    assert!(shown.contains(&"raw_tracepoint:?:netif_rx".to_owned()), "its group is not known: {shown:?}");
    assert!(found.places.iter().all(|place| place.obstacle.is_none()));
}
