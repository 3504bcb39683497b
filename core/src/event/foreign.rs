// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files that are something else, told by how they begin.

/// How many bytes are looked at.
pub(super) const LOOKED_AT: usize = 6;

/// What a file is instead of an event file, and what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// As in "it is ...".
    pub(super) what: &'static str,
    pub(super) hint: &'static str,
}

const RECORD: &str = "`tracer collect -o FILE` writes an event file";
const CAPTURE: &str = "`tcpdump -r FILE` shows captures; `tracer collect -o FILE` writes an event file";
const RECODE: &str = "`iconv -f UTF-16 -t UTF-8 FILE | tracer print -` reads it";

/// First bytes, and whose they are.
const KNOWN: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "compressed (gzip)", "`gzip -dc FILE | tracer print -` reads it"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)", "`zstd -dc FILE | tracer print -` reads it"),
    (b"\xfd7zXZ\0", "compressed (xz)", "`xz -dc FILE | tracer print -` reads it"),
    (b"BZh", "compressed (bzip2)", "`bzip2 -dc FILE | tracer print -` reads it"),
    (b"\x04\x22\x4d\x18", "compressed (lz4)", "`lz4 -dc FILE | tracer print -` reads it"),
    (b"PK\x03\x04", "a zip archive", "`unzip -p FILE | tracer print -` reads it"),
    (b"\x0a\x0d\x0d\x0a", "a packet capture (pcapng)", CAPTURE),
    (b"\xd4\xc3\xb2\xa1", "a packet capture (pcap)", CAPTURE),
    (b"\xa1\xb2\xc3\xd4", "a packet capture (pcap)", CAPTURE),
    (b"\x4d\x3c\xb2\xa1", "a packet capture (pcap)", CAPTURE),
    (b"\xa1\xb2\x3c\x4d", "a packet capture (pcap)", CAPTURE),
    (b"\x7fELF", "a program or library (ELF)", RECORD),
    (b"\xff\xfe", "text in UTF-16", RECODE),
    (b"\xfe\xff", "text in UTF-16", RECODE),
    (b"\0", "full of NUL bytes at its beginning, as a file may be after a crash", RECORD),
];

/// What a file that begins with `start` is, if that is known and it is no event file.
pub(super) fn recognize(start: &[u8]) -> Option<Foreign> {
    let known = KNOWN.iter().find(|(first, ..)| start.starts_with(first));
    known.map(|&(_, what, hint)| Foreign { what, hint })
}

#[cfg(test)]
mod tests {
    use super::{KNOWN, LOOKED_AT, recognize};

    #[test]
    fn knows_other_files_and_leaves_events_alone() {
        for (first, what, _) in KNOWN {
            assert!(first.len() <= LOOKED_AT);
            assert_eq!(recognize(&[first, &b"..."[..]].concat()).unwrap().what, *what);
        }
        for start in [&b""[..], b"{", b"[{", b"\n{", b"\xef\xbb\xbf{", b"  {\"common\""] {
            assert_eq!(recognize(start), None);
        }
    }
}
