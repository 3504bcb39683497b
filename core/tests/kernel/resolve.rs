// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what was asked for to probes, on a made-up kernel.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tracer_core::kernel::Kernel;
use tracer_core::probe::{PacketPlace, ProbeSpec, Resolution, resolve};

use crate::btf_builder::BtfBuilder;

struct FakeKernel {
    root: TempDir,
}

impl FakeKernel {
    fn new() -> Self {
        let mut vmlinux = BtfBuilder::new();
        let skb = vmlinux.structure("sk_buff");
        let skb = vmlinux.pointer(skb);
        let skb_pointer = vmlinux.pointer(skb);
        let device = vmlinux.structure("net_device");
        let device = vmlinux.pointer(device);
        let net = vmlinux.structure("net");
        let net = vmlinux.pointer(net);
        let by_value = vmlinux.structure("sockptr");
        let number = vmlinux.int("int");
        vmlinux.function("ip_rcv", &[("skb", skb), ("dev", device)]);
        vmlinux.function("udp_rcv", &[("skb", skb)]);
        vmlinux.function("udp_sendmsg", &[("len", number)]);
        vmlinux.function("udp_inlined", &[("skb", skb)]);
        vmlinux.function("trace_event_raw_event_udp", &[("skb", skb)]);
        vmlinux.function("br_handle_frame", &[("pskb", skb_pointer)]);
        vmlinux.function("enqueue", &[("to_free", skb_pointer)]);
        vmlinux.function("takes_a_struct", &[("ptr", by_value), ("skb", skb)]);
        vmlinux.function(
            "many",
            &[("a", number), ("b", number), ("c", number), ("d", number), ("e", number), ("f", number), ("skb", skb)],
        );
        vmlinux.function("cleanup_net", &[("net", net)]);
        // Two functions of one name that differ.
        vmlinux.function("dst_output", &[("skb", skb)]);
        vmlinux.function("dst_output", &[("n", number), ("skb", skb)]);
        vmlinux.tracepoint("netif_rx", &[("skb", skb)]);
        vmlinux.tracepoint("net_dev_xmit", &[("skb", skb), ("rc", number), ("dev", device)]);
        vmlinux.tracepoint("napi_poll", &[("work", number)]);
        let mut module = BtfBuilder::on(&vmlinux);
        module.function("ovs_dp_process_packet", &[("skb", skb)]);

        let root = tempfile::tempdir().expect("the fake tree can be made");
        let btf = root.path().join("sys/kernel/btf");
        fs::create_dir_all(&btf).expect("the fake tree can be made");
        fs::write(btf.join("vmlinux"), vmlinux.build()).expect("the fake tree can be made");
        fs::write(btf.join("openvswitch"), module.build()).expect("the fake tree can be made");
        Self { root }
    }

    fn with_tracefs(self) -> Self {
        let tracing = self.path().join("sys/kernel/tracing");
        let mut events = String::new();
        for event in ["net:netif_rx", "net:net_dev_xmit", "napi:napi_poll"] {
            let folder = tracing.join("events").join(event.replace(':', "/"));
            fs::create_dir_all(&folder).expect("the fake tree can be made");
            fs::write(folder.join("id"), "1\n").expect("the fake tree can be made");
            events += &format!("{event}\n");
        }
        fs::write(tracing.join("available_events"), events).expect("the fake tree can be made");
        let functions = "ip_rcv\nudp_rcv\nudp_sendmsg\novs_dp_process_packet [openvswitch]\n";
        fs::write(tracing.join("available_filter_functions"), functions).expect("the fake tree can be made");
        self
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn resolve(&self, specs: &[&str]) -> Result<Resolution, String> {
        let specs: Vec<ProbeSpec> = specs.iter().map(|spec| spec.parse().expect("the spec is well-formed")).collect();
        resolve(&Kernel::new(self.path()), &specs).map_err(|error| error.to_string())
    }

    fn packet(&self, spec: &str) -> PacketPlace {
        self.resolve(&[spec]).expect("the probe exists").probes[0].packet
    }

    fn names(&self, specs: &[&str]) -> Vec<String> {
        self.resolve(specs).expect("the probes exist").probes.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn finds_where_the_packet_is() {
    let kernel = FakeKernel::new();
    assert_eq!(kernel.packet("ip_rcv"), PacketPlace::Argument(0));
    assert_eq!(kernel.packet("many"), PacketPlace::Argument(6), "on the stack");
    assert_eq!(kernel.packet("br_handle_frame"), PacketPlace::Behind { argument: 0, offset: 0 });
    assert_eq!(kernel.packet("enqueue"), PacketPlace::Nowhere, "a list to put packets on");
    assert_eq!(kernel.packet("takes_a_struct"), PacketPlace::Nowhere, "behind a struct that takes some registers");
    assert_eq!(kernel.packet("dst_output"), PacketPlace::Nowhere, "one of two functions");
    assert_eq!(kernel.packet("ovs_dp_process_packet"), PacketPlace::Argument(0), "in a module");
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
    assert_eq!(error("tp:net:nothing"), "this kernel has no tracepoint `net:nothing`");
    assert_eq!(error("tp:net:*"), "`raw_tracepoint:net:*` needs tracefs, to know the groups of tracepoints");
    assert_eq!(
        error("xyz_*"),
        "`kprobe:xyz_*` fits 0 functions of this kernel, and none that takes a packet and can be probed"
    );
    let kernel = FakeKernel::new().with_tracefs();
    assert_eq!(
        kernel.resolve(&["tp:skb:netif_rx"]).unwrap_err(),
        "this kernel has no tracepoint `skb:netif_rx`",
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
    assert_eq!(found.warnings, ["this kernel has no tracepoint `net:nothing`"]);
}
