// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A program that runs beside the test.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::PATIENCE;

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pidfd: OwnedFd,
    name: String,
    output: Arc<Output>,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr.
    pub stderr: String,
}

impl Ended {
    /// The exit code; 128 + its number for a signal.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }
}

/// What a program prints, as it comes.
#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    stdout: Vec<String>,
    stderr: Vec<String>,
    /// Streams that have ended.
    ended: u32,
}

/// One of the two streams.
#[derive(Clone, Copy, Debug)]
enum Stream {
    Stdout,
    Stderr,
}

impl Lines {
    fn of(&mut self, stream: Stream) -> &mut Vec<String> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

impl Output {
    fn read(self: Arc<Self>, stream: Stream, from: impl Read + Send + 'static) {
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                self.lines.lock().unwrap_or_else(PoisonError::into_inner).of(stream).push(text);
                self.changed.notify_all();
                line.clear();
            }
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).ended += 1;
            self.changed.notify_all();
        });
    }

    /// Waits until `found` returns something; gives up when both streams have ended or patience has.
    fn wait<T>(&self, mut found: impl FnMut(&mut Lines) -> Option<T>) -> Option<T> {
        let start = Instant::now();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = found(&mut lines) {
                return Some(found);
            }
            let left = PATIENCE.checked_sub(start.elapsed())?;
            if lines.ended == 2 {
                return None;
            }
            lines = self.changed.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Process {
    /// Starts a program, with both of its outputs in our hands.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        // SAFETY: the call takes no pointers; the child is ours and has not been waited for.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) } as i32;
        if pidfd < 0 {
            bail!("pidfd_open: {}", std::io::Error::last_os_error());
        }
        // SAFETY: it was just opened for us.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        let output = Arc::new(Output::default());
        Arc::clone(&output).read(Stream::Stdout, child.stdout.take().context("stdout is piped")?);
        Arc::clone(&output).read(Stream::Stderr, child.stderr.take().context("stderr is piped")?);
        Ok(Self { child, pidfd, name, output })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What `status` in /proc says of each of its threads.
    ///
    /// # Errors
    /// When that can't be read. Threads that end meanwhile are left out.
    pub fn threads(&self) -> Result<Vec<String>> {
        let mut threads = Vec::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            match fs::read_to_string(thread?.path().join("status")) {
                Ok(status) => threads.push(status),
                // It ended before, or while, its file was open.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(threads)
    }

    /// What it has printed on stdout until now, in whole lines.
    pub fn stdout_so_far(&self) -> String {
        self.output.lines.lock().unwrap_or_else(PoisonError::into_inner).stdout.concat()
    }

    /// Waits for a line on stderr that `wanted` likes and returns it.
    ///
    /// # Errors
    /// When the program ends, or too much time goes by, without it; with what it has printed.
    pub fn stderr_line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        self.line(Stream::Stderr, what, wanted)
    }

    /// Like [`Process::stderr_line`], on stdout.
    ///
    /// # Errors
    /// As there.
    pub fn stdout_line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        self.line(Stream::Stdout, what, wanted)
    }

    fn line(&self, stream: Stream, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let mut looked_at = 0;
        let found = self.output.wait(|lines| {
            let lines = lines.of(stream);
            let at = lines[looked_at..].iter().position(|line| wanted(line));
            let found = at.map(|at| lines[looked_at + at].clone());
            looked_at = lines.len();
            found
        });
        found.with_context(|| {
            let printed = self.printed();
            format!("{} did not print {what}; stderr:\n{}stdout:\n{}", self.name, printed.1, printed.0)
        })
    }

    fn printed(&self) -> (String, String) {
        let lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        (lines.stdout.concat(), lines.stderr.concat())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the program has ended already.
    pub fn signal(&self, signal: i32) -> Result<()> {
        let info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: no information about the signal is passed.
        let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.pidfd.as_raw_fd(), signal, info, 0) } == 0;
        if !sent {
            bail!("{} can't be sent signal {signal}: {}", self.name, std::io::Error::last_os_error());
        }
        Ok(())
    }

    /// The same open file or socket as the program has under this number.
    ///
    /// # Errors
    /// When it has none.
    pub fn descriptor(&self, number: i32) -> Result<OwnedFd> {
        // SAFETY: numbers are passed, and a new descriptor is returned.
        let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_getfd, self.pidfd.as_raw_fd(), number, 0) };
        if descriptor < 0 {
            bail!("descriptor {number} of {} can't be had: {}", self.name, std::io::Error::last_os_error());
        }
        // SAFETY: nobody else has it.
        Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(descriptor)?) })
    }

    /// Whether it goes on.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the program's end.
    ///
    /// # Errors
    /// When it goes on too long; it is killed then.
    pub fn wait(mut self) -> Result<Ended> {
        let mut poll = libc::pollfd { fd: self.pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `poll` is one entry, as said, and writable.
        let ended = unsafe { libc::poll(&raw mut poll, 1, PATIENCE.as_millis() as i32) } == 1;
        if !ended {
            bail!("{} does not end; stderr so far:\n{}", self.name, self.printed().1);
        }
        let status = self.child.wait()?;
        self.output.wait(|lines| (lines.ended == 2).then_some(()));
        let (stdout, stderr) = self.printed();
        Ok(Ended { status, stdout, stderr })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
