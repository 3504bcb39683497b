// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The processes whose USDT probes are looked at: when one ends, so do its events, and somebody must say so.

use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::PathBuf;

use crate::kernel::Kernel;
use crate::probe::Probe;

/// Bytes of the name that a process has for the kernel.
const NAME_LENGTH: usize = 15;

/// Those that were there at the beginning.
pub(super) struct Processes {
    /// `/proc`.
    folder: PathBuf,
    running: Vec<Watched>,
    /// Names under which none runs any more.
    gone: Vec<Gone>,
}

struct Watched {
    id: i32,
    /// As the user or a collector said it.
    name: String,
    /// All that run the same file are looked at.
    is_program: bool,
    /// `None`: it had ended before we could hold on to it.
    descriptor: Option<OwnedFd>,
}

struct Gone {
    name: String,
    is_program: bool,
}

impl Processes {
    /// Begins to watch.
    pub(super) fn watch(kernel: &Kernel, probes: &[Probe]) -> Self {
        let mut running: Vec<Watched> = Vec::new();
        for probe in probes {
            let Some(place) = &probe.user else { continue };
            let name = probe.target.split_once(':').map_or(&*probe.target, |(process, _)| process);
            for &id in &place.processes {
                match running.iter_mut().find(|known| known.id == id) {
                    Some(known) => known.is_program |= place.is_program,
                    None => running.push(Watched {
                        id,
                        name: name.to_owned(),
                        is_program: place.is_program,
                        descriptor: descriptor(id),
                    }),
                }
            }
        }
        Self { folder: kernel.path("proc"), running, gone: Vec::new() }
    }

    /// What has changed since the last call. Takes no privilege: which file a new process runs can't be told.
    pub(super) fn changes(&mut self) -> Vec<String> {
        let mut changes = Vec::new();
        for gone in std::mem::take(&mut self.gone) {
            let Some(id) = self.find(&gone.name) else {
                self.gone.push(gone);
                continue;
            };
            let Gone { name, is_program } = gone;
            let seen = if is_program {
                "its USDT probes are looked at if it runs the same file as before"
            } else {
                "its USDT probes are not looked at, which takes a new start of collection"
            };
            changes.push(format!("`{name}` runs again, as process {id}: {seen}"));
            self.running.push(Watched { id, name, is_program, descriptor: descriptor(id) });
        }
        let (ended, running): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.running).into_iter().partition(Watched::has_ended);
        self.running = running;
        for Watched { id, name, is_program, .. } in ended {
            changes.push(format!("process {id} (`{name}`) has ended: its USDT probes are hit no more"));
            let is_id = name.parse::<i32>().is_ok();
            if !is_id && self.running.iter().all(|other| other.name != name) {
                self.gone.push(Gone { name, is_program });
            }
        }
        changes
    }

    /// A process of this name.
    fn find(&self, name: &str) -> Option<i32> {
        let own = name.get(..NAME_LENGTH).unwrap_or(name);
        let ids = fs::read_dir(&self.folder).ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        ids.into_iter().find(|id: &i32| {
            let found = fs::read_to_string(self.folder.join(format!("{id}/comm")));
            found.is_ok_and(|found| found.trim_end() == own)
        })
    }
}

impl Watched {
    fn has_ended(&self) -> bool {
        let Some(descriptor) = &self.descriptor else { return true };
        let mut poll = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `poll` is one entry, as said, and writable.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    }
}

/// What tells a process's end, even when its number belongs to another one by then.
fn descriptor(id: i32) -> Option<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) };
    // SAFETY: it was just opened for us.
    (descriptor >= 0).then(|| unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};

    use super::{Processes, Watched, descriptor};
    use crate::kernel::Kernel;

    fn start(name: &str) -> Child {
        let sleep = std::fs::canonicalize("/bin/sleep").expect("there is a program that sleeps");
        let folder = tempfile::tempdir().expect("a folder can be made");
        let program = folder.path().join(name);
        std::fs::copy(sleep, &program).expect("a program can be copied");
        Command::new(program).arg("1000").arg0(name).spawn().expect("it starts")
    }

    fn end(mut child: Child) {
        child.kill().and_then(|()| child.wait()).expect("it ends");
    }

    #[test]
    fn the_end_and_the_return_of_a_process_are_told() {
        let name = "tracer-test-abcd";
        let first = start(name);
        let id = first.id() as i32;
        let mut processes = Processes::watch(&Kernel::new("/"), &[]);
        processes.running.push(Watched { id, name: name.to_owned(), is_program: true, descriptor: descriptor(id) });
        assert_eq!(processes.changes(), [""; 0]);
        end(first);
        assert_eq!(
            processes.changes(),
            [format!("process {id} (`{name}`) has ended: its USDT probes are hit no more")]
        );
        assert_eq!(processes.changes(), [""; 0]);
        let second = start(name);
        let id = second.id();
        assert_eq!(
            processes.changes(),
            [format!(
                "`{name}` runs again, as process {id}: its USDT probes are looked at if it runs the same file as before"
            )]
        );
        end(second);
        assert_eq!(processes.changes().len(), 1);
    }
}
