// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The datapath's own names for actions and for the fields of keys: kernels number some of them differently.

use std::collections::HashMap;

use tracer_core::kernel::Kernel;

use super::MODULE;

/// What the numbers of this kernel mean.
#[derive(Debug, Default)]
pub(super) struct Names {
    actions: HashMap<u32, String>,
    keys: HashMap<u32, String>,
}

impl Names {
    /// Those of this kernel; `None` when its types don't tell.
    pub(super) fn read(kernel: &Kernel) -> Option<Self> {
        let all = kernel.all_types().ok()?;
        let read = |name: &str, prefix: &str| {
            // Built into the kernel, it has no types of its own.
            let own = all.iter().filter(|(module, _)| module.is_none_or(|module| module == MODULE));
            let mut enums = own.filter_map(|(_, types)| types.enumeration(name));
            let named = |(name, value): (&str, i64)| {
                let name = name.strip_prefix(prefix)?;
                Some((u32::try_from(value).ok()?, name.to_lowercase()))
            };
            Some(enums.next()?.into_iter().filter_map(named).collect::<HashMap<u32, String>>())
        };
        Some(Self {
            actions: read("ovs_action_attr", "OVS_ACTION_ATTR_")?,
            keys: read("ovs_key_attr", "OVS_KEY_ATTR_").unwrap_or_default(),
        })
    }

    /// With these names; for tests.
    #[cfg(test)]
    pub(super) fn new(actions: &[(u32, &str)], keys: &[(u32, &str)]) -> Self {
        let map = |names: &[(u32, &str)]| names.iter().map(|(number, name)| (*number, (*name).to_owned())).collect();
        Self { actions: map(actions), keys: map(keys) }
    }

    /// The name of an action, in small letters.
    pub(super) fn action(&self, number: u32) -> Option<&str> {
        self.actions.get(&number).map(String::as_str)
    }

    /// The name of a field of a key, in small letters.
    pub(super) fn key(&self, number: u32) -> Option<&str> {
        self.keys.get(&number).map(String::as_str)
    }

    /// The number of an action; one that none has, when there is no such action.
    pub(super) fn action_number(&self, name: &str) -> u32 {
        number(&self.actions, name)
    }

    /// The number of a field of a key; one that none has, when there is no such field.
    pub(super) fn key_number(&self, name: &str) -> u32 {
        number(&self.keys, name)
    }
}

fn number(names: &HashMap<u32, String>, name: &str) -> u32 {
    names.iter().find(|(_, own)| *own == name).map_or(u32::MAX, |(number, _)| *number)
}
