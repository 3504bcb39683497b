// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every way to end.
//!
//! Cost: one topology a test and one session, 3 s; 13 tests.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;

use anyhow::{Result, ensure};
use tracer_tests::{Events, Process, Recorded, Snmp, Topology, Tracer, run, until, until_detached};

/// All that a namespace received was recorded.
fn has_all(recorded: &Recorded, topology: &Topology) -> Result<()> {
    ensure!(recorded.ended.code() == 0, "exit code {}: {}", recorded.ended.code(), recorded.ended.stderr);
    let received = Snmp::read(&topology.red)?.get("IpInReceives") + Snmp::read(&topology.blue)?.get("IpInReceives");
    assert_eq!(recorded.events()?.at("ip_rcv").count() as u64, received);
    assert_eq!(recorded.summary()?, (received, 0), "{}", recorded.ended.stderr);
    Ok(())
}

fn signal_ends(signal: i32) -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "ip_rcv"]).start()?;
    topology.red.ping("10.0.0.2", 50)?;
    has_all(&recording.stop(signal)?, &topology)
}

#[test]
fn ctrl_c_keeps_every_event() -> Result<()> {
    signal_ends(libc::SIGINT)
}

#[test]
fn a_request_to_terminate_keeps_every_event() -> Result<()> {
    signal_ends(libc::SIGTERM)
}

#[test]
fn a_closed_terminal_keeps_every_event() -> Result<()> {
    signal_ends(libc::SIGHUP)
}

#[test]
fn a_closed_terminal_ends_nothing_under_nohup() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "ip_rcv"]).by(["nohup"]).start()?;
    recording.process.signal(libc::SIGHUP)?;
    topology.red.ping("10.0.0.2", 50)?;
    has_all(&recording.stop(libc::SIGINT)?, &topology)
}

#[test]
fn a_signal_before_collection_began_ends_at_once_and_leaves_nothing() -> Result<()> {
    let directory = tempfile::TempDir::new()?;
    let (new, old) = (directory.path().join("new.json"), directory.path().join("old.json"));
    fs::write(&old, "what there was")?;
    for (signal, file) in [(libc::SIGINT, &new), (libc::SIGTERM, &old)] {
        let arguments = ["collect", "-p", "ip*_rcv", "-o"].map(OsStr::new);
        let process = Process::start(&mut Tracer::command(arguments.into_iter().chain([file.as_os_str()]))?)?;
        until("it listens to signals", || {
            Ok(process.threads()?.iter().any(|status| status.lines().any(|line| line == "Name:\tsignals")))
        })?;
        process.signal(signal)?;
        let ended = process.wait()?;
        assert_eq!(ended.code(), 128 + signal, "{}", ended.stderr);
        assert!(ended.stderr.contains("before collection began"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("ready"), "{}", ended.stderr);
    }
    assert!(!new.exists());
    assert_eq!(fs::read_to_string(&old)?, "what there was");
    until_detached()
}

#[test]
fn a_second_signal_ends_at_once() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let directory = tempfile::TempDir::new()?;
    let fifo = directory.path().join("fifo");
    let fifo_name = fifo.display().to_string();
    run("mkfifo", [&*fifo_name])?;
    // Somebody who has the pipe open and never reads: what was seen can't be written, so the first signal can't end it.
    let _reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo)?;
    let recording = Tracer::collect(["-p", "k:ip_rcv", "-p", "k:icmp_rcv", "-o", &fifo_name]).without_file().start()?;
    topology.red.ping("10.0.0.2", 1000)?;
    recording.process.signal(libc::SIGINT)?;
    // Another signal: two of one kind may be delivered as one. Of two that wait together either may be the second.
    let recorded = recording.stop(libc::SIGTERM)?;
    let code = recorded.ended.code();
    assert!([128 + libc::SIGINT, 128 + libc::SIGTERM].contains(&code), "{code}: {}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn stops_after_as_many_events_as_wanted() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "ip_rcv", "--stop-after", "7"]).start()?;
    topology.red.ping("10.0.0.2", 50)?;
    let recorded = recording.wait()?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    assert_eq!(recorded.events()?.hits().count(), 7);
    assert_eq!(recorded.summary()?, (7, 0), "{}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn stops_when_the_time_is_over() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "ip_rcv", "--timeout", "2s"]).start()?;
    topology.red.ping("10.0.0.2", 10)?;
    has_all(&recording.wait()?, &topology)
}

#[test]
fn of_a_time_and_a_number_of_events_the_first_ends() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "ip_rcv", "--timeout", "1h", "--stop-after", "7"]).start()?;
    topology.red.ping("10.0.0.2", 50)?;
    assert_eq!(recording.wait()?.summary()?, (7, 0));
    let recording = Tracer::collect(["-p", "ip_rcv", "--timeout", "2s", "--stop-after", "1000000"]).start()?;
    let recorded = recording.wait()?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn says_what_killed_its_command() -> Result<()> {
    let recorded = Tracer::collect(["-p", "ip_rcv", "--cmd", "kill -9 $$"]).finish()?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    assert!(recorded.ended.stderr.contains("ended with signal: 9 (SIGKILL)"), "{}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn stops_with_its_command_and_shows_what_that_prints() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let command = format!("echo on stdout; ip netns exec {} ping -q -f -c 50 10.0.0.2; exit 7", topology.red.name());
    let recorded = Tracer::collect(["-p", "ip_rcv", "--cmd", &command]).finish()?;
    has_all(&recorded, &topology)?;
    let stderr = &recorded.ended.stderr;
    assert_eq!(recorded.ended.stdout, "", "stdout is for events");
    for words in ["on stdout\n", "50 packets transmitted", "exit status: 7"] {
        assert!(stderr.contains(words), "`{words}` is not in:\n{stderr}");
    }
    Ok(())
}

#[test]
fn a_signal_ends_the_command_too() -> Result<()> {
    let command = "echo group $$; exec tail -f /dev/null";
    let recording = Tracer::collect(["-p", "ip_rcv", "--cmd", command]).start()?;
    let line = recording.process.stderr_line("the command's process", |line| line.starts_with("group "))?;
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    let process = format!("/proc/{}/stat", line.trim_start_matches("group ").trim());
    // It may be dead and not yet reaped.
    until("the command has ended", || {
        let stat = std::fs::read_to_string(&process).unwrap_or_default();
        Ok(stat.is_empty() || stat.contains(") Z "))
    })
}

#[test]
fn ends_well_when_nobody_reads_any_more() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let command = format!("ip netns exec {} ping -q -f 10.0.0.2", topology.red.name());
    let script = r#"set -o pipefail; "$TRACER_BIN" collect -p ip_rcv --format json --cmd "$0" | head -n 3"#;
    let ended = Process::start(Command::new("bash").args(["-c", script, &command]))?.wait()?;
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 3, "{}", ended.stdout);
    Ok(())
}

#[test]
fn the_file_is_only_for_its_owner() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    // Without a name it is `events.json`, in the current directory.
    let recorded = Tracer::collect(["-p", "ip_rcv", "--cmd", "true", "-o"]).without_file().finish()?;
    assert_eq!(recorded.path().metadata()?.permissions().mode() & 0o777, 0o600);
    let events = Events::read(&recorded.path())?;
    assert!(events.0[0].0.get("startup").is_some(), "the first event is `startup`: {events:?}");
    Ok(())
}
