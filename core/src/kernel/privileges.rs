// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the process may do, and what it takes. Which capabilities are enough was found out by trying on 5.10, 6.1, 6.12 and
//! 7; `tests/tests/functional/everywhere/start.rs` tries again.

use std::fs;

use crate::error::{Error, ErrorKind};

use super::Kernel;

pub use caps::Capability;

/// What the process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privileges {
    /// One bit for each capability.
    effective: u64,
    /// The process is in a user namespace of its own: its capabilities do not count for the kernel as a whole.
    pub in_user_namespace: bool,
}

impl Privileges {
    /// Whether the process has a capability, or a greater one that stands for it.
    pub fn has(self, capability: Capability) -> bool {
        let has = |capability: Capability| self.effective & capability.bitmask() != 0;
        let stands_for =
            matches!(capability, Capability::CAP_BPF | Capability::CAP_PERFMON) && has(Capability::CAP_SYS_ADMIN);
        !self.in_user_namespace && (has(capability) || stands_for)
    }
}

impl Kernel {
    /// What this process may do; nothing where `/proc` does not say.
    pub fn privileges(&self) -> Privileges {
        let status = fs::read_to_string(self.path("proc/self/status")).unwrap_or_default();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let users = fs::read_to_string(self.path("proc/self/uid_map")).unwrap_or_default();
        let users: Vec<&str> = users.split_ascii_whitespace().collect();
        Privileges {
            effective: effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0),
            // The first namespace maps all users to themselves.
            in_user_namespace: !users.is_empty() && users != ["0", "0", "4294967295"],
        }
    }
}

/// The capabilities that are enough to use all of this kernel.
pub fn needed(kernel: &Kernel) -> Vec<Capability> {
    let has_function = |name| kernel.symbols().is_ok_and(|symbols| symbols.functions(name).next().is_some());
    // Debian's kernels close perf, through which single kprobes are attached, even to CAP_PERFMON.
    let perf_is_closed = kernel.setting("kernel/perf_event_paranoid").is_some_and(|level| level > 2);
    // To make maps and load programs; to attach them and read the kernel's memory. The greater one stands for both.
    let mut needed = if perf_is_closed && !kernel.has_kprobe_multi() {
        vec![Capability::CAP_SYS_ADMIN]
    } else {
        vec![Capability::CAP_BPF, Capability::CAP_PERFMON]
    };
    // To lock the memory of maps, where that counts against a limit. This function came together with memory that is counted by
    // control groups instead (5.11).
    if !has_function("bpf_ktime_get_coarse_ns") {
        needed.push(Capability::CAP_SYS_RESOURCE);
    }
    // To see the addresses of symbols, and to read tracefs, which belongs to root.
    needed.extend([Capability::CAP_SYSLOG, Capability::CAP_DAC_READ_SEARCH]);
    needed
}

/// Whether this process may load programs that use types of the kernel's modules.
///
/// # Errors
/// When it may not.
pub fn check_module_types(kernel: &Kernel) -> Result<(), Error> {
    let needed = Capability::CAP_SYS_ADMIN;
    if kernel.privileges().has(needed) {
        return Ok(());
    }
    let why = format!("programs are shown the types of the kernel's modules only with {needed}");
    Err(Error::new(ErrorKind::NotPermitted, why).with_hint(format!("run as root, or with {needed} beside the others")))
}

/// What is enough, in words.
pub(crate) fn enough(kernel: &Kernel) -> String {
    format!("run as root, or with {}", list(&needed(kernel)))
}

/// The error about programs that the kernel does not let this process load.
pub(crate) fn load_error(kernel: &Kernel) -> Error {
    let refused = "the kernel does not let this process load eBPF programs";
    let privileges = kernel.privileges();
    if privileges.in_user_namespace {
        let why = format!("{refused}: in a user namespace, as of a container, no capability counts for that");
        return Error::new(ErrorKind::NotPermitted, why).with_hint("run it outside, as the host's root");
    }
    let missing: Vec<Capability> =
        needed(kernel).into_iter().filter(|capability| !privileges.has(*capability)).collect();
    if missing.is_empty() {
        let why = format!("{refused}, although it has the capabilities for it");
        return Error::new(ErrorKind::NotPermitted, why)
            .with_hint("a seccomp filter, as containers have one, or a security module forbids it");
    }
    let verb = if missing.len() == 1 { "is" } else { "are" };
    Error::new(ErrorKind::NotPermitted, format!("{refused}: {} {verb} missing", list(&missing)))
        .with_hint(enough(kernel))
}

/// `CAP_BPF, CAP_PERFMON and CAP_SYSLOG`.
pub fn list(capabilities: &[Capability]) -> String {
    let names: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    }
}
