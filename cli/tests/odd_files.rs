// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files that are broken, foreign or just unusual: what a user is told about them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const ONE: &str = r#"{"common":{"timestamp":1}}"#;
const TWO: &str = r#"{"common":{"timestamp":2}}"#;

/// Runs `tracer` in `folder`, so that messages have just the name of the file.
fn tracer(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    // A time zone as a rule, so that it does not depend on what is installed.
    command.args(args).current_dir(folder).env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3");
    command.stdin(Stdio::null()).output().unwrap()
}

/// What `print` and `sort` say about each of `files`; they end with `exit_code`.
fn said(files: &[(&str, Vec<u8>)], exit_code: i32) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
        for command in ["print", "sort"] {
            let output = tracer(folder.path(), &[command, name]);
            writeln!(text, "$ tracer {command} {name}").unwrap();
            text.push_str(&String::from_utf8(output.stdout).unwrap());
            writeln!(text, "{}", String::from_utf8(output.stderr).unwrap()).unwrap();
            assert_eq!(output.status.code(), Some(exit_code), "{text}");
        }
    }
    text
}

/// An event with `section`.
fn event(section: &str) -> String {
    format!(r#"{{"common":{{"timestamp":1}},{section}}}"#)
}

#[test]
fn broken_files_end_with_exit_code_7_after_what_is_before() {
    let series = format!("[{ONE},{TWO}]\n[{ONE},{{\"common\":}},{TWO}]\n");
    let files = [
        ("garbage-in-the-middle", format!("{ONE}\nNovember rain\n{TWO}\n").into()),
        ("half-a-line-in-the-middle", format!("{ONE}\n{}\n{TWO}\n", &TWO[..15]).into()),
        ("nul-in-the-middle", format!("{ONE}\n\0\0\0\0{TWO}\n").into()),
        ("not-utf-8", [ONE.as_bytes(), b"\n{\"common\":{\"timestamp\":1},\"x\":\"\xe9t\xe9\"}\n"].concat()),
        ("bad-event-in-a-series", series.into()),
        ("numbers-beyond-64-bits", ONE.replace(":1}", ":18446744073709551616}").into()),
        ("negative-time", ONE.replace(":1}", ":-1}").into()),
        ("section-twice", event(r#""x":1,"x":2"#).into()),
        ("key-twice", r#"{"common":{"timestamp":1,"timestamp":2}}"#.into()),
    ];
    insta::assert_snapshot!("broken", said(&files, 7));
}

#[test]
fn foreign_files_end_with_exit_code_7_and_a_hint() {
    let files = [
        ("events.json.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".to_vec()),
        ("events.json.zst", b"\x28\xb5\x2f\xfd\x24\x00\x01\x00\x00".to_vec()),
        ("capture.pcapng", b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c\x2b\x1a".to_vec()),
        ("capture.pcap", b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00".to_vec()),
        ("program", fs::read("/proc/self/exe").unwrap()),
        ("nul", vec![0; 4096]),
        ("utf-16", b"\xff\xfe{\x00\"\x00c\x00".to_vec()),
        ("text", b"timestamp,cpu,symbol\n1,0,ip_rcv\n".to_vec()),
        ("other.json", b"{\"name\":\"x\"}\n".to_vec()),
        ("pretty.json", b"{\n  \"common\": {\n    \"timestamp\": 1\n  }\n}\n".to_vec()),
        ("numbers.json", b"[1, 2, 3]\n".to_vec()),
    ];
    insta::assert_snapshot!("foreign", said(&files, 7));
}

#[test]
fn unusual_files_are_read() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let files = [
        ("empty", Vec::new()),
        ("blank", b"\n \r\n\n".to_vec()),
        ("cut-off", format!("{ONE}\n{}", &TWO[..12]).into()),
        ("cut-off-series", format!("[{ONE},{TWO},{}", &TWO[..12]).into()),
        ("cut-off-by-a-crash", [format!("{ONE}\n{}", &TWO[..12]).as_bytes(), &[0; 4096]].concat()),
        ("nul-after-a-crash", [format!("{ONE}\n").as_bytes(), &[0; 4096]].concat()),
        ("byte-order-mark-and-crlf", format!("\u{feff}{ONE}\r\n{TWO}\r\n").into()),
        ("large-numbers", event(r#""big":[9007199254740993,18446744073709551616,1e999,-0.10]"#).into()),
        ("new-sections", event(r#""ct":{"state":"brand-new"},"dev":{"ifname":"eth0"},"future":{"x":null}"#).into()),
        ("series", format!("[{ONE}]\n[]\n[{TWO}]\n").into()),
    ];
    insta::assert_snapshot!("unusual", said(&files, 0));

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("deep"), event(&format!(r#""x":{deep}"#))).unwrap();
    for command in ["print", "sort"] {
        let output = tracer(folder.path(), &[command, "deep"]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("1\n  + x {deep}\n"));
    }
}

#[test]
fn a_directory_is_no_event_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = tracer(folder.path(), &["print", "."]);
    assert_eq!(output.status.code(), Some(7));
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap());
}

#[test]
fn a_line_without_end_is_given_up_in_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("{ONE}\n{}", event(&format!(r#""x":"{}""#, "x".repeat(100 << 20))));
    fs::write(folder.path().join("long"), line).unwrap();
    for command in ["print", "sort"] {
        // 100 MiB for everything, the program's code included.
        let shell = format!("ulimit -v 102400; exec {} {command} long", env!("CARGO_BIN_EXE_tracer"));
        let output = Command::new("sh").args(["-c", &shell]).current_dir(&folder).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains("line 2 (offset 27) is no event: it is longer than 16 MiB"), "{stderr}");
        assert_eq!(output.status.code(), Some(7));
    }
}

#[test]
fn times_are_those_of_each_recording() {
    let startup = |time, seconds| {
        format!(
            r#"{{"common":{{"timestamp":{time}}},"startup":{{"retis_version":"v1.7.0","cmdline":"x","clock_monotonic_offset":{{"sec":{seconds},"nsec":0}},"machine":{{"kernel_release":"6","kernel_version":"1","hardware_name":"m"}}}}}}"#
        )
    };
    let (first, second) = (startup(1, 1_790_000_000), startup(5, 1_800_000_000));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("appended"), format!("{first}\n{TWO}\n{second}\n{TWO}\n")).unwrap();
    fs::write(folder.path().join("without"), format!("{ONE}\n{TWO}\n")).unwrap();
    let mut text = String::new();
    for name in ["appended", "without"] {
        for command in ["print", "sort"] {
            for style in ["--utc", "--local", "--relative"] {
                let output = tracer(folder.path(), &[command, style, "--format", "single-line", name]);
                writeln!(text, "$ tracer {command} {style} {name}").unwrap();
                text.push_str(&String::from_utf8(output.stdout).unwrap());
                text.push_str(&String::from_utf8(output.stderr).unwrap());
                let fails = name == "without" && style != "--relative";
                assert_eq!(output.status.code(), Some(if fails { 7 } else { 0 }), "{text}");
            }
        }
    }
    insta::assert_snapshot!("times", text);
}
