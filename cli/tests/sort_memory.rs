// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `sort` with more events than memory: the result is the same, and temporary files are no trouble.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// How many events there are as a rule: about 5 MB.
const EVENTS: u64 = 30_000;

/// A file with one packet in every other event, and packets of three events between.
fn events(count: u64) -> String {
    let event = |number: u64| {
        let packet = if number.is_multiple_of(2) { 0 } else { number / 6 + 1 };
        let time = 1_000_000 + (number ^ 5) * 10;
        let data = "x".repeat((number % 120) as usize);
        // Some of the short packets came out of the long one or of one another.
        let (parent, root) = if number % 12 < 6 { (packet / 2, packet / 4) } else { (0, 0) };
        let id = |packet: u64| format!(r#"{{"timestamp":{packet},"orig_head":{packet}}}"#);
        let link = format!(r#","link":{{"kind":"copy","parent":{},"root":{}}}"#, id(parent), id(root));
        let link = if number.is_multiple_of(2) || packet.is_multiple_of(3) { String::new() } else { link };
        format!(
            r#"{{"common":{{"timestamp":{time}}},"skb-tracking":{{"orig_head":{packet},"timestamp":{packet},"skb":7,"seq":{}{link}}},"data":"{data}"}}"#,
            number / 2 + number % 97 / 96
        )
    };
    (0..count).map(|number| event(number) + "\n").collect()
}

fn folder(count: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("events.json"), events(count)).unwrap();
    fs::create_dir(folder.path().join("temporary")).unwrap();
    folder
}

fn sort(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.arg("sort").args(args).current_dir(folder).stdin(Stdio::null());
    command
}

fn succeeded(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    output.stdout
}

#[test]
fn memory_does_not_change_a_byte() {
    let folder = folder(EVENTS);
    let path = folder.path();
    for format in ["text", "single-line", "json"] {
        let in_memory = succeeded(sort(path, &["--format", format]).output().unwrap());
        assert!(in_memory.len() > 2_000_000);
        for memory in ["1M", "2M"] {
            let args = ["--format", format, "--memory", memory, "--temp-dir", "temporary"];
            assert!(succeeded(sort(path, &args).output().unwrap()) == in_memory, "{args:?}");
            let stdin = File::open(path.join("events.json")).unwrap();
            let piped = sort(path, &[&args[..], &["-"]].concat()).stdin(stdin).output().unwrap();
            assert!(succeeded(piped) == in_memory, "{args:?}");
        }
    }
    assert_eq!(fs::read_dir(path.join("temporary")).unwrap().count(), 0);
    // The long series is one line.
    succeeded(sort(path, &["--memory", "1M", "-o", "sorted"]).output().unwrap());
    let sorted = fs::read_to_string(path.join("sorted")).unwrap();
    assert!(sorted.lines().map(str::len).max().unwrap() > 2 << 20);
    succeeded(sort(path, &["--memory", "1M", "-o", "again", "sorted"]).output().unwrap());
    assert!(fs::read_to_string(path.join("again")).unwrap() == sorted);
}

#[test]
fn memory_does_not_change_what_a_filter_keeps() {
    let comm = |number: u64| match number {
        29_998 => "long",
        number if number % 50 == 1 => "short",
        _ => "other",
    };
    let with_comm = |(number, line): (u64, &str)| {
        let task = format!(r#","task":{{"pid":1,"tgid":1,"comm":"{}"}}}},"skb-tracking""#, comm(number));
        line.replacen(r#"},"skb-tracking""#, &task, 1) + "\n"
    };
    let file: String = (0..).zip(events(EVENTS).lines()).map(with_comm).collect();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("events.json"), file).unwrap();
    let all = succeeded(sort(folder.path(), &["--format", "json"]).output().unwrap());
    let all = String::from_utf8(all).unwrap();
    for (comm, series) in [("long", 1), ("short", 600), ("nobody", 0)] {
        let kept: Vec<&str> = all.lines().filter(|line| line.contains(comm)).collect();
        assert_eq!(kept.len(), series);
        let filter = format!(r#"comm == "{comm}""#);
        for memory in ["1M", "2M", "512M"] {
            let args = ["--format", "json", "-m", &filter, "--memory", memory];
            let sorted = String::from_utf8(succeeded(sort(folder.path(), &args).output().unwrap())).unwrap();
            assert!(sorted.lines().eq(kept.iter().copied()), "{args:?}");
        }
    }
}

#[test]
fn what_is_bounded_is_bounded() {
    let folder = folder(10 * EVENTS);
    // The program's code and buffers are in this limit too.
    let limited = |memory| {
        let tracer = env!("CARGO_BIN_EXE_tracer");
        let shell = format!("ulimit -v 65536; exec {tracer} sort --memory {memory} --format json");
        Command::new("sh").args(["-c", &shell]).current_dir(&folder).output().unwrap()
    };
    assert!(!limited("512M").status.success(), "the limit allows everything");
    let in_memory = succeeded(sort(folder.path(), &["--format", "json"]).output().unwrap());
    assert!(succeeded(limited("1M")) == in_memory);
}

#[test]
fn a_full_disk_is_a_clear_error() {
    let folder = folder(EVENTS);
    // A limit of the size of files stands for it.
    let shell = format!("trap '' XFSZ; ulimit -f 1024; exec {} sort --memory 1M", env!("CARGO_BIN_EXE_tracer"));
    let output =
        Command::new("sh").args(["-c", &shell]).env("TMPDIR", "temporary").current_dir(&folder).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    insta::assert_snapshot!("full_disk", String::from_utf8(output.stderr).unwrap());
}

#[test]
fn wrong_values_are_usage_errors() {
    let folder = folder(EVENTS);
    let mut text = String::new();
    let all: [&[&str]; 5] = [
        &["--memory", "100K"],
        &["--memory", "2048G"],
        &["--memory", "some"],
        &["--temp-dir", "nowhere"],
        &["--temp-dir", "events.json"],
    ];
    for args in all {
        let output = sort(folder.path(), args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        text += &format!("$ tracer sort {}\n{}\n", args.join(" "), String::from_utf8(output.stderr).unwrap());
    }
    insta::assert_snapshot!("sort_wrong_values", text);
}
