// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of reasons, from the types of the running kernel: every release numbers them anew.
//!
//! The upper half of a reason's number is that of its subsystem. Those of modules are described in the modules, which may be loaded
//! later.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracer_core::kernel::Kernel;
use tracer_core::kernel::btf::{Btf, Types};

/// The enum of reasons, and what its names begin with.
const REASONS: &str = "skb_drop_reason";
const PREFIX: &str = "SKB_DROP_REASON_";

/// The enum of subsystems, and what its names begin with.
const SUBSYSTEMS: &str = "skb_drop_reason_subsys";
const SUBSYSTEM_PREFIX: &str = "SKB_DROP_REASON_SUBSYS_";

/// The reasons of queueing disciplines.
const QDISC_REASONS: &str = "qdisc_drop_reason";

/// Modules with reasons of their own, and the enums in which these are. Of two names for a reason the first one counts.
const MODULES: [(&str, &[&str]); 2] =
    [("openvswitch", &["ovs_drop_reason"]), ("mac80211", &["mac80211_drop_reason", "___mac80211_drop_reason"])];

/// Least time between two looks for modules that were not loaded.
const INTERVAL: Duration = Duration::from_secs(1);

/// The names that are known.
pub(super) struct Reasons {
    /// The folder with the types of vmlinux and of modules.
    folder: PathBuf,
    names: HashMap<u32, String>,
    subsystems: HashMap<u32, String>,
    /// Modules that were not loaded when they were last looked for, and when that was.
    missing: Vec<(&'static str, &'static [&'static str])>,
    looked: Instant,
}

impl Reasons {
    /// Those of this kernel; `None` when it gives no reasons.
    pub(super) fn read(kernel: &Kernel) -> Option<Self> {
        let vmlinux = kernel.vmlinux().ok()?;
        let types = Types::new(vmlinux, None);
        let mut reasons = Self {
            folder: kernel.path("sys/kernel/btf"),
            names: HashMap::new(),
            subsystems: HashMap::new(),
            missing: MODULES.to_vec(),
            looked: Instant::now(),
        };
        reasons.add(types, REASONS)?;
        reasons.add(types, QDISC_REASONS);
        for (name, value) in types.enumeration(SUBSYSTEMS).unwrap_or_default() {
            let name = name.strip_prefix(SUBSYSTEM_PREFIX).unwrap_or(name);
            reasons.subsystems.entry(value as u32).or_insert_with(|| name.to_lowercase());
        }
        reasons.look(Some(vmlinux));
        Some(reasons)
    }

    /// The name of a reason, or its number, and its subsystem unless that is the core.
    pub(super) fn describe(&mut self, reason: u32) -> (Cow<'_, str>, Option<Cow<'_, str>>) {
        let subsystem = reason >> 16;
        if subsystem != 0
            && !self.missing.is_empty()
            && !self.names.contains_key(&reason)
            && self.looked.elapsed() >= INTERVAL
        {
            self.look(None);
        }
        let name = match self.names.get(&reason) {
            Some(name) => Cow::Borrowed(name.as_str()),
            None => Cow::Owned(reason.to_string()),
        };
        let subsystem = (subsystem != 0).then(|| match self.subsystems.get(&subsystem) {
            Some(name) => Cow::Borrowed(name.as_str()),
            None => Cow::Owned(subsystem.to_string()),
        });
        (name, subsystem)
    }

    /// The number of a reason.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.names.iter().find(|(_, own)| *own == name).map(|(number, _)| *number)
    }

    /// Looks for the modules that were missing. Each is read once; while one is not there, that costs a look at the folder.
    fn look(&mut self, vmlinux: Option<&Btf>) {
        self.looked = Instant::now();
        let mut own = None;
        for (module, enums) in std::mem::take(&mut self.missing) {
            let Ok(data) = fs::read(self.folder.join(module)) else {
                self.missing.push((module, enums));
                continue;
            };
            // A module that can't be understood has no names, now or later.
            let vmlinux = match vmlinux {
                Some(vmlinux) => vmlinux,
                None => {
                    if own.is_none() {
                        own = fs::read(self.folder.join("vmlinux")).ok().and_then(|data| Btf::parse(data).ok());
                    }
                    let Some(own) = &own else { continue };
                    own
                }
            };
            if let Ok(btf) = Btf::parse_split(data, vmlinux) {
                for name in enums {
                    self.add(Types::new(&btf, Some(vmlinux)), name);
                }
            }
        }
    }

    /// Adds the names of an enum that are not known yet; nothing when there is no such enum.
    fn add(&mut self, types: Types<'_>, name: &str) -> Option<()> {
        for (name, value) in types.enumeration(name)? {
            let name = name.strip_prefix(PREFIX).or_else(|| name.strip_prefix("SKB_")).unwrap_or(name);
            self.names.entry(value as u32).or_insert_with(|| name.trim_start_matches('_').to_owned());
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Instant;

    use tempfile::TempDir;
    use tracer_core::kernel::Kernel;

    use super::{INTERVAL, Reasons};

    /// BTF with enums: vmlinux, or a module behind a base with so many types and bytes of names.
    fn btf(base: (u32, u32), enums: &[(&str, &[(&str, u32)])]) -> (Vec<u8>, (u32, u32)) {
        let (mut types, mut strings) = (Vec::new(), if base.1 == 0 { vec![0] } else { Vec::new() });
        let mut string = |text: &str| {
            let offset = base.1 + strings.len() as u32;
            strings.extend(text.bytes().chain([0]));
            offset
        };
        for (name, values) in enums {
            let mut words = vec![string(name), 6 << 24 | values.len() as u32, 4];
            for (name, value) in *values {
                words.extend([string(name), *value]);
            }
            types.extend(words.into_iter().flat_map(u32::to_ne_bytes));
        }
        let (types_size, strings_size) = (types.len() as u32, strings.len() as u32);
        let mut data = [&0xeb9f_u16.to_ne_bytes()[..], &[1, 0]].concat();
        for word in [24, 0, types_size, types_size, strings_size] {
            data.extend(u32::to_ne_bytes(word));
        }
        (data.into_iter().chain(types).chain(strings).collect(), (base.0 + enums.len() as u32, base.1 + strings_size))
    }

    const VMLINUX: &[(&str, &[(&str, u32)])] = &[
        ("skb_drop_reason", &[("SKB_NOT_DROPPED_YET", 0), ("SKB_CONSUMED", 1), ("SKB_DROP_REASON_NOT_SPECIFIED", 2)]),
        ("skb_drop_reason_subsys", &[("SKB_DROP_REASON_SUBSYS_CORE", 0), ("SKB_DROP_REASON_SUBSYS_OPENVSWITCH", 2)]),
        ("qdisc_drop_reason", &[("QDISC_DROP_OVERLIMIT", 0x30002)]),
    ];

    fn folder(root: &Path) -> std::path::PathBuf {
        let folder = root.join("sys/kernel/btf");
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn kernel() -> (TempDir, (u32, u32)) {
        let root = tempfile::tempdir().unwrap();
        let (data, end) = btf((0, 0), VMLINUX);
        fs::write(folder(root.path()).join("vmlinux"), data).unwrap();
        (root, end)
    }

    fn words(reasons: &mut Reasons, number: u32) -> (String, Option<String>) {
        let (name, subsystem) = reasons.describe(number);
        (name.into_owned(), subsystem.map(std::borrow::Cow::into_owned))
    }

    fn pair(name: &str, subsystem: Option<&str>) -> (String, Option<String>) {
        (name.to_owned(), subsystem.map(str::to_owned))
    }

    #[test]
    fn what_has_no_name_stays_a_number() {
        let (root, _) = kernel();
        let mut reasons = Reasons::read(&Kernel::new(root.path())).unwrap();
        assert_eq!(reasons.number("CONSUMED"), Some(1));
        assert_eq!(words(&mut reasons, 2), pair("NOT_SPECIFIED", None));
        assert_eq!(words(&mut reasons, 77), pair("77", None));
        assert_eq!(words(&mut reasons, 0x20003), pair("131075", Some("openvswitch")));
        assert_eq!(words(&mut reasons, 0x30002), pair("QDISC_DROP_OVERLIMIT", Some("3")));
        assert_eq!(words(&mut reasons, u32::MAX), pair("4294967295", Some("65535")));
    }

    #[test]
    fn reasons_of_a_module_that_is_loaded_later_get_their_names() {
        let (root, end) = kernel();
        let mut reasons = Reasons::read(&Kernel::new(root.path())).unwrap();
        let (data, _) = btf(
            (end.0, end.1),
            &[("ovs_drop_reason", &[("__OVS_DROP_REASON", 0x20000), ("OVS_DROP_EXPLICIT", 0x20003)])],
        );
        fs::write(folder(root.path()).join("openvswitch"), data).unwrap();
        assert_eq!(words(&mut reasons, 0x20003), pair("131075", Some("openvswitch")), "not looked for again so soon");
        reasons.looked = Instant::now().checked_sub(INTERVAL * 2).unwrap();
        assert_eq!(words(&mut reasons, 0x20003), pair("OVS_DROP_EXPLICIT", Some("openvswitch")));
        assert_eq!(reasons.missing.len(), 1, "it is not read again");
        reasons.looked = Instant::now().checked_sub(INTERVAL * 2).unwrap();
        assert_eq!(words(&mut reasons, 0x20009), pair("131081", Some("openvswitch")));
    }

    #[test]
    fn the_shorter_of_two_names_is_taken() {
        let (root, end) = kernel();
        let enums: [(&str, &[(&str, u32)]); 2] = [
            ("___mac80211_drop_reason", &[("___RX_DROP_UNUSABLE", 0x10000), ("___RX_DROP_U_DUP", 0x10004)]),
            ("mac80211_drop_reason", &[("RX_DROP_U_DUP", 0x10004)]),
        ];
        fs::write(folder(root.path()).join("mac80211"), btf(end, &enums).0).unwrap();
        let mut reasons = Reasons::read(&Kernel::new(root.path())).unwrap();
        assert_eq!(words(&mut reasons, 0x10004).0, "RX_DROP_U_DUP");
        assert_eq!(words(&mut reasons, 0x10000).0, "RX_DROP_UNUSABLE");
    }

    #[test]
    fn a_kernel_without_reasons_is_told_from_one_with() {
        let root = tempfile::tempdir().unwrap();
        let (data, _) = btf((0, 0), &[("other", &[("A", 0)])]);
        fs::write(folder(root.path()).join("vmlinux"), data).unwrap();
        assert!(Reasons::read(&Kernel::new(root.path())).is_none());
    }
}
