// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Profiles: their arguments take their place on the command line in front of the user's own, which add to them or override
//! them.

use std::ffi::OsString;

use tracer_core::error::Error;
use tracer_core::kernel::Kernel;
use tracer_profiles::{Arg, Conditions, SearchPath, load};

/// The command line with the arguments of the profiles that it names.
pub(crate) fn expand(mut arguments: Vec<OsString>, profiles: &[String]) -> anyhow::Result<Vec<OsString>> {
    let kernel = Kernel::new("/");
    let conditions = RunningKernel { release: kernel.release().release, kernel };
    let search = SearchPath::standard();
    let mut added = Vec::new();
    for name in profiles {
        let profile = load(name, &search)?;
        for arg in profile.collect_args(&conditions)? {
            added.push(argument(&arg));
        }
    }
    let behind_subcommand = subcommand_position(&arguments) + 1;
    arguments.splice(behind_subcommand..behind_subcommand, added);
    Ok(arguments)
}

/// What a profile asks for, it can do without: such probes and collectors have options of their own.
fn argument(arg: &Arg) -> OsString {
    let option = match arg.option.as_str() {
        "probe" => "profile-probe",
        "collectors" => "profile-collectors",
        other => other,
    };
    match &arg.value {
        None => format!("--{option}").into(),
        Some(value) => format!("--{option}={value}").into(),
    }
}

/// Where the subcommand stands. In front of it there is only `--profile`, which takes a value.
fn subcommand_position(arguments: &[OsString]) -> usize {
    let mut position = 1;
    while let Some(argument) = arguments.get(position).and_then(|argument| argument.to_str()) {
        match argument {
            "-p" | "--profile" => position += 2,
            option if option.starts_with('-') => position += 1,
            _ => break,
        }
    }
    position.min(arguments.len().saturating_sub(1))
}

struct RunningKernel {
    kernel: Kernel,
    release: String,
}

impl Conditions for RunningKernel {
    fn kernel_release(&self) -> &str {
        &self.release
    }

    fn has_symbol(&self, name: &str) -> bool {
        self.kernel.symbols().is_ok_and(|symbols| symbols.functions(name).next().is_some())
    }

    fn has_tracepoint(&self, group: &str, name: &str) -> bool {
        match self.kernel.tracefs() {
            Some(tracefs) => tracefs.has_tracepoint(group, name),
            None => self
                .kernel
                .all_types()
                .is_ok_and(|all| all.iter().any(|(_, types)| !types.tracepoints(|found| found == name).is_empty())),
        }
    }
}

/// A profile that sets an option which `collect` does not have is a bad profile, not a bad command line.
pub(crate) fn refused(error: &clap::Error, profiles: &[String]) -> Error {
    let message = error.to_string();
    let first = message.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    Error::new(
        tracer_core::error::ErrorKind::BadProfile,
        format!("`collect` does not understand what the profile {} says: {first}", profiles.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::subcommand_position;

    #[test]
    fn finds_the_subcommand_behind_profiles() {
        let position = |line: &str| subcommand_position(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(position("tracer collect"), 1);
        assert_eq!(position("tracer -p collect collect -p ip_rcv"), 3);
        assert_eq!(position("tracer --profile=generic -pifdump collect"), 3);
        assert_eq!(position("tracer --profile generic collect"), 3);
    }
}
