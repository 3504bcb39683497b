// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `print`, `sort` and `schema` as a user runs them: what they say, what they write, how they end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const EVENT: &str = r#"{"common":{"timestamp":1}}"#;

fn tracer(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    told(tracer(args).output().unwrap())
}

fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

/// A folder with the file `name` in it; the path of that file.
fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn a_bad_line_ends_with_exit_code_7_and_its_number() {
    let (_folder, path) = file("events.json", format!("{EVENT}\n{{\"common\":\n{EVENT}\n"));
    for command in ["print", "sort"] {
        let (code, _, stderr) = run(&[command, &path]);
        assert_eq!(code, Some(7));
        assert_eq!(
            stderr,
            format!(
                "error: cannot read `{path}`\n\
                 caused by: line 2 (offset 27) is no event: EOF while parsing a value at column 10\n\
                 hint: the events before it can be read: `head -n 1 FILE | tracer print -`\n"
            )
        );
    }
}

#[test]
fn a_packet_without_identity_is_a_bad_line_for_sort() {
    let (_folder, path) = file("events.json", r#"{"common":{"timestamp":1},"skb-tracking":{"skb":1}}"#);
    let (code, _, stderr) = run(&["sort", &path]);
    assert_eq!(code, Some(7));
    let expected = "line 1 (offset 0) is no event: section `skb-tracking`: missing field `timestamp` at column 9\n";
    assert!(stderr.contains(expected), "{stderr}");
}

#[test]
fn a_last_line_that_is_cut_off_is_a_warning() {
    let (_folder, path) = file("events.json", format!("{EVENT}\n{{\"comm"));
    for command in ["print", "sort"] {
        let (code, stdout, stderr) = run(&[command, "--format", "json", &path]);
        assert_eq!(code, Some(0));
        assert!(stdout.contains(EVENT) && stdout.lines().count() == 1);
        assert_eq!(stderr, format!("warning: `{path}`: line 2 is cut off after 6 bytes; it is skipped\n"));
    }
}

#[test]
fn a_missing_file_is_an_error_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let output = tracer(["print"]).current_dir(&folder).output().unwrap();
    assert_eq!(
        told(output),
        (
            Some(1),
            String::new(),
            "error: cannot read `events.json`\n\
             caused by: No such file or directory (os error 2)\n\
             hint: `tracer collect -o` writes `events.json`; another file can be named\n"
                .to_owned()
        )
    );
}

#[test]
fn file_names_cannot_drive_the_terminal() {
    let (_, _, stderr) = run(&["print", "\u{1b}[31m"]);
    assert!(stderr.starts_with("error: cannot read `\\u{1b}[31m`\n"), "{stderr}");
}

#[test]
fn a_wrong_command_line_ends_with_exit_code_2() {
    assert_eq!(run(&["print", "--no-such-option"]).0, Some(2));
    assert_eq!(run(&[]).0, Some(2));
    assert_eq!(run(&["--help"]).0, Some(0));
}

#[test]
fn profiles_before_the_subcommand_do_no_harm() {
    let path = fixture("retis/retis-nft.json");
    let path = path.to_str().unwrap();
    assert_eq!(run(&["-p", "generic", "--profile", "ovs", "print", path]), run(&["print", path]));
}

#[test]
fn the_default_input_is_events_json() {
    let (folder, _) = file("events.json", EVENT);
    let output = tracer(["print"]).current_dir(&folder).output().unwrap();
    assert_eq!(told(output), (Some(0), "1\n".to_owned(), String::new()));
}

#[test]
fn reads_standard_input_and_shows_each_event_at_once() {
    let mut tracer = tracer(["print", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = tracer.stdin.take().unwrap();
    let mut stdout = BufReader::new(tracer.stdout.take().unwrap());
    let pieces = [
        r#"{"common":{"timestamp":5}}"#.to_owned() + "\n",
        // A series, the last event of which is all that is there.
        r#"[{"common":{"timestamp":6}}"#.to_owned(),
        r#",{"common":{"timestamp":7}}]"#.to_owned() + "\n",
        r#"{"common":{"timestamp":8}}"#.to_owned() + "\n{\"common\"",
    ];
    for (piece, shown) in pieces.iter().zip(["5\n", "6\n", "  ↳ 7\n", "8\n"]) {
        stdin.write_all(piece.as_bytes()).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, shown);
    }
    drop(stdin);
    assert!(tracer.wait().unwrap().success());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (folder, path) = file("events.json", format!("{EVENT}\n").repeat(100_000));
    let temporary = folder.path().to_str().unwrap();
    let all: [&[&str]; 5] = [
        &["print", &path],
        &["print", "--follow", &path],
        &["sort", &path],
        &["sort", "--memory", "1M", "--temp-dir", temporary, "--format", "json", &path],
        &["sort", "-o", "/dev/stdout", &path],
    ];
    for args in all {
        let mut tracer = tracer(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(tracer.stdout.take());
        let (code, _, stderr) = told(tracer.wait_with_output().unwrap());
        assert_eq!((code, &*stderr), (Some(0), ""), "{args:?}");
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(tracer(["schema"]).stdout(writer).output().unwrap().status.code(), Some(0));
}

#[test]
fn a_full_standard_output_is_a_clear_error() {
    let (_folder, path) = file("events.json", format!("{EVENT}\n"));
    let all: [&[&str]; 5] = [
        &["print", &path],
        &["print", "-F", &path],
        &["sort", &path],
        &["sort", "--format", "json", &path],
        &["schema"],
    ];
    for args in all {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, _, stderr) = told(tracer(args).stdout(full).output().unwrap());
        let expected = "error: cannot write to standard output\ncaused by: No space left on device (os error 28)\n";
        assert_eq!((code, &*stderr), (Some(1), expected), "{args:?}");
    }
}

#[test]
fn a_sorted_file_is_for_its_owner_only_and_sorts_to_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (once, twice) = (folder.path().join("once"), folder.path().join("twice"));
    // A file that is already there gets the mode too, and nothing of it remains.
    fs::write(&once, "x".repeat(1_000_000)).unwrap();
    fs::set_permissions(&once, fs::Permissions::from_mode(0o644)).unwrap();
    for (from, to) in [(&fixture("additive.json"), &once), (&once, &twice)] {
        let (code, stdout, stderr) =
            told(tracer([OsStr::new("sort"), from.as_ref(), "-o".as_ref(), to.as_ref()]).output().unwrap());
        assert_eq!((code, &*stdout, &*stderr), (Some(0), "", ""));
        assert_eq!(fs::metadata(to).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read(&once).unwrap(), fs::read(&twice).unwrap());
    assert!(fs::read_to_string(&once).unwrap().lines().all(|line| line.starts_with('[')));
}

#[test]
fn refuses_to_write_what_it_reads() {
    let (folder, path) = file("events.json", format!("{EVENT}\n"));
    let other = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    symlink(&path, other("symlink")).unwrap();
    fs::hard_link(&path, other("hardlink")).unwrap();
    for out in [path.clone(), other("symlink"), other("hardlink"), format!("{}/./events.json", other("."))] {
        let (code, _, stderr) = run(&["sort", &path, "-o", &out]);
        assert_eq!(code, Some(2));
        assert!(stderr.starts_with(&format!("error: `{out}` is the file that is read")), "{stderr}");
    }
    // Standard output and standard input may be that file as well.
    for command in ["print", "sort"] {
        let append = fs::OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(tracer([command, &path]).stdout(append).output().unwrap().status.code(), Some(2));
    }
    let input = fs::File::open(&path).unwrap();
    let output = tracer(["sort", "-", "-o", &path]).stdin(input).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{EVENT}\n"));
}

#[test]
fn a_failed_sort_leaves_the_output_file_alone() {
    let (folder, path) = file("events.json", "{}\n");
    let out = folder.path().join("out");
    assert_eq!(run(&["sort", &path, "-o", out.to_str().unwrap()]).0, Some(7));
    assert!(!out.exists());
}

#[test]
fn the_schema_is_json_and_names_the_sections() {
    let (code, stdout, _) = run(&["schema"]);
    assert_eq!(code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for section in ["common", "kernel", "userspace", "startup", "loss", "tracking"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}
