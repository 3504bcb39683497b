// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The companion process: it asks nft for the rules of a network namespace, entering that, and holds the table that switches the
//! kernel's tracing on. It is told numbers only.

use std::fs::{self, File};
use std::io::{self, BufRead as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracer_core::companion::{Companion, Role};
use tracer_core::kernel::privileges::Capability;

/// Under which the companion is started.
pub(super) const ROLE: &str = "nft";

/// How long namespaces are listed at the start, before the rest is left for when it is asked for.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// How long nft may take to add the table.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a listing that are taken.
const MOST_LISTING: usize = 64 << 20;

/// Where nft is when `PATH` does not lead to it.
const PLACES: [&str; 3] = ["nft", "/usr/sbin/nft", "/sbin/nft"];

inventory::submit! {
    Role {
        name: ROLE,
        // To list rules; to enter other namespaces; to find them in /proc, where they are other users'.
        keeps: &[Capability::CAP_NET_ADMIN, Capability::CAP_SYS_ADMIN, Capability::CAP_SYS_PTRACE, Capability::CAP_DAC_READ_SEARCH],
        run,
    }
}

/// What the companion is asked for.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Request {
    /// The rules of a network namespace: its number, and its cookie, or 0.
    List { number: u32, cookie: u64 },
    /// To switch tracing on.
    Trace,
}

/// What it answers. At the start, without being asked: a ruleset for each namespace that it finds, then `Done`.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Answer {
    /// The rules of a namespace.
    Ruleset { number: u32, cookie: u64, listing: String, warnings: String },
    /// The namespace of this number is out of reach, or nft fails there.
    Unreadable { number: u32, why: String },
    /// There is no nft.
    Missing { why: String },
    /// What was asked for is done.
    Done,
    /// Tracing is switched on by the table of this name.
    Tracing { table: String },
    /// Tracing can't be switched on.
    NotTracing { why: String },
}

fn run() -> io::Result<()> {
    // Before other namespaces are entered.
    let own = File::open("/proc/self/ns/net")?;
    let mut table = None;
    let nft = match find_nft() {
        Ok(nft) => nft,
        Err(error) => return answer(&Answer::Missing { why: error.to_string() }),
    };
    look_around(&nft, &own)?;
    for request in io::stdin().lock().lines() {
        answer(&match serde_json::from_str(&request?)? {
            Request::List { number, cookie } => list(&nft, find(number).as_deref(), number, cookie),
            Request::Trace => {
                enter(&own)?;
                match switch_on(&nft) {
                    Ok((holder, name)) => {
                        table = Some(holder);
                        Answer::Tracing { table: name }
                    }
                    Err(error) => Answer::NotTracing { why: error.to_string() },
                }
            }
        })?;
    }
    drop(table);
    Ok(())
}

fn answer(answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

fn find_nft() -> io::Result<PathBuf> {
    let mut outcome = Err(io::ErrorKind::NotFound.into());
    for place in PLACES {
        match Command::new(place).arg("--version").stdin(Stdio::null()).output() {
            Ok(_) => return Ok(place.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

/// Lists the rules of all namespaces that can be found, the own first.
fn look_around(nft: &Path, own: &File) -> io::Result<()> {
    let start = Instant::now();
    let number = own.metadata()?.ino();
    let others = namespaces().filter(|(found, _)| *found != number);
    let mut known = Vec::new();
    for (number, path) in [(number, PathBuf::from("/proc/self/ns/net"))].into_iter().chain(others) {
        if start.elapsed() > FIRST_LOOK {
            break;
        }
        if !known.contains(&number) {
            known.push(number);
            answer(&list(nft, Some(&path), number as u32, 0))?;
        }
    }
    answer(&Answer::Done)
}

/// Files that stand for network namespaces, with their numbers; several can stand for the same.
fn namespaces() -> impl Iterator<Item = (u64, PathBuf)> {
    let entries = |folder: &str| fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries("/run/netns").map(|entry| entry.path());
    let used = entries("/proc").map(|entry| entry.path().join("ns/net"));
    named.chain(used).filter_map(|path| Some((fs::metadata(&path).ok()?.ino(), path)))
}

fn find(number: u32) -> Option<PathBuf> {
    namespaces().find(|(found, _)| *found == u64::from(number)).map(|(_, path)| path)
}

/// The rules of a namespace.
fn list(nft: &Path, path: Option<&Path>, number: u32, cookie: u64) -> Answer {
    let listed = || -> io::Result<Answer> {
        let path = path.ok_or_else(|| io::Error::other("nothing in /run/netns or /proc leads to it"))?;
        let namespace = File::open(path)?;
        if namespace.metadata()?.ino() != u64::from(number) {
            return Err(io::Error::other("it is gone"));
        }
        enter(&namespace)?;
        let entered = own_cookie();
        if cookie != 0 && entered != 0 && cookie != entered {
            return Err(io::Error::other("another one has its number"));
        }
        // With handles, without counters, without the elements of named sets.
        let output = Command::new(nft).args(["-a", "-s", "-t", "list", "ruleset"]).stdin(Stdio::null()).output()?;
        let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(io::Error::other(warnings.lines().next().unwrap_or("nft fails").to_owned()));
        }
        if output.stdout.len() > MOST_LISTING {
            return Err(io::Error::other("its rules are too many"));
        }
        let listing = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Answer::Ruleset { number, cookie: entered, listing, warnings })
    };
    listed().unwrap_or_else(|error| Answer::Unreadable { number, why: error.to_string() })
}

fn enter(namespace: &File) -> io::Result<()> {
    // SAFETY: the call takes no pointers.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The cookie of the namespace that the process is in; 0: the kernel does not tell.
fn own_cookie() -> u64 {
    let Ok(socket) = std::os::unix::net::UnixDatagram::unbound() else { return 0 };
    const SO_NETNS_COOKIE: i32 = 71;
    let (mut cookie, mut size) = (0_u64, size_of::<u64>() as libc::socklen_t);
    // SAFETY: the value has as many bytes as said, and both are writable.
    let outcome = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_NETNS_COOKIE, (&raw mut cookie).cast(), &raw mut size)
    };
    if outcome == 0 { cookie } else { 0 }
}

/// Adds a table with a rule that sets nftrace, in a chain that nothing leads to: that is enough for the kernel. The table belongs to
/// the nft that runs from then on: the kernel removes it with that, and lets nobody else change it.
fn switch_on(nft: &Path) -> io::Result<(Companion, String)> {
    let name = format!("tracer_{}", std::process::id());
    let mut holder = Companion::run(Command::new(nft).arg("-i").stderr(Stdio::null()))?;
    // `create` fails where there is such a table already.
    let commands = format!(
        "create table ip {name} {{ flags owner; }}; add chain ip {name} trace; add rule ip {name} trace meta nftrace set 1\n\
         list table ip {name}\n"
    );
    holder.input()?.write_all(commands.as_bytes())?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let line =
            holder.line(deadline.saturating_duration_since(Instant::now())).map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => io::Error::other("nft does not add it"),
                _ => error,
            })?;
        if String::from_utf8_lossy(&line).contains("nftrace set 1") {
            return Ok((holder, name));
        }
    }
}
