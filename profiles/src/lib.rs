// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Profiles: YAML files that set the options of `tracer collect`, so that a team shares one way of looking.
//!
//! [`load`] finds a profile by name or path, and [`Profile::collect_args`] says which options it sets on a kernel, known
//! through [`Conditions`] only. What the options mean is not known here. `docs/profiles.md` describes the format.

mod args;
mod built_in;
mod conditions;
mod error;
mod profile;
mod search;
mod text;
mod version;

pub use args::Arg;
pub use conditions::Conditions;
pub use error::ProfileError;
pub use profile::{Origin, Profile};
pub use search::{Listed, SearchPath, list, load};
