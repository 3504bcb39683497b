// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stats`: what it counts, in both forms, of any file and within bounds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

fn stats(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    command.arg("stats").args(args).stdin(Stdio::null());
    command
}

fn told(output: Output) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
    String::from_utf8(output.stdout).unwrap()
}

fn numbers(args: &[&str]) -> Value {
    serde_json::from_str(&told(stats(&[args, &["--format", "json"]].concat()).output().unwrap())).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

fn file(content: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.json");
    fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// An event: its packet, the number of the hit, its flow.
#[derive(Clone, Copy)]
struct Event {
    time: u64,
    packet: u64,
    seq: u64,
    /// The last bytes of the addresses.
    ends: (u8, u8),
}

fn line(event: &Event) -> String {
    let Event { time, packet, seq, ends: (from, to) } = *event;
    let ip = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to];
    // The port of an end is always the same.
    let frame = [&[0; 12][..], &[8, 0], &ip, &[1, from, 1, to, 0, 8, 0, 0]].concat();
    let data = STANDARD.encode(&frame);
    format!(
        r#"{{"common":{{"timestamp":{time}}},"kernel":{{"symbol":"f{}","probe_type":"kprobe"}},"skb-tracking":{{"orig_head":{packet},"timestamp":{packet},"skb":7,"seq":{seq}}},"packet":{{"len":{},"capture_len":42,"data":"{data}"}}}}"#,
        seq % 3,
        frame.len() as u64 + packet % 5,
    ) + "\n"
}

/// Events of some packets, in no order; each packet has two flows, as behind a translation of addresses.
fn made(count: u64) -> Vec<Event> {
    (0..count)
        .map(|number| {
            let scattered = number.wrapping_mul(2_654_435_761) % 1_000_003;
            let packet = scattered % (count / 3 + 1);
            let (a, b) = ((packet % 7) as u8, (packet % 11) as u8);
            let ends = if scattered.is_multiple_of(2) { (a, b) } else { (a, b.saturating_add(20)) };
            Event { time: scattered, packet, seq: scattered % 50, ends }
        })
        .collect()
}

#[test]
fn tables_of_a_file_with_everything() {
    insta::assert_snapshot!("stats_text", told(stats(&[fixture("additive.json").to_str().unwrap()]).output().unwrap()));
    let top = told(stats(&["--top", "2", fixture("additive.json").to_str().unwrap()]).output().unwrap());
    insta::assert_snapshot!("stats_top", top);
}

#[test]
fn json_of_a_file_with_everything() {
    let json = told(stats(&["--format", "json", fixture("additive.json").to_str().unwrap()]).output().unwrap());
    insta::assert_snapshot!("stats_json", json);
}

#[test]
fn recordings_of_retis_have_numbers() {
    for (name, events, packets, flows) in [("ct", 17, 4, 1), ("generic", 52, 6, 1), ("nft", 5, 2, 1), ("ovs", 25, 8, 1)]
    {
        let numbers = numbers(&[fixture(&format!("retis/retis-{name}.json")).to_str().unwrap()]);
        let found = (&numbers["events"]["all"], &numbers["series"]["packets"], &numbers["flows"]["all"]);
        assert_eq!(found, (&json!(events), &json!(packets), &json!(flows)), "{name}");
    }
}

#[test]
fn sorted_or_not_from_a_file_or_a_pipe_the_numbers_are_the_same() {
    let path = fixture("additive.json");
    let path = path.to_str().unwrap();
    let (_folder, copy) = file("");
    let tracer = || Command::new(env!("CARGO_BIN_EXE_tracer"));
    assert!(tracer().args(["sort", path, "-o", &copy]).status().unwrap().success());
    let of_sorted = numbers(&[&copy]);
    assert_eq!(of_sorted["verdicts"]["counts"][0], json!({ "count": 2, "name": "delivered" }));
    let without_verdicts = |mut numbers: Value| {
        numbers.as_object_mut().unwrap().remove("verdicts");
        numbers
    };
    assert_eq!(without_verdicts(of_sorted), without_verdicts(numbers(&[path])));
    let piped = stats(&["-", "--format", "json"]).stdin(File::open(path).unwrap()).output().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&told(piped)).unwrap(), numbers(&[path]));
}

/// The packets of each direction, and the events.
type Counted = (BTreeMap<bool, BTreeSet<u64>>, u64);

#[test]
fn numbers_are_those_of_a_count_by_hand_whatever_the_memory() {
    let events = made(20_000);
    let (folder, path) = file(&events.iter().map(line).collect::<String>());
    let found = numbers(&[&path, "--top", "1000"]);

    let mut packets: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let mut sizes: BTreeMap<u64, u64> = BTreeMap::new();
    // By the two ends.
    let mut flows: BTreeMap<(u8, u8), Counted> = BTreeMap::new();
    for event in &events {
        packets.entry(event.packet).or_default().insert(event.seq);
        *sizes.entry(event.packet).or_default() += 1;
        let (a, b) = event.ends;
        let flow = flows.entry((a.min(b), a.max(b))).or_default();
        flow.0.entry(a > b).or_default().insert(event.packet);
        flow.1 += 1;
    }
    let series = &found["series"];
    assert_eq!(series["packets"], packets.len());
    assert_eq!(series["min_events"], *sizes.values().min().unwrap());
    assert_eq!(series["max_events"], *sizes.values().max().unwrap());
    let lost: u64 = packets.values().map(|seqs| seqs.last().unwrap() + 1 - seqs.len() as u64).sum();
    assert_eq!(series["lost"], lost);
    assert_eq!(found["flows"]["all"], flows.len());
    assert_eq!(found["flows"]["left_out"], 0);
    let top = found["flows"]["top"].as_array().unwrap();
    assert_eq!(top.len(), flows.len());
    let mut last = u64::MAX;
    for flow in top {
        let end = |end: &str| -> u8 {
            let (address, port) = flow[end].as_str().unwrap().split_once(':').unwrap();
            let end = address.rsplit('.').next().unwrap().parse().unwrap();
            assert_eq!(port, (256 + u16::from(end)).to_string());
            end
        };
        let (from, to) = (end("from"), end("to"));
        let (directions, events) = &flows[&(from.min(to), from.max(to))];
        let count = |is_down: bool| directions.get(&is_down).map_or(0, BTreeSet::len) as u64;
        assert_eq!(flow["forward"]["packets"], count(from > to), "{flow}");
        assert_eq!(flow["backward"]["packets"], if from == to { 0 } else { count(from < to) }, "{flow}");
        let number = |side: &str, what: &str| flow[side][what].as_u64().unwrap();
        assert_eq!(number("forward", "events") + number("backward", "events"), *events);
        let packets = number("forward", "packets") + number("backward", "packets");
        assert!(packets <= last, "{flow}");
        last = packets;
    }

    let temporary = folder.path().to_str().unwrap();
    assert_eq!(numbers(&[&path, "--top", "1000", "--memory", "1M", "--temp-dir", temporary]), found);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // What is left out is said.
    let some = numbers(&[&path, "--top", "3"]);
    assert_eq!(some["flows"]["top"].as_array().unwrap()[..], top[..3]);
    let packets =
        |flow: &Value| flow["forward"]["packets"].as_u64().unwrap() + flow["backward"]["packets"].as_u64().unwrap();
    assert_eq!(some["flows"]["left_out_packets"], top[3..].iter().map(packets).sum::<u64>());
    assert_eq!(some["flows"]["left_out"], top.len() - 3);
}

#[test]
fn memory_is_bounded() {
    let (_folder, path) = file(&made(200_000).iter().map(line).collect::<String>());
    let limited = |memory: &str| {
        // The program's code and buffers are in this limit too.
        let shell = format!("ulimit -v 49152; exec {} stats --memory {memory} {path}", env!("CARGO_BIN_EXE_tracer"));
        Command::new("sh").args(["-c", &shell]).output().unwrap()
    };
    assert!(!limited("512M").status.success(), "the limit allows everything");
    assert!(limited("1M").status.success());
}

#[test]
fn a_filter_leaves_whole_packets() {
    let packet = |packet: u64, ends| [0, 1].map(|seq| line(&Event { time: packet * 10 + seq, packet, seq, ends }));
    let lines = [packet(1, (1, 2)), packet(2, (3, 4)), packet(3, (2, 1))].concat().concat();
    let (_folder, path) = file(&lines);
    let found = numbers(&[&path, "-f", "host 10.0.0.1"]);
    assert_eq!((&found["events"]["all"], &found["series"]["packets"]), (&json!(4), &json!(2)));
    assert_eq!(found["flows"]["top"][0]["from"], "10.0.0.1:257");
    assert_eq!(numbers(&[&path, "-m", "ifname == \"eth0\""])["events"]["all"], 0);
    let wrong = stats(&[&path, "-f", "hots 10.0.0.1"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(5));
}

#[test]
fn drops_have_their_reason_and_place() {
    let drop = |reason: &str| {
        format!(
            r#"{{"common":{{"timestamp":1}},"kernel":{{"symbol":"skb:kfree_skb","probe_type":"raw_tracepoint"}}{reason}}}"#
        )
    };
    let (_folder, path) = file(&format!("{}\n{}\n", drop(""), drop("")));
    assert_eq!(numbers(&[&path])["drops"]["counts"], json!([{ "count": 2, "probe": "skb:kfree_skb" }]));
    let generic = numbers(&[fixture("retis/retis-generic.json").to_str().unwrap()]);
    let expected = json!([{ "count": 3, "reason": "NO_SOCKET", "probe": "skb:kfree_skb" }]);
    assert_eq!(generic["drops"]["counts"], expected);
    let (_folder, path) = file(&drop(r#","skb-drop":{"drop_reason":"OVERLIMIT","subsys":"qdisc","location":"f+0x1"}"#));
    let shown = told(stats(&[&path]).output().unwrap());
    assert!(shown.contains("  1  qdisc: OVERLIMIT at f+0x1\n"), "{shown}");
}

#[test]
fn strange_values_do_no_harm() {
    let lines = [
        r#"{"common":{"timestamp":18446744073709551615},"kernel":{"symbol":"\u001b[1m","probe_type":"kprobe"}}"#,
        r#"{"common":{"timestamp":0},"kernel":7,"packet":{"len":-1},"loss":{},"verdict":1,"dev":[]}"#,
        r#"{"common":{"timestamp":3},"packet":{"len":1,"data":"!"},"loss":[{"cause":"\u202e","count":18446744073709551615}]}"#,
        r#"{"common":{"timestamp":3},"packet":{"len":1,"data":"AAAA"},"loss":[{"cause":"\u202e","count":18446744073709551615}]}"#,
        r#"{"common":{"timestamp":3},"skb-tracking":{"orig_head":1,"timestamp":1,"seq":18446744073709551615,"link":7}}"#,
    ];
    let (_folder, path) = file(&lines.map(|line| format!("{line}\n")).concat());
    insta::assert_snapshot!("stats_strange", told(stats(&[&path]).output().unwrap()));
    let (_folder, path) = file(r#"{"common":{"timestamp":1},"skb-tracking":{"skb":1}}"#);
    let output = stats(&[&path]).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stdout, b"");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("line 1 (offset 0) is no event: section `skb-tracking`: missing field `timestamp`"),
        "{stderr}"
    );
    let (_folder, path) = file("");
    let output = stats(&[&path]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stderr).unwrap().ends_with("holds no events\n"));
    assert_eq!(stats(&[&path, "--top", "1000000"]).output().unwrap().status.code(), Some(2));
}
