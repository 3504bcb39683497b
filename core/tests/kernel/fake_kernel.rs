// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A made-up kernel: its types, and as much of its symbols and of tracefs as a test wants.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tracer_core::kernel::Kernel;
use tracer_core::probe::{PacketPlace, ProbeSpec, Resolution, resolve};

use crate::btf_builder::BtfBuilder;

/// A tree of `/proc` and `/sys`, gone when dropped.
pub(crate) struct FakeKernel {
    root: TempDir,
}

impl FakeKernel {
    pub(crate) fn new() -> Self {
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
        vmlinux.function("ip_fragment", &[("skb", skb)]);
        vmlinux.function("irq_enter", &[]);
        vmlinux.function("cleanup_net", &[("net", net)]);
        // Two functions of one name that differ.
        vmlinux.function("dst_output", &[("skb", skb)]);
        vmlinux.function("dst_output", &[("n", number), ("skb", skb)]);
        // Where the names of a tracepoint's arguments are.
        vmlinux.function("__traceiter_netif_rx", &[("__data", number), ("skb", skb)]);
        vmlinux.tracepoint("netif_rx", &[("", skb)]);
        vmlinux.tracepoint("net_dev_xmit", &[("skb", skb), ("rc", number), ("dev", device)]);
        vmlinux.tracepoint("napi_poll", &[("work", number)]);
        let mut module = BtfBuilder::on(&vmlinux);
        module.function("ovs_dp_process_packet", &[("skb", skb)]);
        let held = module.structure_of("nft_pktinfo", 24, &[("flags", number, 0), ("skb", skb, 64)]);
        let held = module.pointer(held);
        module.function("nft_do_chain", &[("pkt", held), ("priv", number)]);
        let trace = module.structure_of("nft_traceinfo", 24, &[("type", number, 0), ("pkt", held, 128)]);
        let trace = module.pointer(trace);
        module.function("nft_trace_notify", &[("n", number), ("info", trace)]);

        let root = tempfile::tempdir().expect("the fake tree can be made");
        let btf = root.path().join("sys/kernel/btf");
        fs::create_dir_all(&btf).expect("the fake tree can be made");
        fs::write(btf.join("vmlinux"), vmlinux.build()).expect("the fake tree can be made");
        fs::write(btf.join("openvswitch"), module.build()).expect("the fake tree can be made");
        Self { root }
    }

    pub(crate) fn with_tracefs(self) -> Self {
        let tracing = self.path().join("sys/kernel/tracing");
        let mut events = String::new();
        for event in ["net:netif_rx", "net:net_dev_xmit", "napi:napi_poll"] {
            let folder = tracing.join("events").join(event.replace(':', "/"));
            fs::create_dir_all(&folder).expect("the fake tree can be made");
            fs::write(folder.join("id"), "1\n").expect("the fake tree can be made");
            events += &format!("{event}\n");
        }
        fs::write(tracing.join("available_events"), events).expect("the fake tree can be made");
        let functions = "ip_rcv\nudp_rcv\nudp_sendmsg\nenqueue\ntakes_a_struct\nmany\ncleanup_net\n\
            ip_fragment.constprop.0\nnot_in_btf\novs_dp_process_packet [openvswitch]\nbr_handle_frame [bridge]\n";
        fs::write(tracing.join("available_filter_functions"), functions).expect("the fake tree can be made");
        self
    }

    /// Writes a file below the root.
    pub(crate) fn with(self, path: &str, text: &str) -> Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("the fake tree can be made");
        fs::write(path, text).expect("the fake tree can be made");
        self
    }

    /// `ip_rcv`, `udp_*`, `many`, ... have a symbol; `dst_output` has two, `udp_inlined` none, `ip_fragment` a suffixed one.
    pub(crate) fn with_symbols(self) -> Self {
        let mut symbols = String::new();
        let functions = [
            "ip_rcv",
            "udp_rcv",
            "udp_sendmsg",
            "trace_event_raw_event_udp",
            "enqueue",
            "takes_a_struct",
            "many",
            "cleanup_net",
            "dst_output",
            "dst_output",
            "ip_fragment.constprop.0",
            "not_in_btf",
            "irq_enter",
            "bpf_ktime_get_coarse_ns",
            "register_fprobe_ips",
        ];
        for (index, name) in functions.iter().enumerate() {
            symbols += &format!("{:016x} T {name}\n", 0xffff_ffff_8100_0000_u64 + 64 * index as u64);
        }
        symbols += "ffffffffc0000000 t ovs_dp_process_packet\t[openvswitch]\n";
        symbols += "ffffffffc0000100 t br_handle_frame\t[bridge]\n";
        self.with("proc/kallsyms", &symbols)
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn resolve(&self, specs: &[&str]) -> Result<Resolution, String> {
        let specs: Vec<ProbeSpec> = specs.iter().map(|spec| spec.parse().expect("the spec is well-formed")).collect();
        resolve(&Kernel::new(self.path()), &specs).map_err(|error| error.to_string())
    }

    pub(crate) fn packet(&self, spec: &str) -> PacketPlace {
        self.resolve(&[spec]).expect("the probe exists").probes[0].packet
    }

    pub(crate) fn names(&self, specs: &[&str]) -> Vec<String> {
        self.resolve(specs).expect("the probes exist").probes.iter().map(ToString::to_string).collect()
    }
}
