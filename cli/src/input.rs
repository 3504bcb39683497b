// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The event file that a command reads.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tracer_core::error::{Error, ErrorKind};
use tracer_core::event::reader::EventReader;

/// Which event file to read.
#[derive(Args, Clone, Debug)]
pub(crate) struct InputArgs {
    /// The event file; `-` is standard input
    #[arg(value_name = "FILE", default_value = "events.json")]
    file: PathBuf,
}

/// Where events come from.
#[derive(Debug)]
pub(crate) struct Source {
    /// What it is called in messages.
    name: String,
    metadata: Metadata,
}

const BUFFER: usize = 256 << 10;

impl InputArgs {
    /// Opens the file.
    pub(crate) fn open(&self) -> anyhow::Result<(EventReader<Box<dyn BufRead>>, Source)> {
        let is_stdin = self.file == Path::new("-");
        let name = if is_stdin { "standard input".to_owned() } else { format!("`{}`", self.file.display()) };
        let file = if is_stdin {
            File::from(io::stdin().as_fd().try_clone_to_owned().context("cannot read standard input")?)
        } else {
            File::open(&self.file).map_err(open_error).with_context(|| format!("cannot read {name}"))?
        };
        let metadata = file.metadata().with_context(|| format!("cannot read {name}"))?;
        let reader = EventReader::new(Box::new(BufReader::with_capacity(BUFFER, file)) as Box<dyn BufRead>);
        Ok((reader, Source { name, metadata }))
    }
}

fn open_error(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::new(ErrorKind::Failure, error)
            .with_hint("`tracer collect -o` writes `events.json`; another file can be named"),
        io::ErrorKind::PermissionDenied => Error::new(ErrorKind::NotPermitted, error),
        _ => Error::new(ErrorKind::Failure, error),
    }
}

impl Source {
    /// Adds to an error where the events came from.
    pub(crate) fn error(&self, error: impl Into<Error>) -> anyhow::Error {
        anyhow::Error::new(error.into()).context(format!("cannot read {}", self.name))
    }

    /// Whether more may be written to the source while it is read: what is there should be shown at once.
    pub(crate) fn is_live(&self) -> bool {
        !self.metadata.is_file()
    }

    /// The size in bytes, 0 when unknown.
    pub(crate) fn size(&self) -> usize {
        if self.is_live() { 0 } else { usize::try_from(self.metadata.len()).unwrap_or(0) }
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether `other` is the same file, under whatever name.
    pub(crate) fn is(&self, other: &Metadata) -> bool {
        other.is_file() && (self.metadata.dev(), self.metadata.ino()) == (other.dev(), other.ino())
    }
}
