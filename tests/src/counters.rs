// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What happened, counted by the kernel itself and not by the program under test.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::topology::Namespace;

const TRACEFS: &str = "/sys/kernel/tracing";
/// The group of our probes.
const GROUP: &str = "independent";

/// Counts the hits of functions and tracepoints with tracefs' own means.
///
/// Functions: a kprobe event each; `kprobe_profile` has its hits, and those that the kernel skipped because another kprobe
/// was running on the CPU. Their sum is exact. Tracepoints: a `hist` trigger each, whose total is exact while nothing is
/// `Dropped`.
#[derive(Debug)]
pub struct HitCounter {
    functions: Vec<String>,
    tracepoints: Vec<String>,
}

impl HitCounter {
    /// Begins to count. Tracepoints are named as in `net:netif_rx`.
    ///
    /// # Errors
    /// When the kernel lacks one of them.
    pub fn new(functions: &[&str], tracepoints: &[&str]) -> Result<Self> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let counter = Self { functions: owned(functions), tracepoints: owned(tracepoints) };
        for function in functions {
            append("kprobe_events", &format!("p:{GROUP}/{function} {function}"))?;
        }
        if !functions.is_empty() {
            write(&format!("events/{GROUP}/enable"), "1")?;
        }
        for tracepoint in tracepoints {
            write(&trigger(tracepoint), "hist:keys=common_pid:size=4096")?;
        }
        Ok(counter)
    }

    /// The hits so far, by function and tracepoint.
    ///
    /// # Errors
    /// When a counter can't be read or is not exact.
    pub fn read(&self) -> Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        let profile = read("kprobe_profile")?;
        for line in profile.lines() {
            if let [name, hits, skipped] = line.split_whitespace().collect::<Vec<_>>()[..]
                && self.functions.iter().any(|function| function == name)
            {
                counts.insert(name.to_owned(), hits.parse::<u64>()? + skipped.parse::<u64>()?);
            }
        }
        for tracepoint in &self.tracepoints {
            let histogram = read(&format!("events/{}/hist", tracepoint.replace(':', "/")))?;
            let total = |name: &str| -> Result<u64> {
                let line = histogram.lines().find_map(|line| line.trim().strip_prefix(name));
                Ok(line.with_context(|| format!("no `{name}` in the histogram of {tracepoint}"))?.trim().parse()?)
            };
            anyhow::ensure!(total("Dropped:")? == 0, "the histogram of {tracepoint} is not exact");
            counts.insert(tracepoint.clone(), total("Hits:")?);
        }
        let missing = self.functions.iter().find(|function| !counts.contains_key(*function));
        anyhow::ensure!(missing.is_none(), "no count of {missing:?} in:\n{profile}");
        Ok(counts)
    }
}

impl Drop for HitCounter {
    fn drop(&mut self) {
        // There is nobody to tell when it fails: the next counter will find out.
        if !self.functions.is_empty() {
            let _ = write(&format!("events/{GROUP}/enable"), "0");
            for function in &self.functions {
                let _ = append("kprobe_events", &format!("-:{GROUP}/{function}"));
            }
        }
        for tracepoint in &self.tracepoints {
            let _ = write(&trigger(tracepoint), "!hist:keys=common_pid:size=4096");
        }
    }
}

fn trigger(tracepoint: &str) -> String {
    format!("events/{}/trigger", tracepoint.replace(':', "/"))
}

fn path(name: &str) -> PathBuf {
    Path::new(TRACEFS).join(name)
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(path(name)).with_context(|| format!("cannot read `{}`", path(name).display()))
}

fn write(name: &str, text: &str) -> Result<()> {
    fs::write(path(name), text).with_context(|| format!("cannot write `{text}` to `{}`", path(name).display()))
}

fn append(name: &str, text: &str) -> Result<()> {
    let file = fs::OpenOptions::new().append(true).open(path(name));
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot append `{text}` to `{}`", path(name).display()))
}

/// The counters of a namespace's protocols, as in `/proc/net/snmp` and `snmp6`: exact, from the namespace's birth on.
#[derive(Clone, Debug)]
pub struct Snmp(BTreeMap<String, u64>);

impl Snmp {
    /// Reads them.
    ///
    /// # Errors
    /// When that fails.
    pub fn read(namespace: &Namespace) -> Result<Self> {
        // `/proc/net` would be that of the process, not of this thread.
        namespace.enter(|| {
            let mut counts = BTreeMap::new();
            let text = fs::read_to_string("/proc/thread-self/net/snmp")?;
            let lines: Vec<&str> = text.lines().collect();
            for pair in lines.chunks_exact(2) {
                let group = pair[0].split(':').next().unwrap_or_default();
                for (name, value) in pair[0].split_whitespace().zip(pair[1].split_whitespace()).skip(1) {
                    // Some are -1.
                    counts.insert(format!("{group}{name}"), value.parse().unwrap_or(0));
                }
            }
            let text = fs::read_to_string("/proc/thread-self/net/snmp6").unwrap_or_default();
            for line in text.lines() {
                if let Some((name, value)) = line.split_once(char::is_whitespace) {
                    counts.insert(name.to_owned(), value.trim().parse()?);
                }
            }
            Ok(Self(counts))
        })
    }

    /// One of them, e.g. `IpInReceives`, `TcpInSegs`, `Udp6InDatagrams`.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn get(&self, name: &str) -> u64 {
        *self.0.get(name).unwrap_or_else(|| panic!("there is no counter `{name}`"))
    }
}
