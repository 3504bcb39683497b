// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When collection ends: a signal, a time, a command's end, or the writer's word.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracer_core::error::Error;
use tracer_core::session::{LossTable, is_lost_event};

use super::arguments::CollectArgs;
use crate::report;

/// How often losses are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Why collection ends.
#[derive(Debug)]
pub(super) enum End {
    /// Ctrl-C, or a request to terminate.
    Signal,
    /// The command has ended.
    Command(io::Result<ExitStatus>),
    /// As many events as wanted have been written, or writing failed.
    Writer,
}

/// Waits for the end.
pub(super) struct Control {
    sender: Sender<End>,
    ends: Receiver<End>,
}

impl Control {
    /// Begins to listen to signals.
    pub(super) fn new(sender: Sender<End>, ends: Receiver<End>) -> anyhow::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen to signals")?;
        let to_main = sender.clone();
        thread::spawn(move || {
            let mut signals = signals.forever();
            if signals.next().is_some() {
                let _ = to_main.send(End::Signal);
            }
            // The second one does not wait for anything. The kernel detaches what a process leaves behind.
            if let Some(signal) = signals.next() {
                std::process::exit(128 + signal);
            }
        });
        Ok(Self { sender, ends })
    }

    /// Starts the command, if there is one, and returns when collection is to end. `losses` reads the counters.
    pub(super) fn wait(
        &mut self,
        args: &CollectArgs,
        losses: &mut dyn FnMut() -> Result<LossTable, Error>,
    ) -> anyhow::Result<()> {
        let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let command = args.cmd.as_deref().map(|command| self.start(command)).transpose()?;
        let mut said = 0;
        loop {
            let left = deadline.map_or(TICK, |deadline| deadline.saturating_duration_since(Instant::now()).min(TICK));
            match self.ends.recv_timeout(left) {
                Ok(End::Command(status)) => return report_status(args, status),
                Ok(End::Signal | End::Writer) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let lost = lost_events(&losses()?);
                    if lost > said {
                        report::warning(format_args!("{lost} events lost so far"));
                        said = lost;
                    }
                    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        break;
                    }
                }
            }
        }
        if let Some(group) = command {
            // SAFETY: the call takes no pointers. The group was made for the command; if all of it has ended, nothing happens.
            unsafe { libc::kill(-group, libc::SIGTERM) };
        }
        Ok(())
    }

    /// Runs a command in a process group of its own. What it prints goes to stderr: stdout is for events.
    fn start(&self, command: &str) -> anyhow::Result<i32> {
        let stderr = io::stderr().as_fd().try_clone_to_owned().context("cannot pass on stderr")?;
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(command)
            .stdout(Stdio::from(stderr))
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run `{command}`"))?;
        let group = child.id() as i32;
        let sender = self.sender.clone();
        thread::spawn(move || {
            let _ = sender.send(End::Command(child.wait()));
        });
        Ok(group)
    }
}

fn report_status(args: &CollectArgs, status: io::Result<ExitStatus>) -> anyhow::Result<()> {
    let command = args.cmd.as_deref().unwrap_or_default();
    let status = status.with_context(|| format!("cannot wait for `{command}`"))?;
    if !status.success() {
        report::warning(format_args!("`{command}` ended with {status}"));
    }
    Ok(())
}

/// Hits whose events are missing.
pub(super) fn lost_events(losses: &LossTable) -> u64 {
    losses.iter().filter(|(key, _)| is_lost_event(key.cause)).map(|(_, count)| count).sum()
}
