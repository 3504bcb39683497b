// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is attached to the kernel, as it says itself.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{run, until};

/// Kprobes that exist: one a line in debugfs.
///
/// # Errors
/// When that can't be read.
pub fn kprobes() -> Result<usize> {
    let path = "/sys/kernel/debug/kprobes/list";
    Ok(fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?.lines().count())
}

/// eBPF programs and links of tracing: bpftool's words for each, without those that systems load on their own (cgroups).
///
/// # Errors
/// When they can't be listed.
pub fn tracing() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for kind in ["prog", "link"] {
        let list = run("bpftool", ["-j", kind, "show"])?;
        let list: serde_json::Value = serde_json::from_str(&list).with_context(|| format!("bpftool says `{list}`"))?;
        for one in list.as_array().into_iter().flatten() {
            let of_type = one["type"].as_str().unwrap_or_default();
            if !of_type.starts_with("cgroup") {
                found.push(format!("{kind} {} {of_type}", one["id"]));
            }
        }
    }
    Ok(found)
}

/// Waits until no more than so many kprobes exist, as long as they become fewer: older kernels take minutes for all of them.
///
/// # Errors
/// When more stay.
pub fn until_kprobes(wanted: usize) -> Result<()> {
    let mut left = kprobes()?;
    while left > wanted {
        let before = left;
        until("another kprobe is gone", || {
            left = kprobes()?;
            Ok(left < before)
        })?;
    }
    Ok(())
}

/// Waits until nothing is attached any more, as long as it becomes less.
///
/// # Errors
/// When something stays.
pub fn until_detached() -> Result<()> {
    until_kprobes(0)?;
    // The kernel frees programs a moment after the last link to them.
    until("nothing is attached", || Ok(tracing()?.is_empty()))
}

/// A file of the kernel that is written to, and gets back what it held.
pub struct Setting {
    path: PathBuf,
    before: String,
}

impl Setting {
    /// # Errors
    /// When it can't be read or written.
    pub fn change(path: &str, value: &str) -> Result<Self> {
        let before = fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?;
        fs::write(path, value).with_context(|| format!("cannot write `{path}`"))?;
        Ok(Self { path: path.into(), before })
    }

    /// Lets the kernel wait as patiently as on users' machines before it lets go of a probe.
    ///
    /// # Errors
    /// As [`Setting::change`].
    pub fn unhurried() -> Result<Self> {
        Self::change("/sys/kernel/rcu_expedited", "0")
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        fs::write(&self.path, &self.before).expect("what could be written can be written again");
    }
}
