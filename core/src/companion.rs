// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Companions: processes that a collector starts beside the program, for what takes privileges while collecting. The program itself
//! has none by then, because it looks at what others made; a companion keeps the few that it needs and is told no more than what to
//! look at.
//!
//! A companion is the same program, started anew. It reads requests from its stdin, answers on its stdout, and ends with the program
//! however that ends: its stdin ends, and the kernel kills it.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use caps::{CapSet, Capability, CapsHashSet};

use crate::error::{Error, ErrorKind};
use crate::session::privileges::drop_privileges;

/// What a companion does; collectors register theirs as they do themselves.
#[derive(Debug)]
pub struct Role {
    /// By which it is started.
    pub name: &'static str,
    /// What it may do, if the program may.
    pub keeps: &'static [Capability],
    /// Answers requests until there are no more.
    pub run: fn() -> io::Result<()>,
}

inventory::collect!(Role);

/// Is a companion, until its requests end.
///
/// # Errors
/// When there is no such role, privileges can't be given up, or what it does fails.
pub fn run(name: &str) -> Result<(), Error> {
    let role = inventory::iter::<Role>.into_iter().find(|role| role.name == name);
    let role = role.ok_or_else(|| Error::new(ErrorKind::Usage, format!("there is no companion `{name}`")))?;
    let failed = |error: &dyn std::fmt::Display| Error::new(ErrorKind::Failure, format!("companion `{name}`: {error}"));
    drop_privileges(role.keeps)?;
    hand_down().map_err(|error| failed(&error))?;
    std::thread::spawn(end_with_parent);
    (role.run)().map_err(|error| failed(&error))
}

/// Lets the programs that are started have what is left, also when the user is not root.
fn hand_down() -> Result<(), caps::errors::CapsError> {
    let left: CapsHashSet = caps::read(None, CapSet::Permitted)?;
    caps::set(None, CapSet::Inheritable, &left)?;
    caps::set(None, CapSet::Ambient, &left)
}

/// Ends the process when the program begins to end. The pipes and the kernel's signal tell that only when the program is through with
/// detaching, which can take minutes.
fn end_with_parent() {
    const INTERVAL: Duration = Duration::from_millis(200);
    // SAFETY: the call takes nothing.
    let stat = format!("/proc/{}/stat", unsafe { libc::getppid() });
    while fs::read_to_string(&stat).is_ok_and(|stat| !is_ending(&stat)) {
        std::thread::sleep(INTERVAL);
    }
    // SAFETY: nothing that would run at an orderly exit matters.
    unsafe { libc::_exit(0) }
}

/// What `stat` in /proc says of a process: its flags stand seven words behind its name, which is in brackets.
fn is_ending(stat: &str) -> bool {
    const PF_EXITING: u32 = 4;
    let flags = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(6)?.parse::<u32>().ok());
    flags.is_none_or(|flags| flags & PF_EXITING != 0)
}

/// A process that ends with this one, at the latest.
#[derive(Debug)]
pub struct Companion {
    child: Child,
    /// `None` while it is being dropped.
    input: Option<ChildStdin>,
    output: ChildStdout,
    /// What was read of an answer that is not whole.
    read: Vec<u8>,
}

impl Companion {
    /// Starts a companion in this role.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(role: &str) -> io::Result<Self> {
        Self::run(Command::new("/proc/self/exe").arg0("tracer").args(["companion", role]))
    }

    /// Runs a program beside this one, in a process group of its own: what is typed on the terminal is not for it.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn run(command: &mut Command) -> io::Result<Self> {
        // SAFETY: the call takes nothing.
        let parent = unsafe { libc::getpid() };
        let die_with_parent = move || {
            // SAFETY: the calls take no pointers.
            unsafe {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) != 0 {
                    return Err(io::Error::last_os_error());
                }
                // It may have ended before that.
                if libc::getppid() != parent {
                    libc::_exit(1);
                }
            }
            Ok(())
        };
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        // SAFETY: between fork and exec it makes system calls only.
        let mut child = unsafe { command.pre_exec(die_with_parent) }.spawn()?;
        let missing = || io::Error::other("it has no pipes");
        let (input, output) = (child.stdin.take().ok_or_else(missing)?, child.stdout.take().ok_or_else(missing)?);
        Ok(Self { child, input: Some(input), output, read: Vec::new() })
    }

    /// Where its requests are written to.
    ///
    /// # Errors
    /// Never, while it is in use.
    pub fn input(&mut self) -> io::Result<&mut ChildStdin> {
        self.input.as_mut().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    /// The next line of its output, without the newline. It must come within `patience`.
    ///
    /// # Errors
    /// When it does not come, or the companion has ended.
    pub fn line(&mut self, patience: Duration) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + patience;
        let mut searched = 0;
        loop {
            if let Some(end) = self.read[searched..].iter().position(|&byte| byte == b'\n') {
                let rest = self.read.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.read, rest);
                line.pop();
                return Ok(line);
            }
            searched = self.read.len();
            self.wait(deadline)?;
            let mut piece = [0; 64 << 10];
            match io::Read::read(&mut self.output, &mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.read.extend_from_slice(&piece[..length]),
            }
        }
    }

    /// Waits until there is something to read.
    fn wait(&self, deadline: Instant) -> io::Result<()> {
        let mut poll = libc::pollfd { fd: self.output.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).as_millis();
            // SAFETY: `poll` is one entry, as said, and writable.
            match unsafe { libc::poll(&raw mut poll, 1, i32::try_from(left).unwrap_or(i32::MAX)) } {
                0 => return Err(io::ErrorKind::TimedOut.into()),
                1 => return Ok(()),
                _ => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        // Nothing that it does needs an orderly end; that it has ended is waited for.
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write as _};
    use std::process::Command;
    use std::time::Duration;

    use super::{Companion, is_ending};

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn answers_come_line_by_line() {
        let mut companion = Companion::run(&mut Command::new("cat")).unwrap();
        companion.input().unwrap().write_all(b"one\ntwo\nthr").unwrap();
        assert_eq!(companion.line(PATIENCE).unwrap(), b"one");
        assert_eq!(companion.line(PATIENCE).unwrap(), b"two");
        let nothing = companion.line(Duration::from_millis(10)).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::TimedOut);
        companion.input().unwrap().write_all(b"ee\n").unwrap();
        assert_eq!(companion.line(PATIENCE).unwrap(), b"three");
    }

    #[test]
    fn knows_a_process_that_ends() {
        assert!(!is_ending(&std::fs::read_to_string("/proc/self/stat").unwrap()));
        assert!(!is_ending("7 (a) b) S 1 7 7 0 -1 4194560 5 0"));
        assert!(is_ending("7 (a) b) S 1 7 7 0 -1 4194564 5 0"));
        assert!(is_ending(""));
    }

    #[test]
    fn one_that_has_ended_is_noticed() {
        let mut companion = Companion::run(Command::new("echo").arg("done")).unwrap();
        assert_eq!(companion.line(PATIENCE).unwrap(), b"done");
        assert_eq!(companion.line(PATIENCE).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
