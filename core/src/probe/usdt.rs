// SPDX-License-Identifier: Apache-2.0 OR MIT
//! USDT probes: the processes of a name, and what the notes in the files say that they run.
//!
//! libbpf reads the same notes when it attaches. Here they tell which probes there are, and why one is not.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object::elf::{FileHeader64, NoteType};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{Endianness, ReadCache};

use crate::kernel::Kernel;
use crate::similar::similar;

use super::{AttachError, matches};

/// Of a note that describes a probe (`NT_STAPSDT`); its owner is "stapsdt".
const NOTE_TYPE: NoteType = NoteType(3);
/// In front of the names in such a note: the addresses of the probe, of the section `.stapsdt.base`, and of the semaphore.
const ADDRESSES: usize = 24;

/// A file that processes run code of, with its USDT probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFile {
    /// The file itself, which stays the same when its processes end or another one takes its name.
    pub file: Opened,
    /// Its path, as its processes see it.
    pub path: String,
    /// The processes that were asked for and run it, by id.
    pub processes: Vec<i32>,
    /// All of its processes are looked at, those to come too: it is the program that was asked for.
    pub is_program: bool,
    /// Of the file: its device and inode.
    pub identity: (u64, u64),
    /// In the order of the file.
    pub probes: Vec<UsdtProbe>,
}

/// A file that is open.
#[derive(Clone, Debug)]
pub struct Opened(Arc<File>);

impl Opened {
    /// What leads to it, for this process.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

impl PartialEq for Opened {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_raw_fd() == other.0.as_raw_fd()
    }
}

impl Eq for Opened {}

/// A USDT probe in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsdtProbe {
    /// The group that it is in; mostly the program or a function.
    pub provider: String,
    /// Its name there.
    pub name: String,
    /// Where its arguments are, in the words of the assembler: `SIZE@PLACE` each, where a negative size is that of a signed number.
    pub arguments: String,
    /// The program reaches it only while somebody looks at it; attaching sees to that.
    pub has_semaphore: bool,
}

/// Where a probe is: members of [`UserFile`] and [`UsdtProbe`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are documented there")]
pub struct UserPlace {
    pub file: Opened,
    pub path: String,
    pub processes: Vec<i32>,
    pub is_program: bool,
    pub identity: (u64, u64),
    pub arguments: String,
}

/// Finds the files that a process runs code of: its program and the libraries.
///
/// `process` is an id, or a name: that of the program's file, or the one that the process has given itself. Processes in containers are
/// found, too.
///
/// # Errors
/// When there is no such process, or what it runs can't be looked at. That files have no probes is no error here.
pub fn user_files(kernel: &Kernel, process: &str) -> Result<Vec<UserFile>, AttachError> {
    let mut files: Vec<UserFile> = Vec::new();
    let mut unreadable = None;
    for Process { id, is_program } in processes(kernel, process)? {
        for Mapped { file, path, is_executable } in mapped(kernel, id)? {
            let opened = File::open(&file).and_then(|opened| Ok((opened.metadata()?, opened)));
            let (metadata, opened) = match opened {
                Ok(opened) => opened,
                // It has ended.
                Err(_) if !kernel.path(format!("proc/{id}/exe")).exists() => break,
                Err(error) => {
                    unreadable = Some(failed(&path, &error));
                    continue;
                }
            };
            let identity = (metadata.dev(), metadata.ino());
            if let Some(known) = files.iter_mut().find(|known| known.identity == identity) {
                if known.processes.last() != Some(&id) {
                    known.processes.push(id);
                }
                continue;
            }
            match usdt_probes(&opened) {
                Ok(probes) => {
                    let file = Opened(Arc::new(opened));
                    let is_program = is_program && is_executable;
                    files.push(UserFile { file, path, processes: vec![id], is_program, identity, probes });
                }
                Err(error) => unreadable = Some(AttachError::Other(format!("`{path}` can't be read: {error}"))),
            }
        }
    }
    match (files.is_empty(), unreadable) {
        (true, Some(error)) => Err(error),
        (true, None) => Err(AttachError::NoProcess(Vec::new())),
        (false, _) => Ok(files),
    }
}

/// The places in files that fit `PROCESS:PROVIDER:NAME`, each with what it is called in full. What stands several times in a file is one.
///
/// # Errors
/// When there is none.
pub(super) fn usdt_places(kernel: &Kernel, target: &str) -> Result<Vec<(String, UserPlace)>, AttachError> {
    let (process, probe) = target.split_once(':').unwrap_or_default();
    let (provider, name) = probe.split_once(':').unwrap_or_default();
    let files = user_files(kernel, process)?;
    let mut places: Vec<(String, UserPlace)> = Vec::new();
    for file in &files {
        let fits = |probe: &&UsdtProbe| matches(provider, &probe.provider) && matches(name, &probe.name);
        for found in file.probes.iter().filter(fits) {
            let target = format!("{process}:{}:{}", found.provider, found.name);
            if places.iter().all(|(known, place)| *known != target || place.identity != file.identity) {
                places.push((target, UserPlace::new(file, found)));
            }
        }
    }
    if !places.is_empty() {
        return Ok(places);
    }
    let known: BTreeSet<String> = files
        .iter()
        .flat_map(|file| &file.probes)
        .map(|probe| format!("{process}:{}:{}", probe.provider, probe.name))
        .collect();
    let similar = similar(target, known.iter().map(String::as_str));
    Err(match files.first().filter(|program| program.probes.is_empty() && similar.is_empty()) {
        Some(program) => AttachError::NoUsdt(program.path.clone()),
        None => AttachError::NoUsdtProbe(similar.into_iter().map(|target| format!("usdt:{target}")).collect()),
    })
}

impl UserPlace {
    fn new(file: &UserFile, probe: &UsdtProbe) -> Self {
        Self {
            file: file.file.clone(),
            path: file.path.clone(),
            processes: file.processes.clone(),
            is_program: file.is_program,
            identity: file.identity,
            arguments: probe.arguments.clone(),
        }
    }

    /// Looks at the processes of another place, which is the same in the same file, too.
    pub(super) fn join(&mut self, other: &Self) {
        self.is_program |= other.is_program;
        self.processes.extend(&other.processes);
        self.processes.sort_unstable();
        self.processes.dedup();
    }
}

/// A process that was asked for.
struct Process {
    id: i32,
    /// By the name of the file of its program.
    is_program: bool,
}

fn processes(kernel: &Kernel, wanted: &str) -> Result<Vec<Process>, AttachError> {
    let folder = kernel.path("proc");
    let entries = fs::read_dir(&folder).map_err(|error| failed(&folder.display().to_string(), &error))?;
    let mut ids: Vec<i32> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    ids.sort_unstable();
    if let Ok(id) = wanted.parse() {
        return if ids.contains(&id) {
            Ok(vec![Process { id, is_program: false }])
        } else {
            Err(AttachError::NoProcess(Vec::new()))
        };
    }
    let (mut found, mut names) = (Vec::new(), BTreeSet::new());
    for id in ids {
        // A process that has just ended has neither; threads of the kernel have no program.
        let program = program_path(kernel, id).ok().and_then(|path| file_name(&path));
        let own = fs::read_to_string(folder.join(format!("{id}/comm"))).unwrap_or_default();
        let is_program = program.as_deref() == Some(wanted);
        if is_program || own.trim_end() == wanted {
            found.push(Process { id, is_program });
        }
        names.extend(program);
    }
    if found.is_empty() {
        let names = similar(wanted, names.iter().map(String::as_str));
        return Err(AttachError::NoProcess(names.into_iter().map(str::to_owned).collect()));
    }
    Ok(found)
}

/// The path of a process's program, as the process sees it.
fn program_path(kernel: &Kernel, id: i32) -> io::Result<String> {
    let path = fs::read_link(kernel.path(format!("proc/{id}/exe")))?.to_string_lossy().into_owned();
    // Since replaced by another file of that name.
    Ok(path.strip_suffix(" (deleted)").map_or(path.clone(), str::to_owned))
}

fn file_name(path: &str) -> Option<String> {
    Some(Path::new(path).file_name()?.to_string_lossy().into_owned())
}

/// A file that a process runs code of.
struct Mapped {
    file: PathBuf,
    path: String,
    is_executable: bool,
}

/// The program comes first.
fn mapped(kernel: &Kernel, id: i32) -> Result<Vec<Mapped>, AttachError> {
    let folder = kernel.path(format!("proc/{id}"));
    let program = match program_path(kernel, id) {
        Ok(program) => program,
        // It has ended, or is a thread of the kernel.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(&folder.join("exe").display().to_string(), &error)),
    };
    let mut files = vec![Mapped { file: folder.join("exe"), path: program.clone(), is_executable: true }];
    let maps = folder.join("maps");
    let text = match fs::read(&maps) {
        Ok(text) => text,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT)) => return Ok(Vec::new()),
        Err(error) => return Err(failed(&maps.display().to_string(), &error)),
    };
    for mapping in String::from_utf8_lossy(&text).lines() {
        // RANGE PERMISSIONS OFFSET DEVICE INODE PATH, and the path may hold spaces.
        let mut words = mapping.splitn(6, ' ');
        let (Some(range), Some(permissions)) = (words.next(), words.next()) else { continue };
        let path = words.nth(3).unwrap_or_default().trim_start();
        if !permissions.contains('x') || !path.starts_with('/') {
            continue;
        }
        let (file, path) = match path.strip_suffix(" (deleted)") {
            Some(path) => (folder.join("map_files").join(range), path),
            None => (folder.join("root").join(path.trim_start_matches('/')), path),
        };
        if path != program && files.iter().all(|known| known.path != path) {
            files.push(Mapped { file, path: path.to_owned(), is_executable: false });
        }
    }
    Ok(files)
}

fn failed(path: &str, error: &io::Error) -> AttachError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => AttachError::NotPermitted(
            "run as root, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, to look at others' processes".to_owned(),
        ),
        _ => AttachError::Other(format!("`{path}` can't be read: {error}")),
    }
}

/// The probes in a file that the notes of an ELF file describe.
fn usdt_probes(file: &File) -> Result<Vec<UsdtProbe>, object::Error> {
    let data = &ReadCache::new(file);
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, data)?;
    let Some((_, section)) = sections.section_by_name(endian, b".note.stapsdt") else { return Ok(Vec::new()) };
    let Some(mut notes) = section.notes(endian, data)? else { return Ok(Vec::new()) };
    let mut probes = Vec::new();
    while let Some(note) = notes.next()? {
        if note.name() == b"stapsdt" && note.n_type(endian) == NOTE_TYPE {
            probes.extend(usdt_probe(note.desc(), endian));
        }
    }
    Ok(probes)
}

/// Nothing when it is cut off.
fn usdt_probe(note: &[u8], endian: Endianness) -> Option<UsdtProbe> {
    let (addresses, names) = note.split_at_checked(ADDRESSES)?;
    let semaphore: [u8; 8] = addresses.last_chunk().copied()?;
    let semaphore = match endian {
        Endianness::Little => u64::from_le_bytes(semaphore),
        Endianness::Big => u64::from_be_bytes(semaphore),
    };
    let mut names = names.split(|byte| *byte == 0).map(|name| String::from_utf8_lossy(name).into_owned());
    let (provider, name) = (names.next()?, names.next()?);
    Some(UsdtProbe { provider, name, arguments: names.next()?, has_semaphore: semaphore != 0 })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use object::Endianness;
    use tempfile::TempDir;

    use super::{UsdtProbe, processes, usdt_probe, user_files};
    use crate::kernel::Kernel;
    use crate::probe::AttachError;

    fn note(semaphore: u64) -> Vec<u8> {
        let mut note = [1_u64, 2, semaphore].map(u64::to_le_bytes).concat();
        note.extend(b"dpif_recv\0recv_upcall\08@%rax -4@-12(%rbx,%rcx,8)\0");
        note
    }

    #[test]
    fn reads_a_note() {
        let probe = UsdtProbe {
            provider: "dpif_recv".to_owned(),
            name: "recv_upcall".to_owned(),
            arguments: "8@%rax -4@-12(%rbx,%rcx,8)".to_owned(),
            has_semaphore: true,
        };
        assert_eq!(usdt_probe(&note(7), Endianness::Little), Some(probe));
        assert!(usdt_probe(&note(0), Endianness::Little).is_some_and(|probe| !probe.has_semaphore));
    }

    #[test]
    fn a_note_that_is_cut_off_is_none() {
        let whole = note(0);
        let names = whole.len() - "8@%rax -4@-12(%rbx,%rcx,8)\0".len();
        for length in 0..names {
            assert_eq!(usdt_probe(&whole[..length], Endianness::Little), None, "{length} bytes");
        }
    }

    fn fake(processes: &[(i32, &str, &str)]) -> (TempDir, Kernel) {
        let root = tempfile::tempdir().expect("a folder can be made");
        for (id, own, program) in processes {
            let folder = root.path().join(format!("proc/{id}"));
            fs::create_dir_all(&folder).expect("a folder can be made");
            fs::write(folder.join("comm"), format!("{own}\n")).expect("a file can be written");
            fs::write(folder.join("maps"), "").expect("a file can be written");
            if !program.is_empty() {
                symlink(program, folder.join("exe")).expect("a link can be made");
            }
        }
        let kernel = Kernel::new(root.path());
        (root, kernel)
    }

    #[test]
    fn processes_are_found_by_id_and_by_either_name() {
        let (_root, kernel) = fake(&[
            (7, "ovs-vswitchd", ""),
            (10, "handler1", "/usr/sbin/ovs-vswitchd"),
            (9, "script", "/usr/bin/python3.11"),
            (11, "ovs-vswitchd", "/usr/sbin/ovs-vswitchd (deleted)"),
        ]);
        let found = |wanted: &str| {
            let found = processes(&kernel, wanted).map_err(|error| format!("{error:?}"));
            found.map(|found| found.iter().map(|process| (process.id, process.is_program)).collect::<Vec<_>>())
        };
        assert_eq!(found("ovs-vswitchd"), Ok(vec![(7, false), (10, true), (11, true)]));
        assert_eq!(found("script"), Ok(vec![(9, false)]));
        assert_eq!(found("9"), Ok(vec![(9, false)]));
        assert_eq!(found("ovs-vswitched"), Err(r#"NoProcess(["ovs-vswitchd"])"#.to_owned()));
        assert_eq!(found("12"), Err("NoProcess([])".to_owned()));
    }

    #[test]
    fn what_is_no_program_says_so() {
        let (root, kernel) = fake(&[(5, "text", "")]);
        let text = root.path().join("text");
        fs::write(&text, "no program").expect("a file can be written");
        symlink(&text, root.path().join("proc/5/exe")).expect("a link can be made");
        assert!(matches!(user_files(&kernel, "5"), Err(AttachError::Other(_))));
        // This test itself is one.
        assert!(user_files(&Kernel::new("/"), &std::process::id().to_string()).is_ok_and(|files| files.len() > 1));
    }
}
