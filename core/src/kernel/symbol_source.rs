// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the kernel's symbols come from, for whoever names addresses while modules come and go.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::symbols::{Location, Symbols};
use crate::error::{Error, ErrorKind};

/// The symbols of a kernel: read when they are first asked for, and once for all clones. Those of modules are read again when an
/// address is to be named that may be in a module that was loaded since.
#[derive(Clone, Debug)]
pub struct SymbolSource(Arc<Source>);

#[derive(Debug)]
struct Source {
    symbols: PathBuf,
    modules: PathBuf,
    loaded: OnceLock<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    symbols: Symbols,
    current: Mutex<Current>,
}

/// What is known of the modules. The files stay open: whether the kernel tells addresses is decided when they are opened, and
/// privileges are given up later.
#[derive(Debug)]
struct Current {
    symbols_file: File,
    modules_file: Option<File>,
    modules: Modules,
    /// The symbols of modules, when they are not those that were read first.
    symbols: Option<Symbols>,
}

/// Address and size of each module that is loaded.
type Modules = BTreeMap<String, (u64, u64)>;

impl SymbolSource {
    /// Those of the kernel whose `/proc` is below a root.
    pub(super) fn new(root: &Path) -> Self {
        let loaded = OnceLock::new();
        Self(Arc::new(Source { symbols: root.join("proc/kallsyms"), modules: root.join("proc/modules"), loaded }))
    }

    /// The symbols as they were when they were first read, which takes a while (some hundred thousand lines): ask only when they
    /// are needed.
    ///
    /// # Errors
    /// When the file can't be read or is empty.
    pub fn get(&self) -> Result<&Symbols, Error> {
        self.loaded().map(|loaded| &loaded.symbols)
    }

    /// What is at an address now. An address outside of vmlinux takes a look at the list of modules: remember the answer.
    pub fn locate(&self, address: u64) -> Option<String> {
        let loaded = self.loaded().ok()?;
        match loaded.symbols.locate(address) {
            Some(location) if location.module.is_none() => Some(location.to_string()),
            _ => {
                let mut current = loaded.current.lock().unwrap_or_else(PoisonError::into_inner);
                current.refresh();
                let symbols = current.symbols.as_ref().unwrap_or(&loaded.symbols);
                symbols
                    .locate(address)
                    .filter(|location| current.holds(location, address))
                    .map(|found| found.to_string())
            }
        }
    }

    fn loaded(&self) -> Result<&Loaded, Error> {
        if let Some(loaded) = self.0.loaded.get() {
            return Ok(loaded);
        }
        let path = &self.0.symbols;
        let failed = |error: io::Error| {
            let kind = if error.kind() == io::ErrorKind::PermissionDenied {
                ErrorKind::NotPermitted
            } else {
                ErrorKind::KernelLacks
            };
            Error::new(kind, format!("the kernel's symbols at `{}`: {error}", path.display()))
        };
        let mut modules_file = File::open(&self.0.modules).ok();
        // First: what is loaded meanwhile is then new.
        let modules = modules_file.as_mut().map(read_modules).unwrap_or_default();
        let mut symbols_file = File::open(path).map_err(failed)?;
        let symbols = Symbols::parse(&read(&mut symbols_file).map_err(failed)?);
        if symbols.is_empty() {
            let missing = format!("the kernel's symbols at `{}`: there are none", path.display());
            return Err(Error::new(ErrorKind::KernelLacks, missing)
                .with_hint("tracer finds functions by name in a kernel built with CONFIG_KALLSYMS"));
        }
        let current = Mutex::new(Current { symbols_file, modules_file, modules, symbols: None });
        Ok(self.0.loaded.get_or_init(|| Loaded { symbols, current }))
    }
}

impl Current {
    /// Reads the symbols of modules again when there are others.
    fn refresh(&mut self) {
        let Some(modules) = self.modules_file.as_mut().map(read_modules).filter(|modules| *modules != self.modules)
        else {
            return;
        };
        // What can't be read stays as it was.
        if let Ok(text) = read(&mut self.symbols_file) {
            let of_modules: String = text.split_inclusive('\n').filter(|line| line.contains('[')).collect();
            self.symbols = Some(Symbols::parse(&of_modules));
            self.modules = modules;
        }
    }

    /// Whether the module at whose symbol an address was found reaches that far. Behind it, generated code begins.
    fn holds(&self, location: &Location<'_>, address: u64) -> bool {
        let module = location.module.and_then(|module| self.modules.get(module));
        module.is_none_or(|&(start, size)| start == 0 || address < start.saturating_add(size))
    }
}

fn read(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// The lines `NAME SIZE REFERENCES USERS STATE ADDRESS`; none when they can't be read.
fn read_modules(file: &mut File) -> Modules {
    let text = read(file).unwrap_or_default();
    let module = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let address = u64::from_str_radix(fields.get(5)?.trim_start_matches("0x"), 16).ok()?;
        Some((fields[0].to_owned(), (address, fields[1].parse().ok()?)))
    };
    text.lines().filter_map(module).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::SymbolSource;

    const VMLINUX: &str = "ffffffff81000000 T ip_rcv\nffffffff81000100 T udp_rcv\n";

    #[test]
    fn addresses_of_modules_are_named_by_those_that_are_loaded() {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path().join("proc");
        fs::create_dir(&proc).unwrap();
        let write = |symbols: &str, modules: &str| {
            fs::write(proc.join("kallsyms"), format!("{VMLINUX}{symbols}")).unwrap();
            fs::write(proc.join("modules"), modules).unwrap();
        };
        let veth = "ffffffffc0000000 t veth_xmit\t[veth]\n";
        write(veth, "veth 4096 0 - Live 0xffffffffc0000000\n");
        let source = SymbolSource::new(root.path());
        let locate = |address| source.locate(address);
        assert_eq!(locate(0xffff_ffff_8100_0010).as_deref(), Some("ip_rcv+0x10"));
        assert_eq!(locate(0xffff_ffff_c000_0010).as_deref(), Some("veth_xmit+0x10 [veth]"));
        assert_eq!(locate(0xffff_ffff_c000_1000), None, "behind the module");

        let nft = "ffffffffc0002000 t nft_do_chain\t[nf_tables]\n";
        write(
            &format!("{veth}{nft}"),
            "nf_tables 4096 0 - Live 0xffffffffc0002000\nveth 4096 0 - Live 0xffffffffc0000000\n",
        );
        assert_eq!(locate(0xffff_ffff_c000_2010).as_deref(), Some("nft_do_chain+0x10 [nf_tables]"));
        assert_eq!(locate(0xffff_ffff_c000_0010).as_deref(), Some("veth_xmit+0x10 [veth]"));
        assert_eq!(locate(0xffff_ffff_8100_0110).as_deref(), Some("udp_rcv+0x10"));

        write(nft, "nf_tables 4096 0 - Live 0xffffffffc0002000\n");
        assert_eq!(locate(0xffff_ffff_c000_0010), None, "the module is gone");
        assert_eq!(source.get().unwrap().len(), 3, "these stay as they were");
    }
}
