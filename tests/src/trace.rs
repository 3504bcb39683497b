// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel's own tracing records of drops: the reason by its name, and the place.
//!
//! 6.1 prints no reasons: they are taken from a histogram there, by number, and named by the event's own format.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// Numbers the instances of this process.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Records `skb:kfree_skb` by tracefs, in a buffer of its own. Gone when dropped.
#[derive(Debug)]
pub struct DropTrace {
    folder: PathBuf,
}

/// A drop that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedDrop {
    /// CLOCK_MONOTONIC, µs.
    pub time: u64,
    /// Address of the `sk_buff`.
    pub skb: u64,
    /// The reason's name. Where the kernel does not print it, all that this packet's `sk_buff` was dropped for at this place.
    pub reasons: Vec<String>,
    /// `symbol+0xoffset`, followed by ` [module]`.
    pub location: String,
}

impl DropTrace {
    /// Begins to record.
    ///
    /// # Errors
    /// When tracefs does not let us.
    pub fn start() -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/sys/kernel/tracing/instances/drops{number}"));
        fs::create_dir(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let trace = Self { folder };
        trace.write("trace_clock", "mono")?;
        // Else addresses are not those of the kernel.
        trace.write("options/hash-ptr", "0")?;
        trace.write("events/skb/kfree_skb/trigger", "hist:keys=skbaddr,location,reason:size=4096")?;
        trace.write("events/skb/kfree_skb/enable", "1")?;
        Ok(trace)
    }

    /// Ends it; what was recorded can still be read.
    ///
    /// # Errors
    /// When tracefs does not let us.
    pub fn stop(&self) -> Result<()> {
        self.write("events/skb/kfree_skb/enable", "0")
    }

    /// How many drops were recorded.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn count(&self) -> Result<usize> {
        Ok(self.lines()?.len())
    }

    /// What was recorded so far, in its order.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(&self) -> Result<Vec<TracedDrop>> {
        let functions = Functions::read()?;
        let counted = self.histogram()?;
        let complete = |line: &String| {
            let (mut drop, place) = parse(line)?;
            if drop.reasons.is_empty() {
                let own = counted.iter().filter(|(skb, at, _)| *skb == drop.skb && Some(*at) == address(&place));
                drop.reasons = own.map(|(_, _, reason)| reason.clone()).collect();
            }
            drop.location = functions.location(&place).with_context(|| format!("nothing is at {place}"))?;
            Ok(drop)
        };
        self.lines()?.iter().map(complete).collect()
    }

    /// `sk_buff`, place and reason of what was counted.
    fn histogram(&self) -> Result<Vec<(u64, u64, String)>> {
        let format = fs::read_to_string(self.folder.join("events/skb/kfree_skb/format"))?;
        let names: BTreeMap<u64, &str> = format
            .split("{ ")
            .skip(1)
            .filter_map(|entry| {
                let (number, name) = entry.split_once(", \"")?;
                Some((number.parse().ok()?, name.split('"').next()?))
            })
            .collect();
        let text = fs::read_to_string(self.folder.join("events/skb/kfree_skb/hist"))?;
        // `{ skbaddr: 18381134715155655680, location: 18446744072330505872, reason: 2 } hitcount: 1`
        let entry = |line: &str| {
            let field = |name: &str| line.split_once(name)?.1.split([',', ' ']).find(|text| !text.is_empty());
            let reason: u64 = field("reason:")?.parse().ok()?;
            let name = names.get(&reason).map_or_else(|| reason.to_string(), |name| (*name).to_owned());
            Some((address(field("skbaddr:")?)?, address(field("location:")?)?, name))
        };
        Ok(text.lines().filter(|line| line.starts_with('{')).filter_map(entry).collect())
    }

    fn lines(&self) -> Result<Vec<String>> {
        let text = fs::read_to_string(self.folder.join("trace"))?;
        Ok(text.lines().filter(|line| line.contains(" kfree_skb: ")).map(str::to_owned).collect())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write `{text}` to `{}`", path.display()))
    }
}

impl Drop for DropTrace {
    fn drop(&mut self) {
        // There is nobody to tell when it fails; numbers are not used twice.
        let _ = self.stop();
        let _ = fs::remove_dir(&self.folder);
    }
}

/// `ping-12 [000] ..s1. 12.345678: kfree_skb: skbaddr=... protocol=2048 location=ip_rcv_core+0x1/0x2 reason: IP_CSUM`
fn parse(line: &str) -> Result<(TracedDrop, String)> {
    let parse = || {
        let (before, fields) = line.split_once(": kfree_skb: ")?;
        let (seconds, fraction) = before.split_whitespace().last()?.split_once('.')?;
        let field = |name: &str| Some(fields.split_once(name)?.1);
        let skb = field("skbaddr=")?.split_whitespace().next()?.trim_start_matches("0x");
        let (place, reason) = field("location=")?.split_once(" reason:").unwrap_or((field("location=")?, ""));
        let reasons = Some(reason.trim()).filter(|reason| !reason.is_empty()).map(str::to_owned).into_iter().collect();
        let drop = TracedDrop {
            time: seconds.parse::<u64>().ok()? * 1_000_000 + fraction.parse::<u64>().ok()?,
            skb: u64::from_str_radix(skb, 16).ok()?,
            reasons,
            location: String::new(),
        };
        Some((drop, place.trim().to_owned()))
    };
    parse().with_context(|| format!("this line is not understood: {line}"))
}

/// An address, with `0x` or not, or a decimal number: then it is larger than any of the others with as many digits.
fn address(text: &str) -> Option<u64> {
    let is_decimal = text.len() > 16 && !text.starts_with("0x");
    if is_decimal { text.parse().ok() } else { u64::from_str_radix(text.trim_start_matches("0x"), 16).ok() }
}

/// The kernel's functions, by address.
struct Functions(Vec<(u64, String)>);

impl Functions {
    fn read() -> Result<Self> {
        let mut functions: Vec<(u64, String)> =
            fs::read_to_string("/proc/kallsyms")?.lines().filter_map(function).collect();
        functions.sort();
        Ok(Self(functions))
    }

    /// Older kernels say an address, newer ones `symbol+0x1/0x2 [module]`.
    fn location(&self, text: &str) -> Option<String> {
        if let Some((symbol, rest)) = text.split_once('/') {
            let module = rest.split_once(' ').map(|(_, module)| format!(" {module}")).unwrap_or_default();
            return Some(format!("{symbol}{module}"));
        }
        let address = address(text)?;
        let index = self.0.partition_point(|(start, _)| *start <= address).checked_sub(1)?;
        let (start, name) = &self.0[index];
        let (name, module) = name.split_once(' ').unwrap_or((name, ""));
        let space = if module.is_empty() { "" } else { " " };
        Some(format!("{name}+{:#x}{space}{module}", address - start))
    }
}

/// The address of a line, and its name and module.
fn function(line: &str) -> Option<(u64, String)> {
    let mut fields = line.split_whitespace();
    let start = u64::from_str_radix(fields.next()?, 16).ok()?;
    let is_function = matches!(fields.next()?, "t" | "T" | "w" | "W");
    let name = fields.next()?.to_owned();
    let module = fields.next().map(|module| format!(" {module}")).unwrap_or_default();
    is_function.then(|| (start, name + &module))
}
