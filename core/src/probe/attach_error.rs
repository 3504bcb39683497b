// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a place in the kernel can't be probed: found in what the kernel says about its functions, because the errors of its
//! system calls say little.

use std::io;

use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;
use crate::kernel::btf::Types;
use crate::kernel::privileges;
use crate::kernel::symbols::Symbols;
use crate::similar::{did_you_mean, similar};

use super::Probe;

/// Why a probe can't be attached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The kernel has no function of this name; some that are similar.
    #[error("this kernel has no such function")]
    Missing(Vec<String>),
    /// The types describe it, and no symbol is left of it.
    #[error(
        "this kernel has no such function any more: the compiler has put its code into its callers (it is inlined)"
    )]
    Inlined,
    /// Only versions of it that the compiler made exist, whose arguments may differ.
    #[error("this kernel only has `{0}`, whose arguments may differ from the source's")]
    Suffixed(String),
    /// Several functions have the name.
    #[error("{0} functions of this kernel have this name, and a kprobe can't tell them apart")]
    Ambiguous(usize),
    /// On the list of functions that kprobes must not touch.
    #[error("the kernel does not let it be probed: kprobes depend on it (it is marked NOKPROBE or noinstr)")]
    Blacklisted,
    /// Not on the list of functions that can be traced.
    #[error(
        "the kernel does not let it be probed: it can't be traced (it is marked notrace, or a copy of an inline function)"
    )]
    NotTraceable,
    /// It exists, the kernel does not let it be probed, and no list says why.
    #[error("the kernel does not let it be probed (it is inlined, or marked notrace or NOKPROBE)")]
    Refused,
    /// There is no tracepoint of this name; some that are similar.
    #[error("this kernel has no such tracepoint")]
    NoTracepoint(Vec<String>),
    /// No process has this name or id; programs that run and have a similar one.
    #[error("no such process runs")]
    NoProcess(Vec<String>),
    /// The program was built without USDT probes.
    #[error("`{0}` has no USDT probes: it was built without them")]
    NoUsdt(String),
    /// The program has no USDT probe of this name; some that are similar.
    #[error("the program has no such USDT probe")]
    NoUsdtProbe(Vec<String>),
    /// A privilege is missing; what would be enough.
    #[error("the kernel does not permit it to this process")]
    NotPermitted(String),
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl AttachError {
    /// The error about a probe that the user named.
    pub(crate) fn about_probe(&self, probe: &Probe) -> Error {
        self.about(&format!("`{probe}` can't be probed"))
    }

    /// The error for which this is the reason.
    pub(crate) fn about(&self, what: &str) -> Error {
        let kind = match self {
            Self::NotPermitted(_) => ErrorKind::NotPermitted,
            Self::NoProcess(_) | Self::NoUsdt(_) | Self::NoUsdtProbe(_) => ErrorKind::Failure,
            _ => ErrorKind::KernelLacks,
        };
        let error = Error::new(kind, format!("{what}: {self}"));
        match self.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(similar) | Self::NoTracepoint(similar) => Some(
                did_you_mean(similar).unwrap_or_else(|| "what is in a module exists while it is loaded".to_owned()),
            ),
            Self::Suffixed(name) => Some(format!("`-p {name}` probes it, without its packet")),
            Self::Inlined | Self::Ambiguous(_) | Self::Blacklisted | Self::NotTraceable | Self::Refused => {
                Some("probe a function that calls it, or that it calls".to_owned())
            }
            Self::NoProcess(similar) => {
                Some(did_you_mean(similar).unwrap_or_else(|| "start it first".to_owned()))
            }
            Self::NoUsdt(_) => Some(
                "many programs have them only when that was asked for as they were built (`--enable-usdt-probes`, `--enable-dtrace`)"
                    .to_owned(),
            ),
            Self::NoUsdtProbe(similar) => {
                Some(did_you_mean(similar).unwrap_or_else(|| {
                    "`tracer inspect probes 'usdt:PROCESS:*'` shows those that there are".to_owned()
                }))
            }
            Self::NotPermitted(enough) => Some(enough.clone()),
            Self::Other(_) => None,
        }
    }
}

/// What keeps a function from being probed, as far as symbols tell; `None`: nothing, or they can't be read.
pub(crate) fn symbol_obstacle(kernel: &Kernel, name: &str) -> Option<AttachError> {
    symbol_obstacle_of(kernel, name, || is_in_btf(kernel, name))
}

/// The same, where it is known whether BTF describes the function.
pub(super) fn symbol_obstacle_of(kernel: &Kernel, name: &str, in_btf: impl FnOnce() -> bool) -> Option<AttachError> {
    let symbols = kernel.symbols().ok()?;
    match symbols.functions(name).count() {
        0 => Some(match symbols.variants(name).first() {
            Some(variant) => AttachError::Suffixed((*variant).to_owned()),
            None if in_btf() => AttachError::Inlined,
            None => AttachError::Missing(similar_functions(symbols, name)),
        }),
        1 => None,
        count => Some(AttachError::Ambiguous(count)),
    }
}

/// What keeps a function that exists from being probed, as far as the kernel's lists tell.
pub(super) fn list_obstacle(kernel: &Kernel, name: &str) -> Option<AttachError> {
    // kprobe.multi does not look at this list; what is on it can often not be traced either.
    let blacklisted = || kernel.kprobe_blacklist().is_some_and(|names| names.contains(name));
    match kernel.tracefs().and_then(|tracefs| tracefs.traceable_functions()) {
        Some(names) if names.contains(name) => {
            (!kernel.has_kprobe_multi() && blacklisted()).then_some(AttachError::Blacklisted)
        }
        Some(_) => Some(if blacklisted() { AttachError::Blacklisted } else { AttachError::NotTraceable }),
        None => blacklisted().then_some(AttachError::Blacklisted),
    }
}

/// Why the kernel refused to attach to a function. Without an error it was not asked: the symbols speak against it.
pub(crate) fn explain(kernel: &Kernel, name: &str, error: Option<&io::Error>) -> AttachError {
    let known = symbol_obstacle(kernel, name);
    let code = error.and_then(io::Error::raw_os_error);
    match (known, code) {
        (Some(known), _) => known,
        (None, Some(libc::EPERM | libc::EACCES)) => AttachError::NotPermitted(privileges::enough(kernel)),
        (None, Some(libc::ESRCH | libc::EINVAL | libc::ENOENT | libc::EADDRNOTAVAIL | libc::EOPNOTSUPP) | None) => {
            list_obstacle(kernel, name).unwrap_or(AttachError::Refused)
        }
        (None, Some(code)) => AttachError::Other(io::Error::from_raw_os_error(code).to_string()),
    }
}

/// Whether the types of vmlinux or a module describe a function.
fn is_in_btf(kernel: &Kernel, name: &str) -> bool {
    let describes = |types: &Types<'_>| !types.functions(|found| found == name).is_empty();
    kernel.all_types().is_ok_and(|all| all.iter().any(|(_, types)| describes(types)))
}

fn similar_functions(symbols: &Symbols, name: &str) -> Vec<String> {
    let others = symbols.all_functions().map(|function| function.name);
    similar(name, others).into_iter().map(str::to_owned).collect()
}
