// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Floods of packets: every hit is stored or counted as lost.
//!
//! Cost: 20,000 pings with ten probes take 20 s, 2,000 take 3 s; each session 2 s on top.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::{HitCounter, Recorded, Topology, Tracer};

/// Ten places on the way of a ping.
const FUNCTIONS: [&str; 6] =
    ["ip_output", "ip_finish_output2", "ip_rcv", "ip_local_deliver", "ip_local_deliver_finish", "icmp_rcv"];
const TRACEPOINTS: [&str; 4] = ["net:net_dev_queue", "net:net_dev_start_xmit", "net:netif_rx", "net:netif_receive_skb"];

fn arguments() -> Vec<&'static str> {
    let mut arguments = vec!["-c", "skb,skb-tracking,dev,ns"];
    FUNCTIONS.iter().chain(&TRACEPOINTS).for_each(|probe| arguments.extend(["-p", probe]));
    arguments
}

/// What a file says: too large to be held in memory.
struct Tally {
    /// Events by probe.
    stored: BTreeMap<String, u64>,
    /// Lost hits by cause and probe.
    lost: BTreeMap<(String, String), u64>,
}

impl Tally {
    fn read(path: &Path) -> Result<Self> {
        let mut tally = Self { stored: BTreeMap::new(), lost: BTreeMap::new() };
        for line in BufReader::with_capacity(1 << 20, File::open(path)?).lines() {
            let line = line?;
            // Taken out of the text: there are hundreds of thousands of lines, and this processor is emulated.
            let symbol = line.split_once(r#""symbol":""#).and_then(|(_, rest)| rest.split_once('"'));
            if let Some((symbol, _)) = symbol {
                match tally.stored.get_mut(symbol) {
                    Some(count) => *count += 1,
                    None => drop(tally.stored.insert(symbol.to_owned(), 1)),
                }
            } else if line.contains(r#""loss":"#) {
                let event: Value = serde_json::from_str(&line)?;
                for entry in event["loss"].as_array().context("`loss` is no list")? {
                    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
                    *tally.lost.entry((text("cause"), text("probe"))).or_default() +=
                        entry["count"].as_u64().context("a loss without a count")?;
                }
            }
        }
        Ok(tally)
    }

    fn total(&self) -> u64 {
        self.stored.values().sum::<u64>() + self.lost()
    }

    /// Hits whose event is not there.
    fn lost(&self) -> u64 {
        let hits = self.lost.iter().filter(|((cause, _), _)| cause != "incomplete" && !cause.starts_with("tracking_"));
        hits.map(|(_, count)| count).sum()
    }

    /// Stored and lost at one probe; what was lost at a program that several probes share is not in it.
    fn at(&self, symbol: &str) -> u64 {
        let own = |probe: &str| probe.split_once(':').is_some_and(|(_, target)| target == symbol);
        let lost = self.lost.iter().filter(|((cause, probe), _)| cause != "incomplete" && own(probe));
        self.stored.get(symbol).copied().unwrap_or(0) + lost.map(|(_, count)| count).sum::<u64>()
    }

    /// Lost at programs that several probes share.
    fn shared(&self) -> u64 {
        let shared = self.lost.iter().filter(|((cause, probe), _)| cause == "missed" && !probe.contains(':'));
        shared.map(|(_, count)| count).sum()
    }
}

fn difference(after: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    after.iter().map(|(name, count)| (name.clone(), count - before[name])).collect()
}

/// Compares the file with what the kernel counted, `at_least` and `at_most`: before the program was told to stop, and after it
/// had.
fn check(recorded: &Recorded, at_least: &BTreeMap<String, u64>, at_most: &BTreeMap<String, u64>) -> Result<Tally> {
    let tally = Tally::read(&recorded.path())?;
    let stderr = &recorded.ended.stderr;
    let note =
        format!("stored {:?}, lost {:?}, counted {at_least:?} to {at_most:?}\n{stderr}", tally.stored, tally.lost);
    tracer_tests::note(format_args!(
        "{} hits stored, {} lost, {} to {} counted: {:?}",
        tally.stored.values().sum::<u64>(),
        tally.lost(),
        at_least.values().sum::<u64>(),
        at_most.values().sum::<u64>(),
        tally.lost,
    ));
    assert_eq!(
        recorded.summary()?,
        (tally.stored.values().sum(), tally.lost()),
        "the last words say what the file says"
    );
    // Kernels before 6.7 don't count the kprobe hits that they skip while another program runs; then the tool says so.
    let uncounted = stderr.contains("does not count the hits of kprobes that it skips");
    let (least, most): (u64, u64) = (at_least.values().sum(), at_most.values().sum());
    let slack = if uncounted { least / 100 } else { 0 };
    assert!(tally.total() <= most, "more was stored and lost than happened: {note}");
    assert!(tally.total() + slack >= least, "{} hits are missing: {note}", least - tally.total());
    for (symbol, &most) in at_most {
        assert!(tally.at(symbol) <= most, "{symbol}: {note}");
        assert!(tally.at(symbol) + tally.shared() + slack >= at_least[symbol], "{symbol}: {note}");
    }
    Ok(tally)
}

#[test]
fn accounts_for_every_hit_of_a_flood() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let counter = HitCounter::new(&FUNCTIONS, &TRACEPOINTS)?;
    let before = counter.read()?;
    let recorded = Tracer::collect(arguments()).during(|_| topology.red.ping("10.0.0.2", 20_000))?;
    let hits = difference(&counter.read()?, &before);
    assert!(hits.values().all(|&count| count >= 40_000), "the flood did not pass by: {hits:?}");
    check(&recorded, &hits, &hits)?;
    Ok(())
}

#[test]
fn accounts_for_every_hit_until_it_is_interrupted_in_a_flood() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let counter = HitCounter::new(&FUNCTIONS, &TRACEPOINTS)?;
    let before = counter.read()?;
    let recording = Tracer::collect(arguments()).start()?;
    let mut flood = topology.red.flood("10.0.0.2")?;
    tracer_tests::until("5,000 pings", || Ok(counter.read()?["icmp_rcv"] >= before["icmp_rcv"] + 10_000))?;
    let until_signal = difference(&counter.read()?, &before);
    recording.process.signal(libc::SIGINT)?;
    recording.process.stderr_line("a summary", |line| line.contains(" events, "))?;
    let until_summary = difference(&counter.read()?, &before);
    ensure!(flood.is_running(), "the flood ended too early");
    drop(flood);
    let recorded = recording.wait()?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    check(&recorded, &until_signal, &until_summary)?;
    Ok(())
}

#[test]
fn loses_nothing_of_two_thousand_pings() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let counter = HitCounter::new(&FUNCTIONS, &TRACEPOINTS)?;
    let before = counter.read()?;
    let recorded = Tracer::collect(arguments()).during(|_| topology.red.ping("10.0.0.2", 2_000))?;
    let hits = difference(&counter.read()?, &before);
    let tally = check(&recorded, &hits, &hits)?;
    assert_eq!(tally.lost, BTreeMap::new(), "{}", recorded.ended.stderr);
    assert_eq!(tally.stored, hits);
    Ok(())
}
