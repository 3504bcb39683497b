// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of network namespaces: `ip netns` keeps a file for each in `/run/netns`, whose inode is the namespace's number.
//!
//! The kernel gives the number of a namespace that is gone to a new one, but never its cookie.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Least time between two looks into the folder for a namespace that had no name the last time.
const INTERVAL: Duration = Duration::from_secs(1);

/// Namespaces that are remembered; then all are forgotten.
const MOST: usize = 4096;

/// A namespace: its cookie (0 where the kernel has none) and its number.
pub(super) type Namespace = (u64, u32);

/// The names that are known.
pub(super) struct Names {
    folder: PathBuf,
    /// The name, if there was one when the namespace was last looked for, and when that was. A name that was found stays:
    /// events may still be on their way when the namespace is gone.
    known: HashMap<Namespace, (Option<String>, Instant)>,
}

impl Names {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, known: HashMap::new() }
    }

    pub(super) fn get(&mut self, namespace: Namespace) -> Option<&str> {
        let (cookie, number) = namespace;
        let must_look = self.known.get(&namespace).is_none_or(|(name, looked)| {
            let may_change = name.is_none() || cookie == 0;
            may_change && looked.elapsed() > INTERVAL
        });
        if must_look {
            if self.known.len() >= MOST {
                self.known.clear();
            }
            self.known.insert(namespace, (self.look(number), Instant::now()));
        }
        self.known.get(&namespace)?.0.as_deref()
    }

    fn look(&self, number: u32) -> Option<String> {
        // No folder, or a file that vanishes meanwhile: there is no name, and nothing is wrong.
        let mut files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let file =
            files.find(|file| fs::metadata(file.path()).is_ok_and(|metadata| metadata.ino() == u64::from(number)))?;
        file.file_name().into_string().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{INTERVAL, MOST, Names};
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;
    use std::time::Instant;

    /// A file's inode, as long as it fits a namespace's number.
    fn number(file: &Path) -> u32 {
        u32::try_from(fs::metadata(file).unwrap().ino()).unwrap()
    }

    /// As if all had been looked for long ago.
    fn age(names: &mut Names) {
        let long_ago = Instant::now().checked_sub(INTERVAL * 2).unwrap();
        names.known.values_mut().for_each(|(_, looked)| *looked = long_ago);
    }

    #[test]
    fn names_follow_the_namespace_and_not_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("red");
        fs::write(&file, "").unwrap();
        let number = number(&file);
        let mut names = Names::new(folder.path().to_owned());
        assert_eq!(names.get((1, number)), Some("red"));
        // Another one with its number.
        fs::rename(&file, folder.path().join("blue")).unwrap();
        assert_eq!(names.get((2, number)), Some("blue"));
        age(&mut names);
        assert_eq!(names.get((1, number)), Some("red"), "events may come late");
    }

    #[test]
    fn finds_a_name_that_was_given_later() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("red");
        fs::write(&file, "").unwrap();
        let number = number(&file);
        let elsewhere = tempfile::tempdir_in(folder.path()).unwrap();
        fs::rename(&file, elsewhere.path().join("red")).unwrap();
        let mut names = Names::new(folder.path().to_owned());
        assert_eq!(names.get((1, number)), None);
        fs::rename(elsewhere.path().join("red"), &file).unwrap();
        assert_eq!(names.get((1, number)), None, "not looked for again so soon");
        age(&mut names);
        assert_eq!(names.get((1, number)), Some("red"));
    }

    #[test]
    fn without_cookies_a_name_is_looked_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("red");
        fs::write(&file, "").unwrap();
        let number = number(&file);
        let mut names = Names::new(folder.path().to_owned());
        assert_eq!(names.get((0, number)), Some("red"));
        fs::rename(&file, folder.path().join("blue")).unwrap();
        age(&mut names);
        assert_eq!(names.get((0, number)), Some("blue"));
    }

    #[test]
    fn remembers_no_more_than_so_many() {
        let mut names = Names::new("/nonexistent/netns".into());
        for cookie in 1..=3 * MOST as u64 {
            assert_eq!(names.get((cookie, 4_026_531_840)), None);
            assert!(names.known.len() <= MOST);
        }
    }
}
