// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tracer_core::error::{Error, ErrorKind};

use super::{SIZE_LIMIT, SearchPath, list, load, user_configuration};
use crate::Origin;

/// Two folders of profiles, and one that does not exist.
struct Folders {
    own: TempDir,
    team: TempDir,
}

impl Folders {
    fn new() -> Self {
        Self { own: TempDir::new().unwrap(), team: TempDir::new().unwrap() }
    }

    fn search(&self) -> SearchPath {
        let folders = [self.own.path(), Path::new("/nonexistent/tracer/profiles"), self.team.path()];
        SearchPath::new(folders.map(PathBuf::from))
    }

    fn load(&self, name: &str) -> Result<String, Error> {
        load(name, &self.search()).map(|profile| profile.about().to_owned())
    }
}

fn write(folder: &TempDir, file: &str, name: &str, about: &str) -> PathBuf {
    let path = folder.path().join(file);
    fs::write(&path, format!("version: 1\nname: {name}\nabout: {about}\ncollect: [{{args: {{}}}}]\n")).unwrap();
    path
}

#[test]
fn an_earlier_folder_counts_and_built_in_profiles_come_last() {
    let folders = Folders::new();
    assert_eq!(load("generic", &folders.search()).unwrap().origin(), &Origin::BuiltIn { name: "generic" });
    write(&folders.team, "generic.yaml", "generic", "the team's");
    assert_eq!(folders.load("generic").unwrap(), "the team's");
    let own = write(&folders.own, "generic.yml", "generic", "my own");
    assert_eq!(folders.load("generic").unwrap(), "my own");
    assert_eq!(load("generic", &folders.search()).unwrap().origin(), &Origin::File(own));
}

#[test]
fn finds_by_file_name_first_and_then_by_name() {
    let folders = Folders::new();
    write(&folders.own, "a.yaml", "web", "named so inside");
    assert_eq!(folders.load("web").unwrap(), "named so inside");
    assert_eq!(folders.load("a").unwrap(), "named so inside");
    write(&folders.own, "web.yaml", "other", "named so outside");
    assert_eq!(folders.load("web").unwrap(), "named so outside");
}

#[test]
fn a_path_is_a_file_and_not_searched_for() {
    let folders = Folders::new();
    let path = write(&folders.own, "plain", "generic", "a file");
    assert_eq!(folders.load(path.to_str().unwrap()).unwrap(), "a file");
    for path in ["generic.yaml", "./generic", "nowhere/generic.yml"] {
        let error = folders.load(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadProfile);
        assert_eq!(error.to_string(), format!("the profile `{path}` can't be read"));
        assert!(error.source().is_some());
    }
}

#[test]
fn suggests_similar_names() {
    let folders = Folders::new();
    write(&folders.team, "general.yaml", "general", "x");
    let error = folders.load("generci").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadProfile);
    assert_eq!(error.to_string(), "there is no profile `generci`");
    assert_eq!(error.hint(), Some("did you mean `generic`, `general`?"));
}

#[test]
fn shows_all_names_when_none_is_similar() {
    let folders = Folders::new();
    write(&folders.team, "web.yaml", "web", "x");
    write(&folders.team, "generic.yaml", "generic", "x");
    for name in ["quux", "", "..", "\0"] {
        let error = folders.load(name).unwrap_err();
        assert_eq!(
            error.hint(),
            Some(
                "there are `all-skb`, `ct`, `dropmon`, `generic`, `ifdump`, `nft-dropmon`, `ovs-datapath`, `ovs-upcall`, `ovs-vport`, `web`; a file is named with a `/` or `.yaml`"
            ),
            "{name:?}"
        );
    }
}

#[test]
fn lists_all_with_their_origin_by_name_and_importance() {
    let folders = Folders::new();
    let own = write(&folders.own, "z.yaml", "generic", "mine");
    let broken = folders.own.path().join("broken.yaml");
    fs::write(&broken, "version: 1\nnmae: x\n").unwrap();
    write(&folders.own, "notes.txt", "notes", "not a profile");
    let team = write(&folders.team, "generic.yaml", "generic", "the team's");

    let listed = list(&folders.search());
    let shown: Vec<_> =
        listed.iter().map(|listed| (listed.name.as_str(), &listed.origin, listed.profile.is_ok())).collect();
    assert_eq!(
        shown,
        [
            ("all-skb", &Origin::BuiltIn { name: "all-skb" }, true),
            ("broken", &Origin::File(broken), false),
            ("ct", &Origin::BuiltIn { name: "ct" }, true),
            ("dropmon", &Origin::BuiltIn { name: "dropmon" }, true),
            ("generic", &Origin::File(own), true),
            ("generic", &Origin::File(team), true),
            ("generic", &Origin::BuiltIn { name: "generic" }, true),
            ("ifdump", &Origin::BuiltIn { name: "ifdump" }, true),
            ("nft-dropmon", &Origin::BuiltIn { name: "nft-dropmon" }, true),
            ("ovs-datapath", &Origin::BuiltIn { name: "ovs-datapath" }, true),
            ("ovs-upcall", &Origin::BuiltIn { name: "ovs-upcall" }, true),
            ("ovs-vport", &Origin::BuiltIn { name: "ovs-vport" }, true),
        ]
    );
}

#[test]
fn a_wrong_file_is_an_error_only_for_who_asks_for_it() {
    let folders = Folders::new();
    let broken = folders.own.path().join("broken.yaml");
    fs::write(&broken, "version: 1\nnmae: generic\n").unwrap();
    assert!(folders.load("generic").is_ok());
    let error = folders.load("broken").unwrap_err();
    assert!(error.to_string().starts_with(&format!("{}:2: unknown field `nmae`", broken.display())), "{error}");
}

#[test]
fn limits_the_size_and_wants_text() {
    let folders = Folders::new();
    let path = write(&folders.own, "large.yaml", "large", "x");
    let mut text = fs::read(&path).unwrap();
    text.push(b'#');
    text.resize(usize::try_from(SIZE_LIMIT).unwrap(), b'x');
    fs::write(&path, &text).unwrap();
    assert_eq!(folders.load("large").unwrap(), "x");
    text.push(b'x');
    fs::write(&path, &text).unwrap();
    assert_eq!(
        folders.load("large").unwrap_err().to_string(),
        format!("the profile `{}` is larger than 1 MiB", path.display())
    );

    fs::write(&path, b"version: 1\nname: \xff\n").unwrap();
    assert_eq!(folders.load("large").unwrap_err().kind(), ErrorKind::BadProfile);
    assert!(folders.load("/dev/zero").unwrap_err().to_string().ends_with("larger than 1 MiB"));
}

#[test]
fn does_not_wait_for_a_pipe_in_a_folder() {
    let folders = Folders::new();
    let made = Command::new("mkfifo").arg(folders.own.path().join("generic.yaml")).status().unwrap();
    assert!(made.success());
    assert!(folders.load("generic").is_ok());
}

#[test]
fn the_users_folder_follows_the_base_directory_specification() {
    let folder = |config_home: Option<&str>, home: Option<&str>| {
        user_configuration(config_home.map(Into::into), home.map(Into::into))
    };
    assert_eq!(folder(Some("/c"), Some("/home/a")), Some("/c".into()));
    assert_eq!(folder(None, Some("/home/a")), Some("/home/a/.config".into()));
    assert_eq!(folder(Some(""), Some("/home/a")), Some("/home/a/.config".into()));
    assert_eq!(folder(Some("relative"), None), None);
}
