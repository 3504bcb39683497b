// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Switches that decide what can be traced: lockdown, sysctls, kprobes.

use std::collections::HashSet;
use std::fs;

use super::Kernel;

/// How far root is kept from the kernel (`man 7 kernel_lockdown`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Not at all.
    None,
    /// Root can't change the kernel; tracing works.
    Integrity,
    /// Root can't read the kernel's memory either, so nothing can be traced.
    Confidentiality,
}

impl Lockdown {
    /// The kernel's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Integrity => "integrity",
            Self::Confidentiality => "confidentiality",
        }
    }
}

impl Kernel {
    /// The mode of lockdown; `None` when the kernel has no lockdown, or securityfs is not mounted.
    pub fn lockdown(&self) -> Option<Lockdown> {
        let modes = fs::read_to_string(self.path("sys/kernel/security/lockdown")).ok()?;
        let all = [Lockdown::None, Lockdown::Integrity, Lockdown::Confidentiality];
        all.into_iter().find(|mode| modes.contains(&format!("[{}]", mode.name())))
    }

    /// A sysctl, e.g. `kernel/ftrace_enabled`; `None` when the kernel has none of this name, or it can't be read.
    pub fn setting(&self, name: &str) -> Option<i64> {
        fs::read_to_string(self.path("proc/sys").join(name)).ok()?.trim().parse().ok()
    }

    /// Whether ftrace runs, on which probes of functions rest: while it does not, they are attached and never hit.
    pub fn has_ftrace_off(&self) -> bool {
        self.setting("kernel/ftrace_enabled") == Some(0)
    }

    /// Whether single kprobes are armed; `None` when debugfs can't be read.
    pub fn kprobes_enabled(&self) -> Option<bool> {
        Some(fs::read_to_string(self.path("sys/kernel/debug/kprobes/enabled")).ok()?.trim() != "0")
    }

    /// The functions that kprobes must not touch; `None` when debugfs can't be read.
    pub fn kprobe_blacklist(&self) -> Option<&HashSet<String>> {
        let read = || {
            let text = fs::read_to_string(self.path("sys/kernel/debug/kprobes/blacklist")).ok()?;
            Some(text.lines().filter_map(|line| line.split_ascii_whitespace().nth(1)).map(str::to_owned).collect())
        };
        self.blacklist.get_or_init(read).as_ref()
    }

    /// Whether the kernel was built with what kprobe.multi rests on. This can be seen without any privilege;
    /// [`super::features::Features`] tells by trying.
    pub fn has_kprobe_multi(&self) -> bool {
        self.symbols().is_ok_and(|symbols| symbols.functions("register_fprobe_ips").next().is_some())
    }

    /// Whether a module is loaded, or built in.
    pub fn has_module(&self, name: &str) -> bool {
        self.path("sys/module").join(name).is_dir()
    }
}
