// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::io::{Cursor, Read};

use super::{EventReader, ReadError, Truncated};
use crate::error::{Error, ErrorKind};

const ONE: &str = r#"{"common":{"timestamp":1}}"#;
const TWO: &str = r#"{"common":{"timestamp":2,"task":{"comm":"ü]}\\\""}}}"#;

/// Gives a few bytes at a time.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(3);
        self.0.read(&mut buffer[..length])
    }
}

/// An event's time, and its place in a series.
type Seen = (u64, Option<u64>);

fn read(file: &[u8]) -> Result<(Vec<Seen>, Option<Truncated>), ReadError> {
    let mut reader = EventReader::new(Trickle(file));
    let mut events = Vec::new();
    while let Some(event) = reader.next_event()? {
        events.push((event.event.timestamp(), event.idx));
    }
    Ok((events, reader.truncated()))
}

fn truncated(line: u64, bytes: usize) -> Truncated {
    Truncated { line, bytes: bytes as u64, in_series: false, followed_by_nul: false }
}

fn message(file: &[u8]) -> String {
    let error = Error::from(read(file).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::BadEventFile);
    error.to_string()
}

#[test]
fn reads_events_and_series() {
    let all = vec![(1, None), (1, Some(0)), (2, Some(1)), (2, None)];
    assert_eq!(read(format!("{ONE}\n[{ONE},{TWO}]\n{TWO}").as_bytes()).unwrap(), (all.clone(), None));
    let spacious = format!("\u{feff}\r\n {ONE} \r\n\n\t[ {ONE} , {TWO} ] \r\n[]\n[ ]\n{TWO}\r\n  \n");
    assert_eq!(read(spacious.as_bytes()).unwrap(), (all, None));
    assert_eq!(read(b"").unwrap(), (vec![], None));
}

#[test]
fn skips_a_last_line_that_is_cut_off_anywhere() {
    for end in 1..TWO.len() {
        let mut file = format!("{ONE}\n").into_bytes();
        file.extend_from_slice(&TWO.as_bytes()[..end]);
        assert_eq!(read(&file).unwrap(), (vec![(1, None)], Some(truncated(2, end))));
        // A crash may have left room behind it.
        file.resize(1_000_000, 0);
        let warning = Truncated { followed_by_nul: true, ..truncated(2, end) };
        assert_eq!(read(&file).unwrap(), (vec![(1, None)], Some(warning)));
    }
}

#[test]
fn keeps_the_events_of_a_series_that_is_cut_off() {
    let file = format!("[{ONE},{TWO}]");
    for end in 1..file.len() {
        let (events, warning) = read(&file.as_bytes()[..end]).unwrap();
        let whole = [ONE.len() + 1, file.len() - 1].iter().filter(|whole| **whole <= end).count();
        assert_eq!(events.len(), whole);
        assert_eq!(warning, Some(Truncated { in_series: true, ..truncated(1, end) }));
    }
}

#[test]
fn goes_on_when_the_file_has_grown() {
    let file = format!("\u{feff}{ONE}\n[{TWO}]\n").into_bytes();
    let end = std::cell::Cell::new(0);
    struct Growing<'a>(&'a [u8], usize, &'a std::cell::Cell<usize>);
    impl Read for Growing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let read = (&self.0[self.1..self.2.get()]).read(buffer)?;
            self.1 += read;
            Ok(read)
        }
    }
    let mut reader = EventReader::new(Growing(&file, 0, &end));
    let mut seen = Vec::new();
    while end.get() < file.len() {
        // The mark at the beginning comes in one piece.
        end.set((end.get() + 1).max(3));
        while let Some(event) = reader.next_event().unwrap() {
            seen.push((end.get(), event.event.timestamp()));
        }
    }
    assert_eq!(seen, [(3 + ONE.len(), 1), (3 + ONE.len() + 2 + TWO.len(), 2)]);
}

#[test]
fn what_is_no_event_is_told_with_its_place() {
    let cut_off_in_the_middle = format!("{ONE}\n{}\n{ONE}\n", &TWO[..9]);
    assert_eq!(
        message(cut_off_in_the_middle.as_bytes()),
        "line 2 (offset 27) is no event: EOF while parsing an object at column 9"
    );
    let not_json = "line 1 (offset 0) is no event: neither a JSON object nor an array of them";
    assert_eq!(message(b"x"), not_json);
    assert_eq!(message(b"{\"a\":\"\xff\"}"), "line 1 (offset 0) is no event: not UTF-8 from column 7 on");
    assert_eq!(message(b"{}"), "line 1 (offset 0) is no event: no section `common`");
    let nul = format!("{ONE}\n\0\0{ONE}\n");
    assert_eq!(
        message(nul.as_bytes()),
        "line 2 (offset 27) is no event: NUL bytes, as a crash may leave them in a file"
    );
}

#[test]
fn what_is_no_series_is_told_with_its_place() {
    let message = |file: String| message(file.as_bytes()).replace(" is no event", "");
    assert_eq!(
        message(format!("[{ONE} {ONE}]")),
        "line 1 (offset 28): neither `,` nor `]` behind an event of a series"
    );
    assert_eq!(message(format!("[{ONE},]")), "line 1 (offset 28): not a JSON object, as is expected in a series");
    assert_eq!(message("[5]".to_owned()), "line 1 (offset 1): not a JSON object, as is expected in a series");
    assert_eq!(message(format!("[{ONE},\n{ONE}]")), "line 1 (offset 28): the line ends inside a series");
    assert_eq!(message(format!("[{{\n{ONE}]")), "line 1 (offset 1): EOF while parsing an object at column 1");
    assert_eq!(message(format!("[{ONE}]{ONE}")), "line 1 (offset 28): more behind the end of a series");
    assert_eq!(message(r#"[{"a":]}]"#.to_owned()), "line 1 (offset 1): expected value at column 6");
}

#[test]
fn other_files_are_told_what_they_are() {
    assert_eq!(message(b"\x1f\x8b\x08\0\0"), "it is no event file, but compressed (gzip)");
    assert_eq!(message(b"\n\r\r\n\0\0\0\0"), "it is no event file, but a packet capture (pcapng)");
}

#[test]
fn gives_up_on_an_event_without_end() {
    for start in ["{", "[{", "[{\""] {
        let endless = Cursor::new(start).chain(std::io::repeat(b' '));
        let error = EventReader::new(endless).next_event().unwrap_err();
        let offset = start.find('{').unwrap();
        assert_eq!(error.to_string(), format!("line 1 (offset {offset}) is no event: it is longer than 16 MiB"));
    }
    // A series may have any length.
    let event = format!("{ONE},");
    let mut reader = EventReader::new(Cursor::new("[").chain(Cursor::new(event.repeat(2_000_000))));
    let mut count = 0;
    while reader.next_event().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 2_000_000);
    assert!(reader.truncated().is_some());
}
