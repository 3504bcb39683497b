// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `print` and `sort` with `-f` and `-m`: which events of a file are left, and that these are whole stories.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

const STARTUP: &str = r#"{"common":{"timestamp":1},"startup":{"retis_version":"v1.7.0","cmdline":"x","clock_monotonic_offset":{"sec":0,"nsec":0},"machine":{"kernel_release":"6","kernel_version":"1","hardware_name":"m"}}}"#;
const LOSS: &str = r#"{"common":{"timestamp":900},"loss":[{"cause":"ring_full","count":3}]}"#;

const ICMP: u8 = 1;
const UDP: u8 = 17;

/// Section `packet` with an IPv4 packet of `protocol`, between 10.0.0.1 and 10.0.0.2.
fn packet(protocol: u8) -> String {
    let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, protocol, 0, 0];
    bytes.extend([10, 0, 0, 1, 10, 0, 0, 2, 0, 53, 0, 53, 0, 8, 0, 0]);
    let (length, data) = (bytes.len(), STANDARD.encode(bytes));
    format!(r#""packet":{{"len":{length},"capture_len":{length},"data":"{data}"}}"#)
}

fn device(name: &str) -> String {
    format!(r#""dev":{{"name":"{name}","ifindex":2}}"#)
}

/// An event of packet `id`, hit number `seq`; there are no other events at `time`.
fn tracked(time: u64, id: u64, seq: u64, sections: &[&str]) -> String {
    let tracking = format!(r#""skb-tracking":{{"orig_head":{id},"timestamp":{id},"skb":7,"seq":{seq}}}"#);
    event(time, &[&[&*tracking], sections].concat())
}

fn event(time: u64, sections: &[&str]) -> String {
    let sections: String = sections.iter().map(|section| format!(",{section}")).collect();
    format!(r#"{{"common":{{"timestamp":{time}}}{sections}}}"#)
}

fn lines(events: &[String]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

fn series(events: &[String]) -> String {
    format!("[{}]\n", events.join(","))
}

/// A folder with a file, `events.json`.
fn folder(content: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("events.json"), content).unwrap();
    folder
}

fn tracer(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command
}

fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What a command writes about a file with `content`, as JSON; it has nothing to complain about.
fn json(content: &str, command: &str, filter: &[&str]) -> String {
    let folder = folder(content);
    let args = [&[command, "--format", "json"], filter].concat();
    let (code, stdout, stderr) = told(tracer(folder.path(), &args).output().unwrap());
    assert_eq!((code, &*stderr), (Some(0), ""), "{args:?}");
    // The same comes out when the file comes through a pipe.
    let mut piped = tracer(folder.path(), &[&args[..], &["-"]].concat());
    let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = piped.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(content.as_bytes()).unwrap());
        assert!(told(piped.wait_with_output().unwrap()).1 == stdout, "{args:?}");
    });
    stdout
}

/// The times of the events that a command shows, series by series.
fn times(content: &str, command: &str, filter: &[&str]) -> Vec<Vec<u64>> {
    let text = json(content, command, filter);
    let values = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let time = |event: &serde_json::Value| event["common"]["timestamp"].as_u64().unwrap();
    values
        .map(|line| line.as_array().map_or_else(|| vec![time(&line)], |series| series.iter().map(time).collect()))
        .collect()
}

/// Four packets, the first three of which have ICMP in their first, second and last event.
fn four_packets() -> Vec<Vec<String>> {
    let (icmp, udp) = (packet(ICMP), packet(UDP));
    (1..=4)
        .map(|id: u64| {
            let bytes = |seq: u64| if seq + 1 == id { &*icmp } else { &*udp };
            (0..3).map(|seq| tracked(100 + seq * 10 + id, id, seq, &[bytes(seq)])).collect()
        })
        .collect()
}

/// The same in an order in which no packet's events stand together.
fn interleaved(packets: &[Vec<String>]) -> String {
    (0..3).map(|seq| lines(&packets.iter().map(|packet| packet[seq].clone()).collect::<Vec<_>>())).collect()
}

#[test]
fn any_event_that_matches_keeps_the_series_whole() {
    let packets = four_packets();
    let kept: Vec<Vec<u64>> = (1..4).map(|id| vec![100 + id, 110 + id, 120 + id]).collect();
    let sorted: String = packets.iter().map(|events| series(events)).collect();
    assert_eq!(times(&interleaved(&packets), "sort", &["-f", "icmp"]), kept);
    assert_eq!(times(&sorted, "sort", &["--filter-packet", "icmp"]), kept);
    assert_eq!(times(&sorted, "print", &["-f", "icmp"]), kept);
    // What is kept is what stands there, byte for byte.
    assert_eq!(
        json(&sorted, "print", &["-f", "icmp"]),
        packets[..3].iter().map(|events| series(events)).collect::<String>()
    );
    assert_eq!(json(&sorted, "print", &["-f", "tcp"]), "");
}

#[test]
fn an_empty_filter_lets_everything_pass() {
    let events = interleaved(&four_packets());
    for filter in [["-f", ""], ["-m", " \t"]] {
        assert_eq!(json(&events, "print", &filter), events);
        assert_eq!(json(&events, "sort", &filter), json(&events, "sort", &[]));
    }
}

#[test]
fn an_unsorted_file_shows_a_packet_from_its_first_match_on() {
    let shown = times(&interleaved(&four_packets()), "print", &["-f", "icmp"]);
    assert_eq!(shown.concat(), [101, 111, 112, 121, 122, 123]);
}

#[test]
fn events_without_bytes_belong_to_their_packet() {
    let untracked = [event(105, &[&packet(ICMP)]), event(106, &[&packet(UDP)]), event(107, &[])];
    let icmp = [tracked(100, 1, 0, &[]), tracked(110, 1, 3, &[&packet(ICMP)]), tracked(120, 1, 4, &[&device("eth0")])];
    let other = [tracked(101, 2, 0, &[]), tracked(102, 2, 5, &[])];
    let file = lines(&[&untracked[..], &icmp, &other].concat());
    assert_eq!(times(&file, "sort", &["-f", "icmp"]), [vec![100, 110, 120], vec![105]]);
    assert_eq!(times(&file, "print", &["-f", "icmp"]).concat(), [105, 110, 120]);
    // What was lost of the packet is still said, and of no other.
    let sorted = json(&file, "sort", &["-f", "icmp"]);
    assert_eq!(sorted.matches(r#""idx":1,"lost":2}"#).count(), 1, "{sorted}");
    assert_eq!(sorted.matches("2 of its events are missing").count(), 1, "{sorted}");
}

#[test]
fn a_tag_beside_the_bytes_is_part_of_the_packet_when_the_filter_asks_for_tags() {
    let tag = |vid: u16| format!(r#""skb":{{"vlan_accel":{{"proto":33024,"pcp":5,"dei":true,"vid":{vid}}}}}"#);
    let file =
        lines(&[event(1, &[&packet(UDP), &tag(5)]), event(2, &[&packet(UDP), &tag(6)]), event(3, &[&packet(UDP)])]);
    for command in ["print", "sort"] {
        assert_eq!(times(&file, command, &["-f", "vlan"]).concat(), [1, 2]);
        assert_eq!(times(&file, command, &["-f", "vlan 6 and udp"]).concat(), [2]);
        assert_eq!(times(&file, command, &["-f", "udp"]).concat(), [1, 2, 3]);
        // Priority 5 and the drop eligible indicator.
        assert_eq!(times(&file, command, &["-f", "vlan and ether[14:2] = 0xb005"]).concat(), [1]);
    }
}

#[test]
fn both_filters_are_about_one_event() {
    let (icmp, udp, eth0, eth1) = (packet(ICMP), packet(UDP), device("eth0"), device("eth1"));
    let together = [tracked(100, 1, 0, &[&udp, &eth1]), tracked(101, 1, 1, &[&icmp, &eth0])];
    let apart = [tracked(110, 2, 0, &[&icmp, &eth1]), tracked(111, 2, 1, &[&udp, &eth0])];
    let file = lines(&[&together[..], &apart].concat());
    let metadata = ["-m", r#"ifname == "eth0""#];
    let both = [&["-f", "icmp"], &metadata[..]].concat();
    assert_eq!(times(&file, "sort", &both), [[100, 101]]);
    assert_eq!(times(&file, "print", &both).concat(), [101]);
    assert_eq!(times(&(series(&together) + &series(&apart)), "print", &both), [[100, 101]]);
    assert_eq!(times(&file, "sort", &metadata), [[100, 101], [110, 111]]);
    assert_eq!(times(&file, "print", &["--filter-meta", metadata[1]]).concat(), [101, 111]);
}

#[test]
fn what_concerns_the_recording_stays() {
    let file = lines(&[STARTUP.to_owned(), event(5, &[&packet(UDP)]), LOSS.to_owned()]);
    let sorted = json(&file, "sort", &["-f", "icmp"]);
    assert_eq!(sorted, format!("[{STARTUP}]\n[{LOSS}]\n"));
    assert_eq!(json(&file, "print", &["-f", "icmp"]), format!("{STARTUP}\n{LOSS}\n"));
    assert_eq!(json(&sorted, "print", &["-m", r#"ifname == "eth0""#]), sorted);
}

#[test]
fn an_identity_holds_for_one_recording() {
    let (icmp, udp) = (packet(ICMP), packet(UDP));
    let first = [STARTUP.to_owned(), tracked(10, 5, 0, &[&icmp])];
    let second = [STARTUP.to_owned(), tracked(20, 5, 0, &[&udp]), tracked(21, 5, 1, &[])];
    for (file, kept) in [([&first[..], &second].concat(), [1, 10, 1]), ([&second[..], &first].concat(), [1, 1, 10])] {
        for command in ["print", "sort"] {
            assert_eq!(times(&lines(&file), command, &["-f", "icmp"]).concat(), kept, "{command}");
        }
    }
    // The parts of a recording in several files have one clock, and the same packets.
    let part = |id| {
        STARTUP.replace(r#"}}}"#, &format!(r#"}},"split_file":{{"id":{id},"policy":{{"kind":"size","limit":1}}}}}}}}"#))
    };
    let parts = [part(0), tracked(10, 5, 0, &[&icmp]), part(1), tracked(20, 5, 1, &[&udp])];
    assert_eq!(times(&lines(&parts), "print", &["-f", "icmp"]).concat(), [1, 10, 1, 20]);
    assert_eq!(times(&lines(&parts), "sort", &["-f", "icmp"]).concat(), [1, 1, 10, 20]);
}

#[test]
fn a_sorted_file_of_what_is_left_can_be_sorted_again() {
    let file = format!("{STARTUP}\n{}{LOSS}\n", interleaved(&four_packets()));
    let folder = folder(&file);
    let run = |args: &[&str]| {
        assert_eq!(told(tracer(folder.path(), args).output().unwrap()), (Some(0), String::new(), String::new()))
    };
    run(&["sort", "-f", "icmp", "-o", "once"]);
    run(&["sort", "-f", "icmp", "once", "-o", "twice"]);
    let once = fs::read_to_string(folder.path().join("once")).unwrap();
    assert_eq!(once.lines().count(), 5);
    assert_eq!(fs::read_to_string(folder.path().join("twice")).unwrap(), once);
    assert_eq!(json(&once, "print", &["-f", "icmp"]), once);
}

#[test]
fn a_sorted_file_can_be_filtered_by_what_became_of_packets() {
    let hit = |time, id, seq, symbol: &str| {
        tracked(time, id, seq, &[&format!(r#""kernel":{{"symbol":"{symbol}","probe_type":"kprobe"}}"#)])
    };
    let packets = [
        [hit(101, 1, 0, "ip_rcv"), hit(102, 1, 1, "icmp_rcv")],
        [hit(103, 2, 0, "ip_rcv"), hit(104, 2, 1, "skb:kfree_skb")],
        [hit(105, 3, 0, "ip_rcv"), hit(106, 3, 1, "ip_forward")],
    ];
    let sorted = json(&lines(&packets.concat()), "sort", &[]);
    for (kind, expected) in [("delivered", [101, 102]), ("dropped", [103, 104]), ("unknown", [105, 106])] {
        let filter = format!("verdict.kind == \"{kind}\"");
        for command in ["print", "sort"] {
            assert_eq!(times(&sorted, command, &["-m", &filter]), [expected.to_vec()], "{command} {kind}");
        }
    }
}

#[test]
fn a_series_may_be_larger_than_the_memory() {
    const EVENTS: u64 = 60_000;
    let (icmp, udp) = (packet(ICMP), packet(UDP));
    let filling = format!(r#""x":"{}""#, "x".repeat(1000));
    let long = |id: u64, last: &str| {
        let bytes = |seq| if seq == EVENTS - 1 { last } else { &*udp };
        series(&(0..EVENTS).map(|seq| tracked(100 + seq, id, seq, &[bytes(seq), &filling])).collect::<Vec<_>>())
    };
    let (kept, dropped) = (long(1, &icmp), long(2, &udp));
    let folder = folder(&(dropped + &kept));
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    for input in ["events.json", "-"] {
        // The program's code and buffers are in this limit too; a series has 70 MB.
        let command = format!("ulimit -v 65536; exec \"$0\" print --format json -f icmp {input}");
        let output = Command::new("sh")
            .args(["-c", &command, env!("CARGO_BIN_EXE_tracer")])
            .env("TMPDIR", &temporary)
            .current_dir(&folder)
            .stdin(File::open(folder.path().join("events.json")).unwrap())
            .output()
            .unwrap();
        let (code, stdout, stderr) = told(output);
        assert_eq!((code, &*stderr), (Some(0), ""));
        assert!(stdout == kept);
    }
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn a_series_that_cannot_be_put_aside_is_a_clear_error() {
    let filling = format!(r#""x":"{}""#, "x".repeat(1000));
    let events: Vec<String> = (0..10_000).map(|seq| tracked(seq, 1, seq, &[&packet(UDP), &filling])).collect();
    let folder = folder(&series(&events));
    let output = tracer(folder.path(), &["print", "-f", "icmp"]).env("TMPDIR", "nowhere").output().unwrap();
    let (code, stdout, stderr) = told(output);
    assert_eq!((code, &*stdout), (Some(1), ""));
    insta::assert_snapshot!(stderr);
}

#[test]
fn a_cut_off_line_loses_only_its_last_event() {
    let packets = four_packets();
    let interleaved = interleaved(&packets[..3]);
    // The second packet matches in its second event, the third in its last, which is cut off.
    for (command, content, shown) in [
        ("print", series(&packets[1]), 2),
        ("sort", series(&packets[1]), 2),
        ("print", series(&packets[2]), 0),
        ("sort", series(&packets[2]), 0),
        ("print", interleaved.clone(), 5),
        ("sort", interleaved, 6),
    ] {
        let folder = folder(&content[..content.len() - 9]);
        let args = [command, "--format", "single-line", "-f", "icmp"];
        let (code, stdout, stderr) = told(tracer(folder.path(), &args).output().unwrap());
        assert_eq!((code, stdout.lines().count()), (Some(0), shown), "{command} {content}: {stdout}");
        assert!(stderr.starts_with("warning: `events.json`: line") && stderr.contains("is cut off after"), "{stderr}");
    }
}

#[test]
fn a_wrong_filter_ends_with_exit_code_5_before_anything_is_read_or_written() {
    let folder = folder("no event\n");
    fs::write(folder.path().join("out"), "precious").unwrap();
    for filter in [["-f", "host 10.0.0.256"], ["-f", "udp prot 53"], ["-m", "ifname =="], ["-m", "ifname == \"eth0"]] {
        for command in [&["print"][..], &["print", "--follow"], &["sort"], &["sort", "-o", "out"]] {
            let (code, stdout, stderr) = told(tracer(folder.path(), &[command, &filter].concat()).output().unwrap());
            assert_eq!((code, &*stdout), (Some(5), ""), "{command:?} {filter:?}: {stderr}");
            let language = if filter[0] == "-f" { "packet" } else { "metadata" };
            assert!(stderr.starts_with(&format!("error: {language} filter")), "{stderr}");
            // The filter stands on a line of its own, so that the place can be marked.
            assert!(stderr.contains(&format!("\n    {}\n", filter[1])), "{stderr}");
        }
    }
    assert_eq!(fs::read_to_string(folder.path().join("out")).unwrap(), "precious");
}

#[test]
fn a_file_without_bytes_of_packets_says_so_once() {
    let events = [tracked(1, 1, 0, &[&device("eth0")]), tracked(2, 1, 1, &[&device("eth1")])];
    for content in [lines(&events), series(&events)] {
        let folder = folder(&content);
        for command in ["print", "sort"] {
            let said = |args: &[&str]| told(tracer(folder.path(), &[&[command], args].concat()).output().unwrap());
            let warning = "warning: no event of `events.json` has packet bytes, so none matches `-f`; `tracer collect -c skb` records them\n";
            assert_eq!(said(&["-f", "icmp"]), (Some(0), String::new(), warning.to_owned()));
            assert_eq!(said(&["-m", r#"ifname == "eth2""#]), (Some(0), String::new(), String::new()));
        }
    }
    let empty = folder("");
    let (_, _, stderr) = told(tracer(empty.path(), &["print", "-f", "icmp"]).output().unwrap());
    assert_eq!(stderr, "warning: `events.json` holds no events\n");
}

#[test]
fn bytes_that_cannot_be_read_are_a_bad_line() {
    let good = event(1, &[&packet(UDP)]);
    for (bad, reason) in [
        (r#""packet":{"len":42,"capture_len":42,"data":"?"}"#, "section `packet`: "),
        (r#""packet":{"len":42}"#, "section `packet`: missing field `data`"),
    ] {
        let folder = folder(&lines(&[good.clone(), event(2, &[bad])]));
        for command in ["print", "sort"] {
            let (code, _, stderr) = told(tracer(folder.path(), &[command, "-f", "icmp"]).output().unwrap());
            assert_eq!(code, Some(7));
            assert!(stderr.contains(&format!("line 2 (offset {}) is no event: {reason}", good.len() + 1)), "{stderr}");
        }
    }
}

#[test]
fn recordings_of_retis_can_be_filtered() {
    let fixture = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/retis").join(name);
        fs::read_to_string(path).unwrap()
    };
    // It was recorded with `-f icmp`; ping is told apart by its direction.
    let file = fixture("retis-generic.json");
    let (all, requests, replies) = (
        times(&file, "sort", &[]),
        times(&file, "sort", &["-f", "icmp[icmptype] = icmp-echo"]),
        times(&file, "sort", &["-f", "icmp[icmptype] = icmp-echoreply"]),
    );
    assert!(requests.len() > 1 && replies.len() > 1, "{requests:?} {replies:?}");
    let mut both = [requests, replies[1..].to_vec()].concat();
    both.sort();
    assert_eq!(both, all);
    for name in ["retis-ct.json", "retis-nft.json", "retis-ovs.json", "retis-generic.json"] {
        let file = fixture(name);
        let sorted = json(&file, "sort", &[]);
        let filtered = json(&file, "sort", &["-f", "ip"]);
        assert!(filtered.len() > 2000 && filtered.lines().all(|line| sorted.contains(line)), "{name}");
        assert_eq!(json(&sorted, "print", &["-f", "ip"]), filtered, "{name}");
    }
}
