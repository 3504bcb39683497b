// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `print --follow`: events are shown when they are written, whatever happens to the file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use tempfile::TempDir;

/// A running `tracer print --follow`, and the file that it follows.
struct Follow {
    folder: TempDir,
    file: File,
    tracer: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

fn event(timestamp: u64) -> String {
    format!("{{\"common\":{{\"timestamp\":{timestamp}}}}}\n")
}

impl Follow {
    fn new(content: &str) -> Self {
        Self::with(content, &[])
    }

    fn with(content: &str, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.json");
        fs::write(&path, content).unwrap();
        let mut tracer = Command::new(env!("CARGO_BIN_EXE_tracer"))
            .args(["print", "--follow", "events.json"])
            .args(args)
            .current_dir(&folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(tracer.stdout.take().unwrap());
        let stderr = BufReader::new(tracer.stderr.take().unwrap());
        let file = OpenOptions::new().append(true).open(path).unwrap();
        Self { folder, file, tracer, stdout, stderr }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("events.json")
    }

    fn write(&mut self, text: &str) {
        self.file.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until all that was written has been read.
    fn wait_until_read(&self) {
        let length = fs::metadata(self.path()).unwrap().len();
        let process = Path::new("/proc").join(self.tracer.id().to_string());
        let is_read = || {
            let files = fs::read_dir(process.join("fd")).unwrap().map(|file| file.unwrap());
            let followed =
                files.into_iter().find(|file| fs::read_link(file.path()).is_ok_and(|path| path == self.path()));
            // It may not be open yet.
            let Some(followed) = followed else { return false };
            let information = fs::read_to_string(process.join("fdinfo").join(followed.file_name())).unwrap();
            let position = information.lines().next().unwrap().strip_prefix("pos:").unwrap().trim();
            position.parse::<u64>().unwrap() == length
        };
        while !is_read() {
            std::thread::yield_now();
        }
    }

    /// Waits for the next line on standard output.
    fn shown(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits for the next line on standard error.
    fn told(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Ends it with a signal; it must have nothing more to say, and not fail.
    fn end(mut self, signal: &str) {
        let id = self.tracer.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        self.stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        assert_eq!(self.tracer.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn shows_what_is_written_when_it_is_written() {
    let mut follow = Follow::new(&event(1));
    assert_eq!(follow.shown(), "1");
    for timestamp in 2..5 {
        follow.write(&event(timestamp));
        assert_eq!(follow.shown(), timestamp.to_string());
    }
    follow.end("INT");
}

#[test]
fn an_event_that_comes_in_pieces_is_shown_when_it_is_complete() {
    let mut follow = Follow::new(&event(0));
    assert_eq!(follow.shown(), "0");
    for timestamp in 1..4 {
        let text = event(timestamp);
        for piece in text.as_bytes().chunks(9) {
            follow.write(std::str::from_utf8(piece).unwrap());
            follow.wait_until_read();
        }
        assert_eq!(follow.shown(), timestamp.to_string());
    }
    follow.end("TERM");
}

#[test]
fn begins_anew_when_the_file_does() {
    let mut follow = Follow::new(&(event(1) + &event(2)));
    assert_eq!((follow.shown(), follow.shown()), ("1".to_owned(), "2".to_owned()));
    // Shorter, then of the same length with other events.
    for (old, new) in [(2, vec![3]), (1, vec![4])] {
        assert!(old >= new.len());
        let mut file = File::create(follow.path()).unwrap();
        for timestamp in &new {
            file.write_all(event(*timestamp).as_bytes()).unwrap();
        }
        assert_eq!(follow.told(), "warning: `events.json` was emptied; what is new in it follows");
        for timestamp in new {
            assert_eq!(follow.shown(), timestamp.to_string());
        }
    }
    follow.end("INT");
}

#[test]
fn goes_on_with_the_file_that_takes_the_place() {
    let mut follow = Follow::new(&event(1));
    assert_eq!(follow.shown(), "1");
    let aside = follow.folder.path().join("events.json.1");
    fs::rename(follow.path(), aside).unwrap();
    assert_eq!(follow.told(), "warning: `events.json` is gone; a new one is waited for");
    // The writer may still be writing to the old one.
    follow.write(&event(2));
    assert_eq!(follow.shown(), "2");
    let new = follow.folder.path().join("new");
    fs::write(&new, event(3)).unwrap();
    fs::rename(new, follow.path()).unwrap();
    assert_eq!(follow.told(), "warning: `events.json` is another file now, which follows");
    assert_eq!(follow.shown(), "3");
    follow.end("INT");
}

#[test]
fn a_pipe_that_takes_the_place_is_not_waited_for() {
    let mut follow = Follow::new(&event(1));
    assert_eq!(follow.shown(), "1");
    fs::remove_file(follow.path()).unwrap();
    assert_eq!(follow.told(), "warning: `events.json` is gone; a new one is waited for");
    assert!(Command::new("mkfifo").arg(follow.path()).status().unwrap().success());
    follow.write(&event(2));
    assert_eq!(follow.shown(), "2");
    fs::remove_file(follow.path()).unwrap();
    fs::write(follow.path(), event(3)).unwrap();
    let mut told = follow.told();
    // The pipe may have been seen, and its end as well.
    if told.ends_with("waited for") {
        told = follow.told();
    }
    assert_eq!(told, "warning: `events.json` is another file now, which follows");
    assert_eq!(follow.shown(), "3");
    follow.end("INT");
}

#[test]
fn the_last_event_of_a_series_is_not_waited_for() {
    let series = |timestamp| format!("[{}]\n", event(timestamp).trim_end());
    let mut follow = Follow::new(&series(1));
    assert_eq!(follow.shown(), "1");
    follow.write(&series(2));
    assert_eq!((follow.shown(), follow.shown()), (String::new(), "2".to_owned()));
    follow.end("INT");
}

#[test]
fn a_filter_lets_a_packet_through_when_it_matches() {
    let event = |timestamp, comm| {
        format!(
            r#"{{"common":{{"timestamp":{timestamp},"task":{{"pid":1,"tgid":1,"comm":"{comm}"}}}},"skb-tracking":{{"orig_head":1,"timestamp":1}}}}"#
        )
    };
    let (other, wanted) = (event(1, "other"), event(2, "wanted"));
    let args = ["-m", r#"comm == "wanted""#, "--format", "json"];
    let mut follow = Follow::with(&format!("{other}\n{wanted}\n"), &args);
    assert_eq!(follow.shown(), wanted);
    follow.write(&format!("{other}\n"));
    assert_eq!(follow.shown(), other);
    follow.end("INT");

    // A series comes when its first match does, and not before.
    let mut follow = Follow::with(&format!("{wanted}\n"), &[&args[..2], &["--format", "single-line"]].concat());
    assert!(follow.shown().starts_with("2 "));
    follow.write(&format!("[{other},{other},"));
    follow.wait_until_read();
    follow.write(&wanted);
    for begin in ["1 ", "  ↳ 1 ", "  ↳ 2 "] {
        let shown = follow.shown();
        assert!(shown.starts_with(begin), "{shown}");
    }
    follow.write(&format!("]\n[{other}]\n"));
    follow.wait_until_read();
    follow.end("TERM");
}

#[test]
fn a_filter_without_bytes_to_look_at_says_so_at_the_end() {
    let mut follow = Follow::with(&event(1), &["-f", "icmp"]);
    follow.write(&event(2));
    follow.wait_until_read();
    let id = follow.tracer.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    let expected = "warning: no event of `events.json` has packet bytes, so none matches `-f`; `tracer collect -c skb` records them";
    assert_eq!((follow.shown(), follow.told()), (String::new(), expected.to_owned()));
    assert_eq!(follow.tracer.wait().unwrap().code(), Some(0));
}

#[test]
fn a_signal_ends_it_before_the_end_of_a_long_file() {
    const EVENTS: u64 = 1000;
    let long = format!(r#"{{"common":{{"timestamp":1}},"long":"{}"}}"#, "x".repeat(10_000)) + "\n";
    let mut follow = Follow::new(&long.repeat(EVENTS as usize));
    assert_eq!(follow.shown(), "1");
    // Most of the file is not yet read: nobody has read the output.
    let id = follow.tracer.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    let shown = follow.stdout.lines().filter(|line| line.as_ref().unwrap() == "1").count();
    assert!(shown < 500, "{shown}");
    assert_eq!(follow.tracer.wait().unwrap().code(), Some(0));
}

#[test]
fn ends_when_nobody_reads_any_more() {
    let mut follow = Follow::new(&event(1));
    assert_eq!(follow.shown(), "1");
    drop(follow.stdout);
    assert_eq!(follow.tracer.wait().unwrap().code(), Some(0));
}

#[test]
fn a_missing_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let tracer =
        Command::new(env!("CARGO_BIN_EXE_tracer")).args(["print", "-F"]).current_dir(&folder).output().unwrap();
    assert_eq!(tracer.status.code(), Some(1));
}
