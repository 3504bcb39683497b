// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program under test.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::events::Events;
use crate::process::{Ended, Process};

/// Starts `$TRACER_BIN`.
#[derive(Debug)]
pub struct Tracer;

impl Tracer {
    /// The program with these arguments, not started yet.
    ///
    /// # Errors
    /// When `$TRACER_BIN` does not say where it is.
    pub fn command(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Command> {
        let mut command = Command::new(env::var_os("TRACER_BIN").context("TRACER_BIN names no program")?);
        command.args(arguments);
        Ok(command)
    }

    /// Runs it to its end, however that may be.
    ///
    /// # Errors
    /// When it can't be started, or does not end.
    pub fn run(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Ended> {
        Process::start(&mut Self::command(arguments)?)?.wait()
    }

    /// Runs it to its end and returns what it printed on stdout.
    ///
    /// # Errors
    /// When it fails.
    pub fn output(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String> {
        let ended = Self::run(arguments)?;
        ensure!(ended.code() == 0, "exit code {}: {}", ended.code(), ended.stderr);
        Ok(ended.stdout)
    }

    /// `tracer collect` with these arguments; events go to a file.
    pub fn collect(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Collect {
        Collect {
            wrapper: Vec::new(),
            before: Vec::new(),
            arguments: arguments.into_iter().map(|a| a.as_ref().to_owned()).collect(),
            file: true,
        }
    }
}

/// A `tracer collect` that is to be started.
#[derive(Debug)]
pub struct Collect {
    wrapper: Vec<OsString>,
    before: Vec<OsString>,
    arguments: Vec<OsString>,
    file: bool,
}

/// A `tracer collect` that runs.
#[derive(Debug)]
pub struct Recording {
    /// The program.
    pub process: Process,
    /// The line that said that collection had begun.
    pub ready: String,
    /// How long that took.
    pub ready_after: Duration,
    directory: TempDir,
}

/// A `tracer collect` that has ended, and its file.
#[derive(Debug)]
pub struct Recorded {
    /// How it ended, and what it printed.
    pub ended: Ended,
    directory: TempDir,
}

impl Collect {
    /// Adds a profile.
    #[must_use]
    pub fn profile(mut self, name: &str) -> Self {
        self.before.extend(["--profile".into(), name.into()]);
        self
    }

    /// Starts it by another program, which gets its command line behind these arguments.
    #[must_use]
    pub fn by(mut self, wrapper: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.wrapper = wrapper.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Events go to stdout, not to a file.
    #[must_use]
    pub fn without_file(mut self) -> Self {
        self.file = false;
        self
    }

    /// Starts it and waits until collection has begun.
    ///
    /// # Errors
    /// When that does not happen; with what it printed.
    pub fn start(self) -> Result<Recording> {
        let directory = TempDir::new()?;
        let mut command = Tracer::command(self.before)?;
        if let [program, arguments @ ..] = self.wrapper.as_slice() {
            let mut outer = Command::new(program);
            outer.args(arguments).arg(command.get_program()).args(command.get_args());
            command = outer;
        }
        command.arg("collect").args(self.arguments).current_dir(&directory);
        if self.file {
            command.arg("-o").arg(directory.path().join("events.json"));
        }
        let start = Instant::now();
        let process = Process::start(&mut command)?;
        let ready = process.stderr_line("`ready`", |line| line.starts_with("ready"))?;
        Ok(Recording { process, ready, ready_after: start.elapsed(), directory })
    }

    /// Starts it, does `traffic` once collection has begun, stops it by SIGINT, and waits for its end.
    ///
    /// # Errors
    /// When it fails or the traffic does.
    pub fn during(self, traffic: impl FnOnce(&Recording) -> Result<()>) -> Result<Recorded> {
        let recording = self.start()?;
        traffic(&recording)?;
        let recorded = recording.stop(libc::SIGINT)?;
        ensure!(recorded.ended.code() == 0, "exit code {}: {}", recorded.ended.code(), recorded.ended.stderr);
        Ok(recorded)
    }

    /// Starts it and waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not begin to collect, or does not end.
    pub fn finish(self) -> Result<Recorded> {
        self.start()?.wait()
    }
}

impl Recording {
    /// A file in the folder that it was started in.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Sends a signal and waits for the end.
    ///
    /// # Errors
    /// When it has ended before, or does not end.
    pub fn stop(self, signal: i32) -> Result<Recorded> {
        self.process.signal(signal)?;
        self.wait()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it does not come.
    pub fn wait(self) -> Result<Recorded> {
        Ok(Recorded { ended: self.process.wait()?, directory: self.directory })
    }
}

impl Recorded {
    /// The file of events.
    pub fn path(&self) -> PathBuf {
        self.file("events.json")
    }

    /// A file beside it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The events of the file.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn events(&self) -> Result<Events> {
        Events::read(&self.path())
    }

    /// What the program's last words say about the number of events: stored and lost.
    ///
    /// # Errors
    /// When it says nothing.
    pub fn summary(&self) -> Result<(u64, u64)> {
        let numbers = |line: &str| {
            let (events, lost) = line.strip_suffix(" lost")?.split_once(" events, ")?;
            Some((events.parse().ok()?, lost.parse().ok()?))
        };
        let found = self.ended.stderr.lines().rev().find_map(numbers);
        found.with_context(|| format!("no summary in:\n{}", self.ended.stderr))
    }
}

/// Runs a script of `tests/python` and returns what it printed.
///
/// # Errors
/// When it fails.
pub fn python(script: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
    let mut command = Command::new(env::var_os("TRACER_PYTHON").context("TRACER_PYTHON names no interpreter")?);
    let ended = Process::start(command.arg(path).args(arguments))?.wait()?;
    ensure!(ended.code() == 0, "{script}: {}", ended.stderr);
    Ok(ended.stdout)
}
