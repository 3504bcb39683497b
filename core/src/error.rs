// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What kind of failure an error is, so that the program can end with the exit code that scripts rely on.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The kinds of failure that a caller can tell apart; each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// None of the others: exit code 1.
    Failure,
    /// The command line or what it names makes no sense: exit code 2.
    Usage,
    /// A privilege is missing: exit code 3.
    NotPermitted,
    /// The running kernel lacks what was asked for: exit code 4.
    KernelLacks,
    /// What was asked for is about something that this machine does not use: exit code 4.
    NotInUse,
    /// A packet or metadata filter is wrong: exit code 5.
    BadFilter,
    /// A profile is wrong or missing: exit code 6.
    BadProfile,
    /// An event file is not what it should be: exit code 7.
    BadEventFile,
    /// Events were lost, and the user had asked for none to be: exit code 8.
    EventsLost,
}

impl ErrorKind {
    /// The exit code of the program when it ends for this reason.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotPermitted => 3,
            Self::KernelLacks | Self::NotInUse => 4,
            Self::BadFilter => 5,
            Self::BadProfile => 6,
            Self::BadEventFile => 7,
            Self::EventsLost => 8,
        }
    }
}

/// Any error, with its kind and, where there is one, a hint what to do about it.
///
/// It reads like the error that it was made from, and has the same sources.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    hint: Option<Cow<'static, str>>,
    error: Box<dyn StdError + Send + Sync>,
}

impl Error {
    /// Gives `error` (which may be just a text) a kind.
    pub fn new(kind: ErrorKind, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, hint: None, error: error.into() }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}
