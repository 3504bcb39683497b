// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `sort` says became of packets, and what `stats` counts of it: one packet for each kind of end.
//!
//! Cost: one topology and one session, 4 s.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tracer_tests::{Event, Recorded, Snmp, Topology, Tracer, python, until};

const TO_SOCKET: u16 = 7000;
const TO_NOBODY: u16 = 7001;
const TO_DEVICE: u16 = 7002;
const WAITING: u16 = 7003;
const IN_PARTS: u16 = 7004;

const PROBES: [&str; 8] = [
    "ip_output",
    "tp:net:net_dev_start_xmit",
    "tp:net:netif_receive_skb",
    "ip_local_deliver",
    "udp_queue_rcv_skb",
    "icmp_rcv",
    "tp:skb:kfree_skb",
    "tp:skb:consume_skb",
];

struct Told {
    recorded: Recorded,
    /// The sorted file, line by line.
    series: Vec<Vec<Event>>,
    /// The names of the namespaces.
    red: String,
    blue: String,
}

static TOLD: LazyLock<Told> = LazyLock::new(|| record().expect("the traffic is recorded"));

fn record() -> Result<Told> {
    let topology = Topology::ipv4_only()?;
    let Topology { red, blue } = &topology;
    // One swallows what it is given, one keeps it longer than the test takes.
    red.configure(
        "link add swallow type dummy\n\
         address add 10.0.8.1/24 dev swallow\n\
         link set swallow up\n\
         neighbour add 10.0.8.2 lladdr 02:00:00:00:00:08 dev swallow nud permanent\n\
         link add keep type dummy\n\
         address add 10.0.9.1/24 dev keep\n\
         link set keep up\n\
         neighbour add 10.0.9.2 lladdr 02:00:00:00:00:09 dev keep nud permanent\n",
    )?;
    red.run("tc", "qdisc add dev keep root netem delay 200s".split(' '))?;
    let arguments = PROBES.iter().flat_map(|probe| ["-p", probe]).chain(["-c", "skb,skb-tracking,skb-drop,dev,ns"]);
    let recorded = Tracer::collect(arguments).during(|_| {
        red.ping("10.0.0.2", 1)?;
        let receiver = blue.enter(|| Ok(UdpSocket::bind(("10.0.0.2", TO_SOCKET))?))?;
        let receiver_of_parts = blue.enter(|| Ok(UdpSocket::bind(("10.0.0.2", IN_PARTS))?))?;
        let sender = red.enter(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
        sender.send_to(b"to a socket", ("10.0.0.2", TO_SOCKET))?;
        receiver.recv(&mut [0; 16])?;
        sender.send_to(&[0; 4000], ("10.0.0.2", IN_PARTS))?;
        receiver_of_parts.recv(&mut [0; 4000])?;
        sender.send_to(b"to a device", ("10.0.8.2", TO_DEVICE))?;
        sender.send_to(b"not yet", ("10.0.9.2", WAITING))?;
        sender.send_to(b"to nobody", ("10.0.0.2", TO_NOBODY))?;
        until("the datagram is refused", || Ok(Snmp::read(red)?.get("IcmpInDestUnreachs") == 1))
    })?;
    let sorted = recorded.file("sorted.json");
    Tracer::output(["sort".as_ref(), recorded.path().as_os_str(), "-o".as_ref(), sorted.as_os_str()])?;
    let line = |line: &str| -> Result<Vec<Event>> {
        Ok(serde_json::from_str::<Vec<Value>>(line)?.into_iter().map(Event).collect())
    };
    let series = std::fs::read_to_string(sorted)?.lines().map(line).collect::<Result<_>>()?;
    Ok(Told { recorded, series, red: red.name().to_owned(), blue: blue.name().to_owned() })
}

/// The verdicts on what was sent to a port, or is of this flow, in the order of the file.
fn verdicts(flow: &str) -> Vec<(String, String)> {
    let is_wanted = |series: &&Vec<Event>| series[0].flow().is_some_and(|seen| seen.contains(flow));
    let verdict = |series: &Vec<Event>| {
        let verdict = series.last().expect("no line is empty").get("/verdict");
        let text = |key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
        (text("kind"), text("text"))
    };
    TOLD.series.iter().filter(is_wanted).map(verdict).collect()
}

#[track_caller]
fn assert_verdict(flow: &str, kind: &str, text: &str) {
    let text = text.replace("RED", &TOLD.red).replace("BLUE", &TOLD.blue);
    assert_eq!(verdicts(flow), [(kind.to_owned(), text)], "{flow}");
}

#[test]
fn sort_says_what_became_of_packets() {
    assert_verdict(&format!(":{TO_SOCKET}"), "delivered", "delivered to a UDP socket on veth0 in BLUE");
    assert_verdict("request 1", "delivered", "delivered to ICMP on veth0 in BLUE");
    assert_verdict(&format!(":{TO_DEVICE}"), "transmitted", "transmitted on swallow in RED");
    let waiting = "still in flight when collection ended; last seen at ip_output in RED";
    let [(kind, text)] = &verdicts(&format!(":{WAITING}"))[..] else { panic!("one packet waits") };
    assert_eq!(kind, "unknown");
    assert_eq!(text.replace(" on keep", ""), waiting.replace("RED", &TOLD.red));
}

#[test]
fn sort_says_why_a_packet_died() {
    let [(kind, text)] = &verdicts(&format!(":{TO_NOBODY}"))[..] else { panic!("one packet to nobody") };
    assert_eq!(kind, "dropped");
    let (start, end) = ("dropped (NO_SOCKET) at ", format!(" on veth0 in {}", TOLD.blue));
    assert!(text.starts_with(start) && text.ends_with(&end) && text.contains("udp"), "{text}");
    let text_of_all = Tracer::output(["sort".as_ref(), TOLD.recorded.path().as_os_str()]).expect("it can be sorted");
    assert!(text_of_all.contains(text.as_str()), "{text} is not in:\n{text_of_all}");
}

#[test]
fn sort_says_which_packet_took_another_one_in() {
    let whole = verdicts(&format!(":{IN_PARTS}"));
    assert_eq!(whole, [("delivered".to_owned(), format!("delivered to a UDP socket on veth0 in {}", TOLD.blue))]);
    let merged = TOLD.series.iter().filter_map(|series| {
        let text = series.last()?.get("/verdict/text").as_str()?;
        text.strip_prefix("merged into ").map(str::to_owned)
    });
    let whole = TOLD.series.iter().find(|series| series[0].flow().is_some_and(|flow| flow.ends_with(":7004")));
    let (timestamp, head) = whole.and_then(|series| series[0].identity()).expect("the datagram has an identity");
    assert_eq!(merged.collect::<Vec<_>>(), [format!("#{timestamp:x}{head:x}"), format!("#{timestamp:x}{head:x}")]);
}

#[test]
fn stats_counts_what_is_in_the_file() -> Result<()> {
    let sorted = TOLD.recorded.file("sorted.json");
    let numbers = Tracer::output(["stats".as_ref(), "--format".as_ref(), "json".as_ref(), sorted.as_os_str()])?;
    let numbers: Value = serde_json::from_str(&numbers)?;
    let events = TOLD.series.iter().flatten();
    let counts = |names: &mut dyn Iterator<Item = String>| {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        names.for_each(|name| *counts.entry(name).or_default() += 1);
        counts
    };
    let told = |path: &str| -> Result<BTreeMap<String, u64>> {
        let rows = numbers.pointer(path).and_then(Value::as_array).with_context(|| format!("{path} in {numbers}"))?;
        let row =
            |row: &Value| (row["name"].as_str().unwrap_or_default().to_owned(), row["count"].as_u64().unwrap_or(0));
        Ok(rows.iter().map(row).collect())
    };
    let text = |event: &Event, path: &str| event.get(path).as_str().map(str::to_owned);
    assert_eq!(told("/verdicts/counts")?, counts(&mut events.clone().filter_map(|event| text(event, "/verdict/kind"))));
    assert_eq!(told("/links/counts")?, counts(&mut events.clone().filter_map(|event| Some(event.link()?.kind))));
    let packets = TOLD.series.iter().filter(|series| series[0].identity().is_some()).count();
    assert_eq!(numbers["series"]["packets"], packets);
    assert_eq!(numbers["series"]["lost"], 0);
    let drops = events.filter_map(|event| text(event, "/skb-drop/drop_reason")).filter(|reason| reason == "NO_SOCKET");
    let told: Vec<&Value> = numbers["drops"]["counts"]
        .as_array()
        .context("drops")?
        .iter()
        .filter(|row| row["reason"] == "NO_SOCKET")
        .collect();
    assert_eq!(told.iter().filter_map(|row| row["count"].as_u64()).sum::<u64>(), drops.count() as u64, "{told:?}");
    Ok(())
}

#[test]
fn the_reader_of_retis_reads_verdicts_and_links() -> Result<()> {
    let found: Value = serde_json::from_str(&python("read_with_retis.py", [TOLD.recorded.file("sorted.json")])?)?;
    assert_eq!(found["sorted"], true, "{found}");
    assert_eq!(found["series"], json!(TOLD.series.iter().map(Vec::len).collect::<Vec<_>>()), "{found}");
    Ok(())
}
