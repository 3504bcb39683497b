// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command of `--cmd`. It is a job of ours, as commands are jobs of a shell: a process group of its own, so that all of it can
//! be ended, which has the terminal while it runs, so that it can be typed to.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;

use super::control::drop_privileges_of_thread;

/// The command's process group.
pub(super) struct Job {
    group: i32,
    terminal: Option<Arc<Terminal>>,
}

impl Job {
    /// Runs a command; `ended` is called at its end, from another thread. What it prints goes to stderr: stdout is for events.
    pub(super) fn start(
        command: &str,
        ended: impl FnOnce(io::Result<ExitStatus>) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let stderr = io::stderr().as_fd().try_clone_to_owned().context("cannot pass on stderr")?;
        let terminal = Terminal::to_give().map(Arc::new);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).stdout(Stdio::from(stderr)).process_group(0);
        if let Some(terminal) = terminal.clone() {
            // SAFETY: between fork and exec it makes system calls only.
            unsafe { shell.pre_exec(move || terminal.give_to(libc::getpid())) };
        }
        let child = shell.spawn().with_context(|| format!("cannot run `{command}`"))?;
        let group = child.id() as i32;
        let at_stops = terminal.clone();
        thread::spawn(move || {
            drop_privileges_of_thread();
            ended(wait(group, at_stops.as_deref()));
        });
        Ok(Self { group, terminal })
    }

    /// Asks the command, and all that it started, to end.
    pub(super) fn end(&self) {
        for signal in [libc::SIGTERM, libc::SIGCONT] {
            // SAFETY: the call takes no pointers. The group was made for the command; if all of it has ended, nothing happens.
            unsafe { libc::kill(-self.group, signal) };
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(terminal) = &self.terminal {
            // When it is gone there is nothing to be taken back.
            // SAFETY: the call takes nothing.
            let _ = terminal.give_to(unsafe { libc::getpgrp() });
        }
    }
}

/// Waits for the end of a process. When it is stopped on the terminal (Ctrl-Z), we stop with it, and it goes on with us.
fn wait(group: i32, terminal: Option<&Terminal>) -> io::Result<ExitStatus> {
    let flags = if terminal.is_some() { libc::WUNTRACED } else { 0 };
    loop {
        let mut status = 0;
        // SAFETY: `status` is writable; the process is our child, and nobody else waits for it.
        if unsafe { libc::waitpid(group, &raw mut status, flags) } < 0 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        let Some(terminal) = terminal.filter(|_| libc::WIFSTOPPED(status)) else {
            return Ok(ExitStatus::from_raw(status));
        };
        // SAFETY: the calls take no pointers. A signal to this thread is there before the next line; it stops all threads.
        let own = unsafe {
            let own = libc::getpgrp();
            let _ = terminal.give_to(own);
            libc::raise(libc::SIGSTOP);
            own
        };
        // In the background (`bg`) the terminal is not ours to give.
        if terminal.foreground() == own {
            let _ = terminal.give_to(group);
        }
        // SAFETY: the call takes no pointers.
        unsafe { libc::kill(-group, libc::SIGCONT) };
    }
}

/// The terminal that we were started on.
struct Terminal(File);

impl Terminal {
    /// Where it is ours to give: not in the background, and not when a pager shares it with us.
    fn to_give() -> Option<Self> {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
        if !io::stdin().is_terminal() || stdout.metadata().ok()?.file_type().is_fifo() {
            return None;
        }
        let terminal = Self(OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?);
        // SAFETY: the call takes nothing.
        (terminal.foreground() == unsafe { libc::getpgrp() }).then_some(terminal)
    }

    /// The process group that has it.
    fn foreground(&self) -> i32 {
        // SAFETY: the call takes no pointers.
        unsafe { libc::tcgetpgrp(self.0.as_raw_fd()) }
    }

    /// Gives it to a process group.
    fn give_to(&self, group: i32) -> io::Result<()> {
        // SAFETY: the sets are initialised by the first call, and writable. Who does not have the terminal and takes it is stopped
        // by SIGTTOU, unless that is blocked.
        unsafe {
            let mut blocked: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut blocked);
            libc::sigaddset(&raw mut blocked, libc::SIGTTOU);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, &raw mut before);
            let given = libc::tcsetpgrp(self.0.as_raw_fd(), group);
            let error = io::Error::last_os_error();
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
            if given == 0 { Ok(()) } else { Err(error) }
        }
    }
}
