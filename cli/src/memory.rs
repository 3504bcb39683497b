// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How much memory commands take that sort events, and where the rest goes.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tracer_core::error::{Error, ErrorKind};

use crate::size::parse_size;

/// The options about memory.
#[derive(Args, Clone, Debug)]
pub(crate) struct MemoryArgs {
    /// Most memory for the events and the index that sorts them, in bytes; K, M and G are understood. What does not fit is
    /// sorted in temporary files. The program itself is not counted (about 10M), nor is the event at hand (at most 16M)
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = parse_memory)]
    pub(crate) memory: usize,
    /// Where temporary files are, instead of in `$TMPDIR` or /tmp. They have no names, are gone when the program ends, and take at
    /// most about twice the size of the input
    #[arg(long, value_name = "DIRECTORY")]
    temp_dir: Option<PathBuf>,
}

impl MemoryArgs {
    /// The folder for temporary files.
    pub(crate) fn folder(&self) -> anyhow::Result<PathBuf> {
        let Some(folder) = &self.temp_dir else {
            return Ok(env::temp_dir());
        };
        let failed = || format!("cannot have temporary files in `{}`", folder.display());
        let metadata =
            fs::metadata(folder).map_err(|error| Error::new(ErrorKind::Usage, error)).with_context(failed)?;
        if !metadata.is_dir() {
            return Err(Error::new(ErrorKind::Usage, "it is no directory")).with_context(failed);
        }
        Ok(folder.clone())
    }
}

fn parse_memory(text: &str) -> Result<usize, String> {
    const SMALLEST: u64 = 1 << 20;
    const LARGEST: u64 = 1 << 40;
    let size = parse_size(text)?;
    if !(SMALLEST..=LARGEST).contains(&size) {
        return Err("it can be 1M to 1024G".to_owned());
    }
    usize::try_from(size).map_err(|error| error.to_string())
}
