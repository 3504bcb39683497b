// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finding a profile by its name.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tracer_core::error::Error;
use tracer_core::similar::similar;

use crate::built_in;
use crate::error::ProfileError;
use crate::profile::{Origin, Profile};
use crate::text::{Name, printable};

/// Bytes that a profile may have. Generous for a text that somebody writes, and small enough to be read in an instant.
const SIZE_LIMIT: u64 = 1 << 20;

/// Folders with profiles; the first that has a name counts. Built-in profiles come after all of them.
#[derive(Clone, Debug, Default)]
pub struct SearchPath {
    folders: Vec<PathBuf>,
}

impl SearchPath {
    /// These folders, which need not exist.
    pub fn new(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { folders: folders.into_iter().collect() }
    }

    /// The user's folder (`$XDG_CONFIG_HOME/tracer/profiles`, else `~/.config/tracer/profiles`), the machine's
    /// (`/etc/tracer/profiles`), and the distribution's (`/usr/share/tracer/profiles`).
    pub fn standard() -> Self {
        let user = user_configuration(env::var_os("XDG_CONFIG_HOME"), env::var_os("HOME"));
        let places = [user, Some("/etc".into()), Some("/usr/share".into())];
        Self::new(places.into_iter().flatten().map(|place: PathBuf| place.join("tracer/profiles")))
    }

    /// The folders, the most important first.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }
}

/// Relative paths don't count (XDG Base Directory Specification).
fn user_configuration(config_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: Option<OsString>| path.map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(config_home).or_else(|| absolute(home).map(|home| home.join(".config")))
}

/// Reads the profile that `name_or_path` stands for. With a `/`, or `.yaml` or `.yml` at its end, that is a file. Else it is the
/// name of a file on `search` (without `.yaml`), or what the key `name` says in one, or the name of a built-in profile.
///
/// # Errors
/// When there is no such profile, or it can't be read, or it is wrong.
pub fn load(name_or_path: &str, search: &SearchPath) -> Result<Profile, Error> {
    if name_or_path.contains('/') || is_yaml(Path::new(name_or_path)) {
        return Ok(read(Path::new(name_or_path))?);
    }
    Ok(find(name_or_path, search)?)
}

/// A profile that can be loaded by name, or a file that looks like one.
#[derive(Debug)]
pub struct Listed {
    /// The name; of a file that can't be used, the file's name.
    pub name: String,
    /// Where it is.
    pub origin: Origin,
    /// The profile, or what is wrong with it.
    pub profile: Result<Profile, Error>,
}

/// All profiles, by name. Of several with the same name the first counts.
pub fn list(search: &SearchPath) -> Vec<Listed> {
    let files = search.folders.iter().flat_map(|folder| files(folder)).map(|path| {
        let profile = read(&path);
        let name = match &profile {
            Ok(profile) => profile.name().to_owned(),
            Err(_) => printable(&path.file_stem().unwrap_or_default().to_string_lossy()),
        };
        (name, Origin::File(path), profile)
    });
    let built_in = built_in::all().map(|(name, profile)| (name.to_owned(), Origin::BuiltIn { name }, profile));
    let mut all: Vec<Listed> = files
        .chain(built_in)
        .map(|(name, origin, profile)| Listed { name, origin, profile: profile.map_err(Error::from) })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn find(name: &str, search: &SearchPath) -> Result<Profile, ProfileError> {
    // What can't be the name of a profile is not looked for.
    if name.parse::<Name>().is_ok() {
        for folder in &search.folders {
            let files = files(folder);
            if let Some(path) = files.iter().find(|path| path.file_stem() == Some(OsStr::new(name))) {
                return read(path);
            }
            // Others that are wrong are no reason to fail.
            if let Some(profile) =
                files.iter().filter_map(|path| read(path).ok()).find(|profile| profile.name() == name)
            {
                return Ok(profile);
            }
        }
        if let Some(profile) = built_in::find(name) {
            return profile;
        }
    }
    Err(unknown(name, search))
}

/// The YAML files in a folder, by name. None when it can't be read: it may not be there, or be another user's.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        // Opening a pipe would wait for somebody to write.
        .filter(|path| is_yaml(path) && path.is_file())
        .collect();
    files.sort();
    files
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn read(path: &Path) -> Result<Profile, ProfileError> {
    let unreadable = |cause| ProfileError::Read { path: path.to_owned(), cause };
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(SIZE_LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(ProfileError::TooLarge { path: path.to_owned() });
    }
    let text =
        String::from_utf8(bytes).map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    Profile::read(&text, Origin::File(path.to_owned()))
}

fn unknown(name: &str, search: &SearchPath) -> ProfileError {
    let mut names: Vec<String> =
        list(search).into_iter().filter(|listed| listed.profile.is_ok()).map(|listed| listed.name).collect();
    names.dedup();
    let near: Vec<String> = similar(name, names.iter().map(String::as_str)).into_iter().map(str::to_owned).collect();
    let similar = !near.is_empty();
    ProfileError::Unknown { name: name.to_owned(), others: if similar { near } else { names }, similar }
}

#[cfg(test)]
mod tests;
