// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What this machine offers to trace with, and what the process may use of it.

use serde::Serialize;

use crate::collector::Collector;
use crate::error::Error;
use crate::kernel::btf::Types;
use crate::kernel::features::{Features, MoreFeatures};
use crate::kernel::limits;
use crate::kernel::privileges::{self, Capability};
use crate::kernel::{Kernel, privileges::Privileges};
use crate::probe::inspect::inspect_packets;

/// The modules that packets pass through and that are not always there.
const MODULES: [&str; 7] = ["openvswitch", "nf_tables", "nf_conntrack", "nf_nat", "br_netfilter", "bridge", "vxlan"];

/// The settings of the kernel that matter, as `sysctl` calls them.
const SETTINGS: [&str; 6] = [
    "kernel.ftrace_enabled",
    "kernel.kptr_restrict",
    "kernel.perf_event_paranoid",
    "kernel.unprivileged_bpf_disabled",
    "net.core.bpf_jit_enable",
    "debug.kprobes-optimization",
];

/// All of it. What is `None` could not be found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// As `uname -r` says.
    pub release: String,
    /// As `uname -v` says.
    pub version: String,
    /// As `uname -m` says.
    pub architecture: String,
    /// What the process may do.
    pub privileges: Permission,
    /// `none`, `integrity` or `confidentiality`; nothing when the kernel has no lockdown, or securityfs can't be read.
    pub lockdown: Option<&'static str>,
    /// What the kernel says about itself.
    pub sources: Vec<Source>,
    /// What the kernel can do, found out by trying.
    pub features: Tried,
    /// Settings and their values.
    pub settings: Vec<Setting>,
    /// Single kprobes are armed.
    pub kprobes_enabled: Option<bool>,
    /// Functions that kprobes must not touch.
    pub kprobe_blacklist: Option<usize>,
    /// Modules of interest.
    pub modules: Vec<Module>,
    /// Functions and tracepoints with a packet; nothing without BTF.
    pub packets: Option<Packets>,
    /// The collectors.
    pub collectors: Vec<CollectorState>,
}

/// What the process may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Permission {
    /// Everything here can be used.
    pub sufficient: bool,
    /// The capabilities that are enough here.
    pub needed: Vec<String>,
    /// Those of them that the process lacks.
    pub missing: Vec<String>,
    /// The process is in a user namespace, where capabilities do not count.
    pub in_user_namespace: bool,
}

/// Something that the kernel says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// E.g. `kallsyms`.
    pub name: &'static str,
    /// It can be read.
    pub readable: bool,
    /// What it holds, or why it can't be read.
    pub note: String,
}

/// Features of BPF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// By name. Empty when nothing could be tried.
    pub found: Vec<Feature>,
    /// Why nothing could be tried.
    pub error: Option<String>,
}

/// A feature of BPF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// E.g. `kprobe.multi`.
    pub name: &'static str,
    /// The kernel has it.
    pub available: bool,
    /// What it is good for.
    pub about: &'static str,
    /// What the kernel can't do, where it does not have it.
    pub limit: Option<&'static str>,
}

/// A setting of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// As `sysctl` calls it.
    pub name: &'static str,
    /// Nothing when the kernel does not have it.
    pub value: Option<i64>,
}

/// A module of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Module {
    /// Its name.
    pub name: &'static str,
    /// It is loaded, or built in.
    pub loaded: bool,
}

/// How many places have a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Packets {
    /// Functions.
    pub functions: usize,
    /// Those of them that can be probed.
    pub probeable_functions: usize,
    /// Tracepoints.
    pub tracepoints: usize,
}

/// Whether a collector can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CollectorState {
    /// Its name.
    pub name: &'static str,
    /// It can run.
    pub available: bool,
    /// Why not.
    pub why_not: Option<String>,
    /// What it can't do here.
    pub limits: Vec<&'static str>,
}

impl Overview {
    /// Puts it together. `tried` is what came out when the running kernel was asked by trying.
    pub fn new(kernel: &Kernel, collectors: &[&'static Collector], tried: Result<Trial, Error>) -> Self {
        let release = kernel.release();
        let permission = Permission::new(kernel, kernel.privileges());
        Self {
            release: release.release,
            version: release.version,
            architecture: release.machine,
            lockdown: kernel.lockdown().map(|mode| mode.name()),
            sources: sources(kernel),
            settings: SETTINGS
                .iter()
                .map(|&name| Setting { name, value: kernel.setting(&name.replace('.', "/")) })
                .collect(),
            kprobes_enabled: kernel.kprobes_enabled(),
            kprobe_blacklist: kernel.kprobe_blacklist().map(|names| names.len()),
            modules: MODULES.iter().map(|&name| Module { name, loaded: kernel.has_module(name) }).collect(),
            packets: packets(kernel),
            collectors: collectors
                .iter()
                .map(|collector| collector_state(kernel, collector, tried.as_ref().err()))
                .collect(),
            features: match tried {
                Ok(trial) => Tried { found: trial.list(), error: None },
                Err(error) => Tried { found: Vec::new(), error: Some(error.to_string()) },
            },
            privileges: permission,
        }
    }
}

/// What trying out gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What decides how probes are attached.
    pub features: Features,
    /// The rest.
    pub more: MoreFeatures,
}

impl Trial {
    /// Tries the running kernel.
    ///
    /// # Errors
    /// As when a session is opened: the process may not, or the kernel can't.
    pub fn run(kernel: &Kernel) -> Result<Self, Error> {
        let features = crate::session::features(kernel)?;
        // A function at which packets end; any other would do.
        let types = kernel.vmlinux().map(|vmlinux| Types::new(vmlinux, None)).ok();
        let function = types.and_then(|types| types.function_id("kfree_skb_partial"));
        Ok(Self { features, more: MoreFeatures::probe(function) })
    }

    fn list(self) -> Vec<Feature> {
        let Self { features, more } = self;
        let feature = |name, available: bool, about, limit: Option<_>| Feature {
            name,
            available,
            about,
            limit: limit.filter(|_| !available),
        };
        vec![
            feature(
                "kprobe.multi",
                features.kprobe_multi,
                "many functions are attached to at once",
                Some(limits::FUNCTIONS_ONE_BY_ONE),
            ),
            feature("kprobe.session", features.kprobe_session, "and their returns", Some(limits::RETURNS_ONE_BY_ONE)),
            feature(
                "kprobe cookies",
                features.cookies,
                "functions are told apart by number, not by address",
                Some(limits::RETURNS_BY_ORDER),
            ),
            feature("raw tracepoint cookies", features.tracepoint_cookies, "all tracepoints share a program", None),
            feature("fentry", more.fentry, "packets can be tracked", None),
            feature("ring buffer", more.ring_buffer, "the way of events to user space", None),
            feature(
                "missed counters",
                features.counts_misses,
                "hits of kprobes that the kernel skips are counted",
                Some(limits::MISSES_NOT_COUNTED),
            ),
            feature("direct reads", features.direct_reads, "packet filters read packets without a helper", None),
            feature("fetch atomics", features.fetch_atomics, "programs count without races", None),
        ]
    }
}

impl Permission {
    fn new(kernel: &Kernel, privileges: Privileges) -> Self {
        let needed = privileges::needed(kernel);
        let names = |capabilities: Vec<Capability>| capabilities.iter().map(ToString::to_string).collect();
        let missing: Vec<Capability> =
            needed.iter().copied().filter(|capability| !privileges.has(*capability)).collect();
        Self {
            sufficient: missing.is_empty(),
            needed: names(needed),
            missing: names(missing),
            in_user_namespace: privileges.in_user_namespace,
        }
    }
}

fn sources(kernel: &Kernel) -> Vec<Source> {
    let source = |name, found: Result<String, String>| Source {
        name,
        readable: found.is_ok(),
        note: found.unwrap_or_else(|error| error),
    };
    let types = kernel.vmlinux().map(|_| "types of the kernel itself".to_owned());
    let modules = kernel.modules().map(|modules| match modules.len() {
        0 if !kernel.describes_modules() => format!("none: this kernel {}", limits::MODULES_NOT_DESCRIBED),
        count => format!("types of {count} modules"),
    });
    let symbols = kernel.symbols().map(|symbols| {
        let hidden = if symbols.hides_addresses() { ", their addresses hidden" } else { "" };
        format!("{} symbols{hidden}", symbols.len())
    });
    let tracefs = kernel.tracefs().map_or_else(
        || Err(kernel.tracefs_missing().to_string()),
        |tracefs| {
            let path = tracefs.path().display();
            let functions = tracefs.traceable_functions();
            let functions = functions.ok_or_else(|| format!("the lists at `{path}` can't be read"))?.len();
            Ok(format!("{functions} functions and {} tracepoints at `{path}`", tracefs.tracepoints().len()))
        },
    );
    let text = |error: Error| error.to_string();
    vec![
        source("BTF of vmlinux", types.map_err(text)),
        source("BTF of modules", modules.map_err(text)),
        source("kallsyms", symbols.map_err(text)),
        source("tracefs", tracefs),
    ]
}

fn packets(kernel: &Kernel) -> Option<Packets> {
    let places = inspect_packets(kernel).ok()?.places;
    let (tracepoints, functions): (Vec<_>, Vec<_>) =
        places.iter().partition(|place| place.probe.probe_type == crate::probe::ProbeType::RawTracepoint);
    Some(Packets {
        functions: functions.len(),
        probeable_functions: functions.iter().filter(|place| place.obstacle.is_none()).count(),
        tracepoints: tracepoints.len(),
    })
}

fn collector_state(kernel: &Kernel, collector: &Collector, cannot_load: Option<&Error>) -> CollectorState {
    let limits = match cannot_load {
        Some(error) => Err(error.to_string()),
        None => collector.can_run(kernel).map_err(|error| error.to_string()),
    };
    CollectorState {
        name: collector.name,
        available: limits.is_ok(),
        why_not: limits.as_ref().err().cloned(),
        limits: limits.unwrap_or_default(),
    }
}
