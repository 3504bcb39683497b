// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer collect`.

use clap::Args;

use crate::GlobalArgs;

/// The arguments of `tracer collect`.
#[derive(Args, Debug)]
pub(crate) struct CollectArgs {}

/// Runs `tracer collect`.
pub(crate) fn run(_args: CollectArgs, _global: &GlobalArgs) -> anyhow::Result<()> {
    anyhow::bail!("`collect` is not there yet")
}
