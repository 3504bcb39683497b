// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The profiles that are part of the program.

use crate::error::ProfileError;
use crate::profile::{Origin, Profile};

macro_rules! built_in {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../builtin/", $name, ".yaml")))),*]
    };
}

/// Names and texts, by name. A test sees to it that no file is forgotten.
const BUILT_IN: &[(&str, &str)] =
    built_in!["all-skb" "ct" "dropmon" "generic" "ifdump" "nft-dropmon" "ovs-datapath" "ovs-upcall" "ovs-vport"];

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, Result<Profile, ProfileError>)> {
    BUILT_IN.iter().map(|&(name, text)| (name, Profile::read(text, Origin::BuiltIn { name })))
}

/// The one of this name.
pub(crate) fn find(name: &str) -> Option<Result<Profile, ProfileError>> {
    all().find(|(own, _)| *own == name).map(|(_, profile)| profile)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::all;
    use crate::Conditions;

    /// A kernel on which every condition about symbols and tracepoints has the same answer.
    struct Kernel(&'static str, bool);

    impl Conditions for Kernel {
        fn kernel_release(&self) -> &str {
            self.0
        }

        fn has_symbol(&self, _: &str) -> bool {
            self.1
        }

        fn has_tracepoint(&self, _: &str, _: &str) -> bool {
            self.1
        }
    }

    #[test]
    fn every_file_is_embedded_under_its_name() {
        let mut files: Vec<String> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/builtin"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let embedded: Vec<String> = all().map(|(name, _)| format!("{name}.yaml")).collect();
        assert_eq!(files, embedded);
        for (name, profile) in all() {
            assert_eq!(profile.unwrap().name(), name);
        }
    }

    #[test]
    fn every_one_says_what_it_is_for_and_sets_something_on_every_kernel() {
        for (name, profile) in all() {
            let profile = profile.unwrap();
            assert!(!profile.about().is_empty(), "{name}");
            for release in ["5.10.0-46-amd64", "6.1.0-53-amd64", "6.12.107+deb13-amd64", "7.2.2+deb14-amd64"] {
                for has in [false, true] {
                    let args = profile.collect_args(&Kernel(release, has)).unwrap();
                    assert!(args.iter().any(|arg| arg.option == "collectors"), "{name} on {release}");
                    let twice = args.iter().enumerate().find(|(index, arg)| args[..*index].contains(arg));
                    assert_eq!(twice, None, "{name} on {release}");
                }
            }
        }
    }
}
