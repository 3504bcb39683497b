// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What goes wrong while collecting: no room, no reader, a file that goes away, a stop.
//!
//! Cost: one topology and one session a test, 3 to 6 s; eight tests.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tracer_tests::{Ended, Events, Process, Recorded, Snmp, Topology, Tracer, python, run, until};

/// What the namespaces have received so far, which is what `ip_rcv` was hit.
fn received(topology: &Topology) -> Result<u64> {
    Ok(Snmp::read(&topology.red)?.get("IpInReceives") + Snmp::read(&topology.blue)?.get("IpInReceives"))
}

/// Says a failure of the disk, and how much was written and lost; what was written is whole.
fn stopped_at_a_failure(ended: &Ended, file: &Path, reason: &str, hits: u64) -> Result<()> {
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    let text = fs::read(file)?;
    assert_eq!(text.last(), Some(&b'\n'), "the file ends with a whole line");
    let stored = Events::read(file)?.hits().count() as u64;
    let said = ended.stderr.lines().find_map(|line| line.strip_suffix(" lost")?.split_once(" events, "));
    let (events, lost) = said.with_context(|| format!("no summary in {}", ended.stderr))?;
    let number = |text: &str| text.parse::<u64>().with_context(|| format!("no summary in {:?}", ended.stderr));
    let (events, lost) = (number(events)?, number(lost)?);
    assert_eq!(events, stored, "{}", ended.stderr);
    // Until it had ended, more may have come by.
    assert!(stored > 10 && lost > 0 && stored + lost <= hits, "{}", ended.stderr);
    Ok(())
}

#[test]
fn a_full_disk_ends_collection_with_a_file_that_can_be_read() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let directory = TempDir::new()?;
    let folder = directory.path().display().to_string();
    run("mount", ["-t", "tmpfs", "-o", "size=300k", "none", &folder])?;
    let file = directory.path().join("events.json");
    let traffic = format!("ip netns exec {} ping -n -q -f -c 2000 10.0.0.2 >/dev/null 2>&1", topology.red.name());
    let arguments = ["collect", "-p", "ip_rcv", "--cmd", &traffic, "-o", &*file.display().to_string()];
    let ended = Tracer::run(arguments)?;
    let checked = stopped_at_a_failure(&ended, &file, "No space left on device", received(&topology)?);
    run("umount", [&*folder])?;
    checked
}

#[test]
fn a_limit_of_file_sizes_ends_collection_with_a_file_that_can_be_read() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let directory = TempDir::new()?;
    let traffic = format!("ip netns exec {} ping -n -q -f -c 2000 10.0.0.2 >/dev/null 2>&1", topology.red.name());
    // The linked eBPF programs are a file to the kernel, too, of some hundred KiB. And the file of the shell's own redirection.
    for arguments in ["-o events.json", "--format json > events.json"] {
        let before = received(&topology)?;
        let script = format!(r#"ulimit -f 1000; exec "$TRACER_BIN" collect -p ip_rcv --cmd "$0" {arguments}"#);
        let ended =
            Process::start(Command::new("bash").args(["-c", &script, &traffic]).current_dir(&directory))?.wait()?;
        let hits = received(&topology)? - before;
        stopped_at_a_failure(&ended, &directory.path().join("events.json"), "File too large", hits)?;
    }
    Ok(())
}

#[test]
fn a_file_may_be_renamed_or_deleted_meanwhile() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "ip_rcv"]).start()?;
    topology.red.ping("10.0.0.2", 10)?;
    let renamed = recording.file("renamed.json");
    fs::rename(recording.file("events.json"), &renamed)?;
    topology.red.ping("10.0.0.2", 10)?;
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0);
    assert!(recorded.ended.stderr.contains("was moved"), "{}", recorded.ended.stderr);
    assert_eq!(Events::read(&renamed)?.at("ip_rcv").count(), 40);

    let recording = Tracer::collect(["-p", "ip_rcv"]).start()?;
    fs::remove_file(recording.file("events.json"))?;
    topology.red.ping("10.0.0.2", 10)?;
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0);
    assert!(recorded.ended.stderr.contains("was deleted"), "{}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn a_reader_that_does_not_read_costs_events_but_no_memory() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let directory = TempDir::new()?;
    let fifo = directory.path().join("fifo");
    let fifo_name = fifo.display().to_string();
    run("mkfifo", [&*fifo_name])?;
    let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo)?;
    let before = received(&topology)?;
    let arguments = ["-p", "ip_rcv", "--stack", "--ring-size", "64K", "-o", &*fifo_name];
    let recording = Tracer::collect(arguments).without_file().start()?;
    topology.red.ping("10.0.0.2", 10_000)?;
    // It goes on to tell, although what it writes is not taken.
    recording.process.stderr_line("losses", |line| line.contains("events lost so far"))?;
    let status = fs::read_to_string(format!("/proc/{}/status", recording.process.id()))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let peak: u64 = peak.context("no VmHWM")?.parse()?;
    // SAFETY: the descriptor is open, and takes flags of this kind.
    ensure!(unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&reader), libc::F_SETFL, 0) } == 0);
    let reading = std::thread::spawn(move || -> Result<u64> {
        let mut stored = 0;
        for line in BufReader::new(reader).lines() {
            stored += u64::from(line?.contains(r#""kernel":"#));
        }
        Ok(stored)
    });
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    let stored = reading.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    let (events, lost) = recorded.summary()?;
    tracer_tests::note(format_args!("{stored} events through the pipe, {lost} lost, {peak} kB at most"));
    assert_eq!(events, stored);
    assert!(lost > 0 && peak < 200_000, "{peak} kB: {}", recorded.ended.stderr);
    assert_eq!(events + lost, received(&topology)? - before, "{}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn a_reader_that_goes_is_noticed_without_any_event() -> Result<()> {
    let script = r#"set -o pipefail; "$TRACER_BIN" collect -p udp_rcv --format json | head -n 1 >&2"#;
    let ended = Process::start(Command::new("bash").args(["-c", script]))?.wait()?;
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(!ended.stderr.contains("error"), "{}", ended.stderr);
    Ok(())
}

#[test]
fn works_with_its_standard_output_closed() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recorded = |shell: &str| -> Result<Recorded> {
        Tracer::collect(["-p", "ip_rcv", "--print"])
            .by(["sh", "-c", shell, "sh"])
            .during(|_| topology.red.ping("10.0.0.2", 10))
    };
    for shell in [r#"exec "$@" >&-"#, r#"exec "$@" <&- >&-"#] {
        let recorded = recorded(shell)?;
        // No text among the events: their file did not become standard output.
        assert_eq!(recorded.events()?.at("ip_rcv").count(), 20, "{}", recorded.ended.stderr);
    }
    Ok(())
}

#[test]
fn a_stop_costs_events_that_are_counted_and_it_goes_on() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let before = received(&topology)?;
    let recording = Tracer::collect(["-p", "ip_rcv", "--ring-size", "64K"]).start()?;
    recording.process.signal(libc::SIGSTOP)?;
    let state = format!("/proc/{}/stat", recording.process.id());
    until("it has stopped", || Ok(fs::read_to_string(&state)?.contains(") T ")))?;
    topology.red.ping("10.0.0.2", 1000)?;
    recording.process.signal(libc::SIGCONT)?;
    recording.process.stderr_line("losses", |line| line.contains("events lost so far"))?;
    topology.red.ping("10.0.0.2", 20)?;
    let recorded = recording.stop(libc::SIGINT)?;
    let (events, lost) = recorded.summary()?;
    assert!(events > 40 && lost > 0, "{}", recorded.ended.stderr);
    assert_eq!(events + lost, received(&topology)? - before, "{}", recorded.ended.stderr);
    assert_eq!(recorded.events()?.hits().count() as u64, events);
    Ok(())
}

#[test]
fn on_a_terminal_the_command_is_typed_to_stopped_and_interrupted_like_any_job() -> Result<()> {
    let directory = TempDir::new()?;
    let file = directory.path().join("events.json");
    let program = std::env::var_os("TRACER_BIN").context("TRACER_BIN names no program")?;
    let said = python("job_control.py", [program.as_os_str(), file.as_os_str()])?;
    assert!(said.contains("all well"), "{said}");
    assert!(File::open(&file)?.metadata()?.len() > 0);
    Ok(())
}
