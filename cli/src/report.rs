// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the user is told when something went wrong, and the exit code for it.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use tracer_core::error::{Error, ErrorKind};
use tracer_core::event::text::Escaped;

/// Prints what is wrong with the command line; or the help text or the version, when that is what was asked for.
pub(crate) fn command_line(error: &clap::Error) -> ExitCode {
    // When nobody reads, nobody can be told.
    let _ = error.print();
    if error.use_stderr() { ErrorKind::Usage.exit_code().into() } else { ExitCode::SUCCESS }
}

/// Prints an error with its causes and what can be done about it.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    let known = error.chain().find_map(|error| error.downcast_ref::<Error>());
    let is_filter = known.is_some_and(|error| error.kind() == ErrorKind::BadFilter);
    let mut label = "error";
    for cause in error.chain() {
        let cause = cause.to_string();
        match cause.split_once('\n') {
            // The text of a filter, and the mark under it, have lines of their own.
            Some((first, rest)) if is_filter => {
                say(label, first);
                rest.lines().for_each(line);
            }
            _ => say(label, cause),
        }
        label = "caused by";
    }
    if let Some(hint) = known.and_then(Error::hint) {
        say("hint", hint);
    }
    known.map_or(ErrorKind::Failure, Error::kind).exit_code().into()
}

/// Prints something that the user should know and that stops nothing.
pub(crate) fn warning(message: impl Display) {
    say("warning", message);
}

/// Prints a line of information.
pub(crate) fn line(message: impl Display) {
    let message = message.to_string();
    // When nobody reads, nobody can be told.
    let _ = io::stderr().write_all(format!("{}\n", Escaped(&message)).as_bytes());
}

/// Prints a line on stderr. File names and contents may be part of it, so it is escaped.
fn say(label: &str, message: impl Display) {
    let message = message.to_string();
    let _ = io::stderr().write_all(format!("{label}: {}\n", Escaped(&message)).as_bytes());
}

/// The reader of our output (`head`, a pager) has seen enough.
fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
