// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a machine offers, read from made-up trees.

use tracer_core::error::{Error, ErrorKind};
use tracer_core::kernel::Kernel;
use tracer_core::kernel::features::{Features, MoreFeatures};
use tracer_core::kernel::privileges::{Capability, list, needed};
use tracer_core::kernel::settings::Lockdown;
use tracer_core::overview::{Overview, Trial};

use crate::fake_kernel::FakeKernel;

const FIRST_NAMESPACE: &str = "         0          0 4294967295\n";

/// Of a process with these capabilities.
fn with_capabilities(kernel: FakeKernel, capabilities: &[Capability]) -> FakeKernel {
    let bits = capabilities.iter().fold(0, |bits, capability| bits | capability.bitmask());
    kernel
        .with("proc/self/status", &format!("Name:\ttracer\nCapPrm:\t0000000000000000\nCapEff:\t{bits:016x}\n"))
        .with("proc/self/uid_map", FIRST_NAMESPACE)
}

fn whole() -> FakeKernel {
    let kernel = FakeKernel::new()
        .with_tracefs()
        .with_symbols()
        .with("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
        .with("sys/kernel/debug/kprobes/enabled", "1\n")
        .with("sys/kernel/debug/kprobes/blacklist", "0x1-0x2\tirq_enter\n")
        .with("sys/module/openvswitch/refcnt", "0\n")
        .with("proc/sys/kernel/ftrace_enabled", "1\n")
        .with("proc/sys/kernel/perf_event_paranoid", "-1\n");
    with_capabilities(kernel, &[Capability::CAP_SYS_ADMIN, Capability::CAP_SYSLOG, Capability::CAP_DAC_READ_SEARCH])
}

fn shown(kernel: &FakeKernel, tried: Result<Trial, Error>) -> String {
    let mut overview = Overview::new(&Kernel::new(kernel.path()), &[], tried);
    // Those of the kernel that the test runs on.
    overview.release = "6.12".to_owned();
    overview.version = "#1".to_owned();
    overview.architecture = "x86_64".to_owned();
    let text = serde_json::to_string_pretty(&overview).expect("it is plain data");
    text.replace(&kernel.path().display().to_string(), "")
}

#[test]
fn a_machine_that_offers_everything() {
    let features = Features {
        fetch_atomics: true,
        cookies: true,
        tracepoint_cookies: true,
        kprobe_multi: true,
        kprobe_session: true,
        direct_reads: true,
        reads_memory: true,
        counts_misses: false,
    };
    let more = MoreFeatures { ring_buffer: true, fentry: true };
    insta::assert_snapshot!("overview_whole", shown(&whole(), Ok(Trial { features, more })));
}

#[test]
fn a_machine_that_tells_nothing() {
    let kernel = FakeKernel::new();
    std::fs::remove_dir_all(kernel.path().join("sys")).unwrap();
    let refused = Error::new(ErrorKind::NotPermitted, "the kernel does not let this process load eBPF programs");
    insta::assert_snapshot!("overview_nothing", shown(&kernel, Err(refused)));
}

#[test]
fn reads_the_mode_of_lockdown() {
    let mode = |text: &str| {
        let kernel = FakeKernel::new().with("sys/kernel/security/lockdown", text);
        Kernel::new(kernel.path()).lockdown()
    };
    assert_eq!(mode("[none] integrity confidentiality\n"), Some(Lockdown::None));
    assert_eq!(mode("none [integrity] confidentiality\n"), Some(Lockdown::Integrity));
    assert_eq!(mode("none integrity [confidentiality]\n"), Some(Lockdown::Confidentiality));
    assert_eq!(mode("something else"), None);
    assert_eq!(Kernel::new(FakeKernel::new().path()).lockdown(), None);
}

#[test]
fn knows_which_capabilities_are_enough() {
    let enough = |kernel: FakeKernel| list(&needed(&Kernel::new(kernel.path())));
    let closed = |kernel: FakeKernel| kernel.with("proc/sys/kernel/perf_event_paranoid", "3\n");
    let without = |symbol: &str| {
        let kernel = FakeKernel::new().with_symbols();
        let symbols = std::fs::read_to_string(kernel.path().join("proc/kallsyms")).unwrap();
        kernel.with("proc/kallsyms", &symbols.replace(symbol, "other"))
    };
    let usual = "CAP_BPF, CAP_PERFMON, CAP_SYSLOG and CAP_DAC_READ_SEARCH";
    assert_eq!(enough(FakeKernel::new().with_symbols()), usual);
    assert_eq!(enough(closed(FakeKernel::new().with_symbols())), usual, "kprobe.multi does not come through perf");
    assert_eq!(enough(without("register_fprobe_ips")), usual);
    assert_eq!(enough(closed(without("register_fprobe_ips"))), "CAP_SYS_ADMIN, CAP_SYSLOG and CAP_DAC_READ_SEARCH");
    assert_eq!(
        enough(without("bpf_ktime_get_coarse_ns")),
        "CAP_BPF, CAP_PERFMON, CAP_SYS_RESOURCE, CAP_SYSLOG and CAP_DAC_READ_SEARCH"
    );
}

#[test]
fn capabilities_count_in_the_first_user_namespace_only() {
    let kernel = with_capabilities(FakeKernel::new(), &[Capability::CAP_SYS_ADMIN]);
    let privileges = Kernel::new(kernel.path()).privileges();
    assert!(
        privileges.has(Capability::CAP_BPF) && privileges.has(Capability::CAP_PERFMON),
        "CAP_SYS_ADMIN stands for them"
    );
    assert!(!privileges.has(Capability::CAP_SYSLOG));
    let kernel = kernel.with("proc/self/uid_map", "         0       1000          1\n");
    let privileges = Kernel::new(kernel.path()).privileges();
    assert!(privileges.in_user_namespace && !privileges.has(Capability::CAP_SYS_ADMIN));
}
