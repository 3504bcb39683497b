// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tracing file system: which tracepoints there are and which functions can be probed. All of it can be missing.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, ErrorKind};

/// A mounted tracing file system. What it lists is read when it is first asked for, and once: that takes as long as
/// everything else that is read of a kernel together.
#[derive(Debug)]
pub struct Tracefs {
    path: PathBuf,
    tracepoints: OnceLock<Vec<(String, String)>>,
    functions: OnceLock<Option<HashSet<String>>>,
}

/// The usual places.
const PLACES: [&str; 2] = ["sys/kernel/tracing", "sys/kernel/debug/tracing"];

impl Tracefs {
    /// Looks in the two usual places below `root`.
    pub fn find(root: &Path) -> Option<Self> {
        let path = PLACES.iter().map(|path| root.join(path)).find(|path| path.join("events").is_dir())?;
        Some(Self { path, tracepoints: OnceLock::new(), functions: OnceLock::new() })
    }

    /// Why [`Tracefs::find`] finds nothing.
    pub(super) fn missing(root: &Path) -> Error {
        let place = root.join(PLACES[0]);
        match fs::read_dir(&place) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Error::new(ErrorKind::NotPermitted, format!("`{}` can't be read: {error}", place.display()))
                    .with_hint("run as root, or with CAP_DAC_READ_SEARCH")
            }
            _ => Error::new(ErrorKind::KernelLacks, format!("it is not mounted at `{}`", place.display()))
                .with_hint("mount it with `mount -t tracefs tracefs /sys/kernel/tracing`"),
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a tracepoint exists, e.g. `net`, `netif_rx`.
    pub fn has_tracepoint(&self, group: &str, name: &str) -> bool {
        self.path.join("events").join(group).join(name).join("id").exists()
    }

    /// All tracepoints, as (group, name), in alphabetical order.
    pub fn tracepoints(&self) -> &[(String, String)] {
        self.tracepoints.get_or_init(|| {
            let mut all: Vec<(String, String)> = fs::read_to_string(self.path.join("available_events"))
                .unwrap_or_default()
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(group, name)| (group.to_owned(), name.to_owned()))
                .collect();
            all.sort();
            all
        })
    }

    /// The functions that ftrace can trace, suffixed ones included. `None` when the list can't be read.
    pub fn traceable_functions(&self) -> Option<&HashSet<String>> {
        let read = || {
            let text = fs::read_to_string(self.path.join("available_filter_functions")).ok()?;
            Some(text.lines().filter_map(|line| line.split_ascii_whitespace().next()).map(str::to_owned).collect())
        };
        self.functions.get_or_init(read).as_ref()
    }
}
