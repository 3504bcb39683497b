// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What older kernels can't do, in the words of `collect` and `inspect`. Each sentence goes on after "this kernel".

use std::fs;

use super::Kernel;
use super::features::Features;

pub(crate) const MISSES_NOT_COUNTED: &str =
    "does not count the hits of kprobes that it skips while another one is running";
pub(crate) const FUNCTIONS_ONE_BY_ONE: &str = "attaches to functions one by one";
pub(crate) const RETURNS_ONE_BY_ONE: &str = "attaches to returns one by one";
pub(crate) const RETURNS_BY_ORDER: &str = "tells returns apart by their order only";
pub(crate) const MODULES_NOT_DESCRIBED: &str = "does not say where functions of modules have their packets";
pub(crate) const NO_USDT: &str = "does not tell programs at which USDT probe they are (that came with 5.15)";

impl Kernel {
    /// What it can't do for a session that probes functions, with or without their returns.
    pub(crate) fn limits(&self, features: Features, has_returns: bool) -> Vec<&'static str> {
        let limits = [
            (!features.counts_misses, MISSES_NOT_COUNTED),
            (!features.kprobe_multi, FUNCTIONS_ONE_BY_ONE),
            (has_returns && features.kprobe_multi && !features.kprobe_session, RETURNS_ONE_BY_ONE),
            (has_returns && !features.cookies, RETURNS_BY_ORDER),
            (!self.describes_modules(), MODULES_NOT_DESCRIBED),
        ];
        limits.into_iter().filter_map(|(applies, limit)| applies.then_some(limit)).collect()
    }

    /// Whether the kernel has types for its modules; true when none is loaded.
    pub(crate) fn describes_modules(&self) -> bool {
        let has_modules = fs::read_to_string(self.path("proc/modules")).is_ok_and(|modules| !modules.is_empty());
        !has_modules || self.modules().is_ok_and(|modules| !modules.is_empty())
    }
}
