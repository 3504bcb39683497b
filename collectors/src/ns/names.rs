// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of network namespaces: `ip netns` keeps a file for each in `/run/netns`, whose inode is the namespace's number.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Least time between two looks into the folder.
const INTERVAL: Duration = Duration::from_secs(1);

/// The names that are known. A namespace that shows up later is looked for, but not more often than once a second.
pub(super) struct Names {
    folder: PathBuf,
    by_inum: HashMap<u32, String>,
    read: Option<Instant>,
}

impl Names {
    pub(super) fn new(folder: PathBuf) -> Self {
        let mut names = Self { folder, by_inum: HashMap::new(), read: None };
        names.refresh();
        names
    }

    pub(super) fn get(&mut self, inum: u32) -> Option<&str> {
        if !self.by_inum.contains_key(&inum) && self.read.is_none_or(|read| read.elapsed() > INTERVAL) {
            self.refresh();
        }
        self.by_inum.get(&inum).map(String::as_str)
    }

    /// Adds what is there now. Names of namespaces that are gone stay: events of theirs may still be on their way.
    fn refresh(&mut self) {
        self.read = Some(Instant::now());
        // No folder, or a file that vanishes meanwhile: there are no names, and nothing is wrong.
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let (Ok(metadata), Ok(name)) = (fs::metadata(entry.path()), entry.file_name().into_string()) else {
                continue;
            };
            if let Ok(inum) = u32::try_from(metadata.ino()) {
                self.by_inum.insert(inum, name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Names;
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn finds_a_namespace_that_was_added_later() {
        let folder = std::env::temp_dir().join(format!("tracer-names-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut names = Names::new(folder.clone());
        assert_eq!(names.get(1), None);
        fs::write(folder.join("blue"), "").unwrap();
        let inum = u32::try_from(fs::metadata(folder.join("blue")).unwrap().ino() & 0xffff_ffff).unwrap();
        names.read = None;
        assert_eq!(names.get(inum), Some("blue"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_missing_folder_has_no_names() {
        assert_eq!(Names::new("/nonexistent/netns".into()).get(4026531840), None);
    }
}
