// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what was asked for to probes, on a made-up kernel.

use tracer_core::kernel::Kernel;
use tracer_core::probe::{ArgumentType, PacketPlace, ProbeSpec, WantedArgument, resolve};

use crate::btf_builder::BtfBuilder;
use crate::fake_kernel::FakeKernel;

#[test]
fn finds_where_the_packet_is() {
    let kernel = FakeKernel::new();
    assert_eq!(kernel.packet("ip_rcv"), PacketPlace::Argument(0));
    assert_eq!(kernel.packet("many"), PacketPlace::Argument(6), "on the stack");
    assert_eq!(kernel.packet("br_handle_frame"), PacketPlace::Behind { argument: 0, offset: 0, then: None });
    assert_eq!(kernel.packet("enqueue"), PacketPlace::Nowhere, "a list to put packets on");
    assert_eq!(kernel.packet("takes_a_struct"), PacketPlace::Nowhere, "behind a struct that takes some registers");
    assert_eq!(kernel.packet("dst_output"), PacketPlace::Nowhere, "one of two functions");
    assert_eq!(kernel.packet("ovs_dp_process_packet"), PacketPlace::Argument(0), "in a module");
    assert_eq!(kernel.packet("nft_do_chain"), PacketPlace::Behind { argument: 0, offset: 8, then: None });
    assert_eq!(
        kernel.packet("nft_trace_notify"),
        PacketPlace::Behind { argument: 1, offset: 16, then: Some(8) },
        "two structs away"
    );
    assert_eq!(kernel.names(&["*ovs_*", "nft_trace_notify"]).len(), 2);
    assert!(kernel.resolve(&["nft_do*"]).is_err(), "such functions are to be named");
    assert_eq!(kernel.packet("not_in_btf"), PacketPlace::Nowhere);
    assert_eq!(kernel.packet("tp:net:netif_rx"), PacketPlace::Argument(0));
}

#[test]
fn finds_device_and_namespace() {
    let found = FakeKernel::new().resolve(&["ip_rcv", "cleanup_net", "tp:net:net_dev_xmit"]).unwrap();
    assert_eq!(found.probes[0].device_argument, Some(1));
    assert_eq!(found.probes[1].namespace_argument, Some(0));
    assert_eq!(found.probes[2].device_argument, Some(2));
    assert!(found.probes[2].packet_may_be_gone);
    assert!(!found.probes[0].packet_may_be_gone);
}

#[test]
fn a_named_probe_without_a_packet_is_a_warning() {
    let found = FakeKernel::new().resolve(&["udp_sendmsg", "not_in_btf"]).unwrap();
    assert_eq!(
        found.warnings,
        [
            "`udp_sendmsg` takes no packet: its events will say when it ran, not for which packet",
            "`not_in_btf` is not described in the kernel's type information (BTF): its events will say when it ran, not for \
             which packet"
        ]
    );
}

#[test]
fn a_wildcard_stands_for_what_takes_a_packet_and_can_be_probed() {
    let kernel = FakeKernel::new();
    assert_eq!(
        kernel.names(&["udp_*"]),
        ["kprobe:udp_inlined", "kprobe:udp_rcv"],
        "without tracefs nobody knows better"
    );
    assert!(kernel.resolve(&["*udp"]).is_err(), "part of the tracing machinery");
    let kernel = kernel.with_tracefs();
    assert_eq!(kernel.names(&["udp_*"]), ["kprobe:udp_rcv"]);
    assert_eq!(
        kernel.names(&["kr:*_rcv", "ovs_*"]),
        ["kretprobe:ip_rcv", "kretprobe:udp_rcv", "kprobe:ovs_dp_process_packet"]
    );
    assert_eq!(kernel.names(&["tp:*:n*"]), ["raw_tracepoint:net:net_dev_xmit", "raw_tracepoint:net:netif_rx"]);
}

#[test]
fn says_what_does_not_exist() {
    let kernel = FakeKernel::new();
    let error = |spec: &str| kernel.resolve(&[spec]).unwrap_err();
    assert_eq!(
        error("tp:net:nothing"),
        "`raw_tracepoint:net:nothing` can't be probed: this kernel has no such tracepoint"
    );
    assert_eq!(
        error("tp:net:*"),
        format!(
            "`raw_tracepoint:net:*` needs tracefs, to know the groups of tracepoints: it is not mounted at `{}`",
            kernel.path().join("sys/kernel/tracing").display()
        )
    );
    assert_eq!(
        error("xyz_*"),
        "`kprobe:xyz_*` fits 0 functions of this kernel, and none that takes a packet and can be probed"
    );
    let kernel = FakeKernel::new().with_tracefs();
    assert_eq!(
        kernel.resolve(&["tp:skb:netif_rx"]).unwrap_err(),
        "`raw_tracepoint:skb:netif_rx` can't be probed: this kernel has no such tracepoint",
        "the group counts too"
    );
    assert_eq!(
        kernel.resolve(&["tp:napi:*"]).unwrap_err(),
        "`raw_tracepoint:napi:*` fits no tracepoint that has a packet"
    );
}

#[test]
fn what_is_asked_for_twice_is_there_once() {
    let kernel = FakeKernel::new();
    let found = kernel.resolve(&["udp_*", "udp_rcv/stack", "kr:udp_rcv"]).unwrap();
    let shown: Vec<_> = found.probes.iter().map(|probe| (probe.to_string(), probe.stack)).collect();
    assert_eq!(
        shown,
        [
            ("kprobe:udp_inlined".to_owned(), false),
            ("kprobe:udp_rcv".to_owned(), true),
            ("kretprobe:udp_rcv".to_owned(), false)
        ]
    );
}

#[test]
fn a_suggested_probe_may_be_missing() {
    let kernel = FakeKernel::new();
    let specs: Vec<ProbeSpec> =
        ["tp:net:nothing", "ip_rcv"].iter().map(|spec| spec.parse::<ProbeSpec>().unwrap().suggested()).collect();
    let found = resolve(&Kernel::new(kernel.path()), &specs).unwrap();
    assert_eq!(found.probes.len(), 1);
    assert_eq!(found.warnings, ["`raw_tracepoint:net:nothing` can't be probed: this kernel has no such tracepoint"]);
}

#[test]
fn finds_arguments_by_their_type_and_addresses_by_their_name() {
    let mut vmlinux = BtfBuilder::new();
    let skb = vmlinux.structure("sk_buff");
    let skb = vmlinux.pointer(skb);
    let void = vmlinux.pointer(0);
    let number = vmlinux.int("int");
    let reason = vmlinux.enumeration("skb_drop_reason", 4, false, &[("NO", 0)]);
    let result = vmlinux.pointer(reason);
    let constant = vmlinux.constant(reason);
    vmlinux.function("drop_it", &[("skb", skb), ("reason", constant)]);
    vmlinux.function("release", &[("skb", skb), ("reason", reason)]);
    vmlinux.function("may_drop", &[("skb", skb), ("reason", result)]);
    vmlinux.function("__traceiter_kfree_skb", &[("__data", void), ("skb", skb), ("location", void), ("n", number)]);
    vmlinux.tracepoint("kfree_skb", &[("", skb), ("", void), ("", reason)]);
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("sys/kernel/btf");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("vmlinux"), vmlinux.build()).unwrap();

    let places = |argument: ArgumentType| {
        let wanted = WantedArgument { argument, except: &["release"] };
        let specs: Vec<ProbeSpec> = ["drop_it", "kr:drop_it", "release", "may_drop", "tp:skb:kfree_skb"]
            .iter()
            .map(|spec| spec.parse().unwrap())
            .collect();
        let found = resolve(&Kernel::new(root.path()), &specs).unwrap();
        found.probes.iter().map(|probe| wanted.of(probe)).collect::<Vec<_>>()
    };
    let reason = places(ArgumentType::Enum("skb_drop_reason".into()));
    assert_eq!(reason, [Some(1), None, None, None, Some(2)], "not at returns, not behind a pointer");
    assert_eq!(places(ArgumentType::Address("location".into())), [None, None, None, None, Some(1)]);
    assert_eq!(places(ArgumentType::Struct("sk_buff".into()))[3], Some(0));
}
