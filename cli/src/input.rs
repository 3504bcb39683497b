// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The event file that a command reads.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tracer_core::error::{Error, ErrorKind};
use tracer_core::event::reader::Truncated;

use crate::report;

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
    path: Option<PathBuf>,
    metadata: Metadata,
}

impl InputArgs {
    /// Opens the file.
    pub(crate) fn open(&self) -> anyhow::Result<(File, Source)> {
        let is_stdin = self.file == Path::new("-");
        let name = if is_stdin { "standard input".to_owned() } else { format!("`{}`", self.file.display()) };
        let file = if is_stdin {
            File::from(io::stdin().as_fd().try_clone_to_owned().context("cannot read standard input")?)
        } else {
            File::open(&self.file).map_err(open_error).with_context(|| format!("cannot read {name}"))?
        };
        let metadata = file.metadata().with_context(|| format!("cannot read {name}"))?;
        let path = (!is_stdin).then(|| self.file.clone());
        let source = Source { name, path, metadata };
        if source.metadata.is_dir() {
            let error = Error::new(ErrorKind::BadEventFile, "it is a directory");
            return Err(
                source.error(error.with_hint("an event file can be named; `tracer collect -o` writes `events.json`"))
            );
        }
        Ok((file, source))
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

    /// Where it is, unless it is standard input.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether it is a pipe or something of the kind: what comes should be shown at once.
    pub(crate) fn is_live(&self) -> bool {
        !self.metadata.is_file()
    }

    /// The size in bytes, if it has one.
    pub(crate) fn size(&self) -> Option<u64> {
        (!self.is_live()).then_some(self.metadata.len())
    }

    /// Tells the user of what is not as it should be at the end of the source.
    pub(crate) fn report_end(&self, truncated: Option<Truncated>, is_empty: bool) {
        match truncated {
            Some(truncated) => report::warning(format_args!("{}: {truncated}", self.name)),
            None if is_empty => report::warning(format_args!("{} holds no events", self.name)),
            None => {}
        }
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
