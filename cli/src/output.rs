// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where commands write: standard output, or a file that only its owner may read.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;
use tracer_core::error::{Error, ErrorKind};

use crate::input::Source;

/// Files hold the bytes of packets.
const MODE: u32 = 0o600;

const BUFFER: usize = 256 << 10;

/// Standard output, buffered.
///
/// # Errors
/// When it is the file that `source` reads.
pub(crate) fn stdout(source: &Source) -> anyhow::Result<BufWriter<File>> {
    let stdout = io::stdout().as_fd().try_clone_to_owned().context("cannot write to standard output")?;
    let stdout = File::from(stdout);
    let metadata = stdout.metadata().context("cannot write to standard output")?;
    if source.is(&metadata) {
        return Err(same_file("standard output", source));
    }
    Ok(BufWriter::with_capacity(BUFFER, stdout))
}

/// Whether nobody looks at what is written to standard output, neither on a terminal nor with a pager.
pub(crate) fn is_out_of_sight(stdout: &BufWriter<File>) -> bool {
    stdout.get_ref().metadata().is_ok_and(|metadata| metadata.is_file())
}

/// Writes all of a text to standard output.
///
/// # Errors
/// When it can't be written.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(stdout_error)
}

/// An error about writing to standard output.
pub(crate) fn stdout_error(error: io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context("cannot write to standard output")
}

/// Refuses `path` when it is the file that `source` reads.
pub(crate) fn refuse_input(path: &Path, source: &Source) -> anyhow::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if source.is(&metadata) => Err(same_file(&format!("`{}`", path.display()), source)),
        _ => Ok(()),
    }
}

/// Creates or empties the file at `path`; its mode is 0600 afterwards.
///
/// # Errors
/// When it is the file that `source` reads, or cannot be written.
pub(crate) fn create(path: &Path, source: &Source) -> anyhow::Result<BufWriter<File>> {
    let file = open_unless(path, |metadata| {
        if source.is(metadata) { Err(same_file(&format!("`{}`", path.display()), source)) } else { Ok(()) }
    })?;
    empty(&file).map_err(|error| write_error(path, error))?;
    Ok(BufWriter::with_capacity(BUFFER, file))
}

/// Opens the file at `path` if there is one. If there is none, sees whether it could be made; then there still is none.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn open_existing(path: &Path) -> anyhow::Result<Option<File>> {
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        Ok(_) if fs::remove_file(path).is_ok() => Ok(None),
        // It can't be removed, as in a folder that can only be appended to.
        Ok(file) => Ok(Some(file)),
        // It exists; or it can't be made, and is not opened either, with the same words.
        Err(_) => open(path).map(Some),
    }
}

/// Opens the file at `path`, or creates it; its mode is 0600 afterwards. What it holds stays until [`empty`] is called.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn open(path: &Path) -> anyhow::Result<File> {
    open_unless(path, |_| Ok(()))
}

/// Empties a file that was opened; a pipe or a device has nothing to empty.
///
/// # Errors
/// Those of the file system.
pub(crate) fn empty(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { file.set_len(0) } else { Ok(()) }
}

/// The file is looked at before anything is done to it: between an earlier look and now it may have become another file.
fn open_unless(path: &Path, check: impl FnOnce(&fs::Metadata) -> anyhow::Result<()>) -> anyhow::Result<File> {
    let open = || -> Result<(File, fs::Metadata), io::Error> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(path)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    };
    let (file, metadata) = open().map_err(|error| write_error(path, error))?;
    check(&metadata)?;
    if metadata.is_file() {
        file.set_permissions(Permissions::from_mode(MODE)).map_err(|error| write_error(path, error))?;
    }
    Ok(file)
}

/// An error about writing to `path`.
pub(crate) fn write_error(path: &Path, error: io::Error) -> anyhow::Error {
    let error = match error.kind() {
        // Whoever reads from there has seen enough.
        io::ErrorKind::BrokenPipe => return error.into(),
        io::ErrorKind::PermissionDenied => Error::new(ErrorKind::NotPermitted, error),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Error::new(ErrorKind::Failure, error).with_hint("the folder must exist")
        }
        io::ErrorKind::IsADirectory => Error::new(ErrorKind::Failure, error).with_hint("name a file in it"),
        _ => Error::new(ErrorKind::Failure, error),
    };
    anyhow::Error::new(error).context(format!("cannot write `{}`", path.display()))
}

fn same_file(name: &str, source: &Source) -> anyhow::Error {
    let message = format!("{name} is the file that is read ({})", source.name());
    anyhow::Error::new(Error::new(ErrorKind::Usage, message).with_hint("name another output file"))
}
