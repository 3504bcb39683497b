// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What would make a session silent or refuse it with words that nobody understands: found out before anything is loaded.

use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;
use crate::kernel::features::Features;
use crate::kernel::limits::NO_USDT;
use crate::kernel::privileges;
use crate::kernel::settings::Lockdown;
use crate::probe::{Origin, Probe, ProbeType, symbol_obstacle};

/// The features of the kernel.
///
/// # Errors
/// When this process can't load programs, or programs can't see anything.
pub(crate) fn features(kernel: &Kernel) -> Result<Features, Error> {
    let features = Features::probe(kernel).map_err(|error| match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => privileges::load_error(kernel),
        Some(libc::EINVAL) => Error::new(ErrorKind::KernelLacks, "the kernel takes no eBPF programs for kprobes")
            .with_hint(
                "tracer needs a kernel built with CONFIG_KPROBES and CONFIG_BPF_EVENTS, as distributions' kernels are",
            ),
        _ => Error::new(ErrorKind::KernelLacks, format!("the kernel loads no eBPF programs: {error}")),
    })?;
    if !features.reads_memory {
        return Err(match kernel.lockdown() {
            Some(Lockdown::Confidentiality) => {
                let why = "this kernel is locked down (confidentiality): it lets nobody read its memory, not even root";
                Error::new(ErrorKind::NotPermitted, why)
                    .with_hint("boot it with `lockdown=integrity` or without lockdown; it can't be lifted before")
            }
            _ => Error::new(ErrorKind::NotPermitted, "this kernel lets no eBPF program read its memory"),
        });
    }
    Ok(features)
}

/// Leaves out the probes that the kernel would take, and then never hit. Returns a warning when there were any.
///
/// # Errors
/// When the user named one of them.
pub(super) fn leave_out_silent(
    kernel: &Kernel,
    features: Features,
    probes: &mut Vec<Probe>,
) -> Result<Option<String>, Error> {
    let ftrace_off = kernel.has_ftrace_off();
    let kprobes_off = kernel.kprobes_enabled() == Some(false);
    let is_silent = |probe: &Probe| match probe.probe_type {
        ProbeType::Kprobe => ftrace_off || kprobes_off && !features.kprobe_multi,
        ProbeType::Kretprobe => ftrace_off || kprobes_off && !features.kprobe_session,
        ProbeType::RawTracepoint | ProbeType::Usdt => false,
    };
    let silent = probes.iter().filter(|probe| is_silent(probe)).count();
    if silent == 0 {
        return Ok(None);
    }
    let error = |what: &str| if ftrace_off { ftrace_error(what) } else { kprobes_error(what) };
    if let Some(named) = probes.iter().find(|probe| is_silent(probe) && probe.origin == Origin::Named) {
        return Err(error(&format!("`{named}` would see nothing")));
    }
    let error = error(&format!("{silent} probes are left out, because they would see nothing"));
    probes.retain(|probe| !is_silent(probe));
    if probes.is_empty() {
        return Err(error);
    }
    Ok(Some(format!("{error}; {}", error.hint().unwrap_or_default())))
}

/// Leaves out USDT probes where the kernel can't tell a program which one it is at. Returns a warning when there were any.
///
/// # Errors
/// When the user named one of them.
pub(super) fn leave_out_usdt(features: Features, probes: &mut Vec<Probe>) -> Result<Option<String>, Error> {
    let is_usdt = |probe: &Probe| probe.probe_type == ProbeType::Usdt;
    if features.cookies || !probes.iter().any(is_usdt) {
        return Ok(None);
    }
    let error = |what: &str| Error::new(ErrorKind::KernelLacks, format!("{what}: this kernel {NO_USDT}"));
    if let Some(named) = probes.iter().find(|probe| is_usdt(probe) && probe.origin == Origin::Named) {
        return Err(error(&format!("`{named}` can't be probed")));
    }
    probes.retain(|probe| !is_usdt(probe));
    Ok(Some(error("USDT probes are left out").to_string()))
}

/// Refuses a function that the user named and that the symbols say can't be probed.
///
/// # Errors
/// The reason.
pub(super) fn refuse_impossible(kernel: &Kernel, probe: &Probe) -> Result<(), Error> {
    match probe.probe_type {
        ProbeType::RawTracepoint | ProbeType::Usdt => Ok(()),
        ProbeType::Kprobe | ProbeType::Kretprobe => {
            symbol_obstacle(kernel, &probe.target).map_or(Ok(()), |obstacle| Err(obstacle.about_probe(probe)))
        }
    }
}

/// Refuses probes of functions on a kernel that tells them apart by address only, and hides the addresses.
///
/// # Errors
/// That.
pub(super) fn refuse_unknown_addresses(kernel: &Kernel, features: Features, probes: &[Probe]) -> Result<(), Error> {
    let has_functions = probes.iter().any(|probe| probe.probe_type.is_function());
    if features.cookies || !has_functions || kernel.symbols().is_ok_and(|symbols| !symbols.hides_addresses()) {
        return Ok(());
    }
    let why = "this kernel tells probed functions apart by their addresses, and hides them (`/proc/kallsyms`)";
    Err(Error::new(ErrorKind::NotPermitted, why)
        .with_hint("run as root, or with CAP_SYSLOG; kernel.kptr_restrict must be 0 or 1"))
}

/// What the kernel can't do of what these probes and `collectors` ask for, in words.
pub(super) fn limits(
    kernel: &Kernel,
    features: Features,
    probes: &[Probe],
    collectors: impl Iterator<Item = &'static str>,
) -> Option<String> {
    let has = |probe_type| probes.iter().any(|probe| probe.probe_type == probe_type);
    let has_returns = has(ProbeType::Kretprobe);
    let mut limits = Vec::new();
    if has_returns || has(ProbeType::Kprobe) {
        limits = kernel.limits(features, has_returns);
    }
    limits.extend(collectors);
    (!limits.is_empty()).then(|| format!("this kernel {}", limits.join("; it ")))
}

/// What is to be said about the kernel's symbols, if anything. Reads them.
pub(super) fn symbols_warning(kernel: &Kernel) -> Option<String> {
    match kernel.symbols() {
        Err(error) => Some(error.to_string()),
        Ok(symbols) if symbols.hides_addresses() => {
            let why = match kernel.setting("kernel/kptr_restrict") {
                Some(2) => "kernel.kptr_restrict is 2",
                _ => "CAP_SYSLOG is missing",
            };
            Some(format!("the kernel hides the addresses of its symbols ({why}): stacks are shown as numbers"))
        }
        Ok(_) => None,
    }
}

/// The error about something that needs ftrace where it is switched off.
pub(super) fn ftrace_error(what: &str) -> Error {
    Error::new(ErrorKind::KernelLacks, format!("{what}: ftrace is switched off (kernel.ftrace_enabled is 0)"))
        .with_hint("switch it on with `sysctl kernel.ftrace_enabled=1`")
}

fn kprobes_error(what: &str) -> Error {
    let why = format!("{what}: kprobes are switched off (`/sys/kernel/debug/kprobes/enabled` is 0)");
    Error::new(ErrorKind::KernelLacks, why).with_hint("switch them on with `echo 1 >/sys/kernel/debug/kprobes/enabled`")
}
