// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the running kernel offers: its types, symbols, tracepoints, and BPF features.

pub mod btf;
pub mod features;
pub(crate) mod limits;
pub mod privileges;
pub mod settings;
pub mod symbol_source;
pub mod symbols;
pub mod tracefs;
pub mod tunnels;

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, ErrorKind};
use btf::{Btf, Types};
use symbol_source::SymbolSource;
use symbols::Symbols;
use tracefs::Tracefs;

/// The running kernel, looked at through a root directory (`/`, or a made-up tree in tests). Everything is read when it is
/// first asked for, and once.
#[derive(Debug)]
pub struct Kernel {
    root: PathBuf,
    vmlinux: OnceLock<Btf>,
    modules: OnceLock<Vec<(String, Btf)>>,
    symbols: SymbolSource,
    tracefs: OnceLock<Option<Tracefs>>,
    blacklist: OnceLock<Option<HashSet<String>>>,
}

/// What `uname` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// E.g. "6.12.107+deb13-amd64".
    pub release: String,
    /// E.g. "#1 SMP PREEMPT_DYNAMIC Debian 6.12.107-1 (2026-08-29)".
    pub version: String,
    /// E.g. "x86_64".
    pub machine: String,
}

impl Kernel {
    /// The kernel whose `/proc`, `/sys` and `/run` are below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root: PathBuf = root.into();
        Self {
            vmlinux: OnceLock::new(),
            modules: OnceLock::new(),
            symbols: SymbolSource::new(&root),
            tracefs: OnceLock::new(),
            blacklist: OnceLock::new(),
            root,
        }
    }

    /// A path as seen from the root, e.g. `proc/kallsyms`.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// Name and version of the running kernel.
    pub fn release(&self) -> Release {
        // SAFETY: an all-zero `utsname` is valid, being arrays of characters.
        let mut names: libc::utsname = unsafe { std::mem::zeroed() };
        // SAFETY: `names` is writable; the call can't fail with a valid pointer.
        unsafe { libc::uname(&raw mut names) };
        let text = |field: &[libc::c_char]| {
            // SAFETY: the kernel ends each field with a zero byte.
            unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into_owned()
        };
        Release { release: text(&names.release), version: text(&names.version), machine: text(&names.machine) }
    }

    /// The types of vmlinux.
    ///
    /// # Errors
    /// When the kernel has no BTF, or one that can't be read.
    pub fn vmlinux(&self) -> Result<&Btf, Error> {
        if let Some(btf) = self.vmlinux.get() {
            return Ok(btf);
        }
        let path = self.path("sys/kernel/btf/vmlinux");
        let data = fs::read(&path).map_err(|error| {
            Error::new(ErrorKind::KernelLacks, format!("no kernel type information at `{}`: {error}", path.display()))
                .with_hint("tracer needs a kernel built with CONFIG_DEBUG_INFO_BTF, as distributions' kernels are")
        })?;
        let btf = Btf::parse(data).map_err(|error| {
            Error::new(
                ErrorKind::KernelLacks,
                format!("the kernel's type information at `{}`: {error}", path.display()),
            )
        })?;
        Ok(self.vmlinux.get_or_init(|| btf))
    }

    /// The types of the loaded modules that have any, by module name in alphabetical order. Modules that can't be read (one
    /// may be unloaded meanwhile) are left out; 5.10 has none.
    ///
    /// # Errors
    /// As [`Kernel::vmlinux`].
    pub fn modules(&self) -> Result<&[(String, Btf)], Error> {
        let vmlinux = self.vmlinux()?;
        Ok(self.modules.get_or_init(|| {
            let mut names: Vec<String> = fs::read_dir(self.path("sys/kernel/btf"))
                .into_iter()
                .flatten()
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter(|name| name != "vmlinux")
                .collect();
            names.sort();
            names
                .into_iter()
                .filter_map(|name| {
                    let data = fs::read(self.path("sys/kernel/btf").join(&name)).ok()?;
                    Some((name, Btf::parse_split(data, vmlinux).ok()?))
                })
                .collect()
        }))
    }

    /// The types of vmlinux and of all modules, each with its module's name.
    ///
    /// # Errors
    /// As [`Kernel::vmlinux`].
    pub fn all_types(&self) -> Result<Vec<(Option<&str>, Types<'_>)>, Error> {
        let vmlinux = self.vmlinux()?;
        let mut all = vec![(None, Types::new(vmlinux, None))];
        all.extend(self.modules()?.iter().map(|(name, btf)| (Some(name.as_str()), Types::new(btf, Some(vmlinux)))));
        Ok(all)
    }

    /// The kernel's symbols. Reading them takes a while (some hundred thousand lines): ask only when they are needed.
    ///
    /// # Errors
    /// When `/proc/kallsyms` can't be read or is empty.
    pub fn symbols(&self) -> Result<&Symbols, Error> {
        self.symbols.get()
    }

    /// The same for whoever outlives this value.
    pub fn symbol_source(&self) -> SymbolSource {
        self.symbols.clone()
    }

    /// The tracing file system, when it is mounted and readable.
    pub fn tracefs(&self) -> Option<&Tracefs> {
        self.tracefs.get_or_init(|| Tracefs::find(&self.root)).as_ref()
    }

    /// Why there is no tracing file system, when there is none.
    pub fn tracefs_missing(&self) -> Error {
        Tracefs::missing(&self.root)
    }
}
