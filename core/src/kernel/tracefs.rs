// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tracing file system: which tracepoints there are and which functions can be probed. All of it can be missing.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A mounted tracing file system.
#[derive(Debug)]
pub struct Tracefs {
    path: PathBuf,
}

impl Tracefs {
    /// Looks in the two usual places below `root`.
    pub fn find(root: &Path) -> Option<Self> {
        ["sys/kernel/tracing", "sys/kernel/debug/tracing"]
            .iter()
            .map(|path| root.join(path))
            .find(|path| path.join("events").is_dir())
            .map(|path| Self { path })
    }

    /// Whether a tracepoint exists, e.g. `net`, `netif_rx`.
    pub fn has_tracepoint(&self, group: &str, name: &str) -> bool {
        self.path.join("events").join(group).join(name).join("id").exists()
    }

    /// All tracepoints, as (group, name), in alphabetical order.
    pub fn tracepoints(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = fs::read_to_string(self.path.join("available_events"))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(group, name)| (group.to_owned(), name.to_owned()))
            .collect();
        all.sort();
        all
    }

    /// The functions that ftrace can trace, suffixed ones included. `None` when the list can't be read.
    pub fn traceable_functions(&self) -> Option<HashSet<String>> {
        let text = fs::read_to_string(self.path.join("available_filter_functions")).ok()?;
        Some(text.lines().filter_map(|line| line.split_ascii_whitespace().next()).map(str::to_owned).collect())
    }
}
