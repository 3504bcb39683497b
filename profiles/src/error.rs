// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be wrong with a profile.

use std::io;
use std::path::PathBuf;

use tracer_core::error::{Error, ErrorKind};

use crate::profile::Origin;
use crate::text::printable;

/// Why a profile can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No profile has the name.
    #[error("there is no profile `{name}`")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// Names that there are: similar ones, or all if none is.
        others: Vec<String>,
        /// Whether `others` are similar.
        similar: bool,
    },
    /// The file can't be read.
    #[error("the profile `{}` can't be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The file is too large for a profile.
    #[error("the profile `{}` is larger than 1 MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is no YAML, or not what a profile consists of.
    #[error("{origin}{}: {message}", line.map(|line| format!(":{line}")).unwrap_or_default())]
    Malformed {
        /// Where the profile is.
        origin: Origin,
        /// The line, from 1, where it is known.
        line: Option<usize>,
        /// The key and what is wrong with it.
        message: String,
    },
    /// No entry has conditions that hold.
    #[error("the profile `{name}` has nothing for the kernel {release}")]
    NothingApplies {
        /// The profile.
        name: String,
        /// The kernel.
        release: String,
    },
    /// A condition asks for the version of a kernel whose release does not say it.
    #[error("the kernel release `{0}` does not begin with a version")]
    Release(String),
}

impl ProfileError {
    /// Tells where in the text an error is, once, in front of the message.
    pub(crate) fn malformed(origin: &Origin, error: &serde_yaml::Error) -> Self {
        let location = error.location();
        let mut message = error.to_string();
        if let Some(location) = &location {
            let at = format!(" at line {} column {}", location.line(), location.column());
            if let Some(before) = message.strip_suffix(&at) {
                message.truncate(before.len());
            }
        }
        Self::Malformed {
            origin: origin.clone(),
            line: location.map(|location| location.line()),
            message: printable(&message),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NothingApplies { .. } | Self::Release(_) => ErrorKind::KernelLacks,
            _ => ErrorKind::BadProfile,
        }
    }

    fn hint(&self) -> Option<String> {
        let Self::Unknown { others, similar, .. } = self else { return None };
        let names = others.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        Some(if *similar {
            format!("did you mean {names}?")
        } else {
            format!("there are {names}; a file is named with a `/` or `.yaml`")
        })
    }
}

impl From<ProfileError> for Error {
    fn from(error: ProfileError) -> Self {
        let hint = error.hint();
        let error = Self::new(error.kind(), error);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}
