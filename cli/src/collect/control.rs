// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When collection ends: a signal, a time, a command's end, or the writer's word.

use std::io;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use tracer_core::kernel::privileges::Capability;
use tracer_core::session::{Collection, LossTable, drop_all_privileges, is_lost_event};

use super::arguments::CollectArgs;
use super::command::Job;
use super::leave::leave;
use crate::report;

/// How often losses are looked at.
const TICK: Duration = Duration::from_secs(1);

/// How often functions that were found in stacks become probes.
const GROWTH_TICK: Duration = Duration::from_millis(100);

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

/// What is being done, which decides what a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has been recorded: a signal ends the program at once.
    Attaching,
    /// The first signal ends collection, the second the program.
    Collecting,
    /// All has been written: a signal ends the program at once.
    Detaching,
}

/// Waits for the end.
pub(super) struct Control {
    phase: Arc<Mutex<Phase>>,
    sender: Sender<End>,
    ends: Receiver<End>,
}

impl Control {
    /// Begins to listen to signals.
    pub(super) fn new(sender: Sender<End>, ends: Receiver<End>) -> anyhow::Result<Self> {
        let listen = |signals: &[i32]| Signals::new(signals).context("cannot listen to signals");
        let mut signals = listen(&[SIGINT, SIGTERM])?;
        // nohup(1) has it ignored.
        if !is_ignored(SIGHUP) {
            signals.add_signal(SIGHUP).context("cannot listen to signals")?;
        }
        // Sent when a file has reached the largest size that is allowed (ulimit -f), with an error that is told like others. Ignoring
        // it would do as well, but the command would inherit that.
        signal_hook::flag::register(SIGXFSZ, Arc::default()).context("cannot listen to signals")?;
        let phase = Arc::new(Mutex::new(Phase::Attaching));
        let (to_main, current) = (sender.clone(), Arc::clone(&phase));
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            drop_privileges_of_thread();
            let mut asked = false;
            for signal in signals.forever() {
                match *current.lock().unwrap_or_else(PoisonError::into_inner) {
                    Phase::Collecting if !asked => {
                        asked = true;
                        let _ = to_main.send(End::Signal);
                    }
                    Phase::Attaching => {
                        report::line("interrupted before collection began");
                        leave(128 + signal);
                    }
                    Phase::Collecting | Phase::Detaching => leave(128 + signal),
                }
            }
        })?;
        Ok(Self { phase, sender, ends })
    }

    /// Says what is done from now on.
    pub(super) fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Starts the command, if there is one, gives up privileges, and returns when collection is to end. `is_shown`: events go to
    /// standard output.
    pub(super) fn wait(
        &mut self,
        args: &CollectArgs,
        is_shown: bool,
        collection: &mut Collection<'_>,
    ) -> anyhow::Result<()> {
        let job = args.cmd.as_deref().map(|command| self.start(command)).transpose()?;
        let ended = self.wait_for_end(args, is_shown, job.is_some(), collection);
        match (ended, job) {
            (Ok(Some(status)), _) => report_status(args, status),
            (ended, job) => {
                if let Some(job) = job {
                    job.end();
                }
                ended.map(drop)
            }
        }
    }

    /// Returns how the command ended, when that is what ends collection.
    fn wait_for_end(
        &mut self,
        args: &CollectArgs,
        is_shown: bool,
        has_job: bool,
        collection: &mut Collection<'_>,
    ) -> anyhow::Result<Option<io::Result<ExitStatus>>> {
        let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        // The command has been started, with what the user may do. To end it, should it run as somebody else, takes CAP_KILL.
        collection.drop_privileges(if has_job { &[Capability::CAP_KILL] } else { &[] })?;
        let (mut said, mut looked) = (0, Instant::now());
        let tick = if collection.may_grow() { GROWTH_TICK } else { TICK };
        loop {
            let left = deadline.map_or(tick, |deadline| deadline.saturating_duration_since(Instant::now()).min(tick));
            match self.ends.recv_timeout(left) {
                Ok(End::Command(status)) => return Ok(Some(status)),
                Ok(End::Signal | End::Writer) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    let added = collection.grow()?;
                    if !added.is_empty() {
                        report::line(format_args!("probes added: {}", added.join(" ")));
                    }
                    if looked.elapsed() >= TICK {
                        looked = Instant::now();
                        collection.changed_processes().iter().for_each(report::warning);
                        let lost = lost_events(&collection.losses()?);
                        if lost > said {
                            report::warning(format_args!("{lost} events lost so far"));
                            said = lost;
                        }
                    }
                    if deadline.is_some_and(|deadline| deadline <= Instant::now()) || is_shown && nobody_reads() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn start(&self, command: &str) -> anyhow::Result<Job> {
        let sender = self.sender.clone();
        Job::start(command, move |status| {
            // Nobody listens any more when collection is ending anyway.
            let _ = sender.send(End::Command(status));
        })
    }
}

/// For threads that need none.
pub(super) fn drop_privileges_of_thread() {
    if let Err(error) = drop_all_privileges() {
        report::warning(error);
    }
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: an all-zero value is a valid one to be overwritten by the call, which changes nothing else.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Whether whoever read our standard output has gone. Writing would tell, but there may be nothing to write for long.
fn nobody_reads() -> bool {
    let mut poll = libc::pollfd { fd: libc::STDOUT_FILENO, events: 0, revents: 0 };
    // SAFETY: `poll` is one entry, as said, and writable.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 && poll.revents & libc::POLLERR != 0 }
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
