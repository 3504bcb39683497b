// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rule that has the kernel tell what rules decide: added only when that is allowed and needed, and gone in the end, however that
//! comes.
//!
//! Cost: four sessions, 4 s each.

use std::time::{Duration, Instant};

use anyhow::Result;
use tracer_tests::{Recording, Topology, Tracer, run, until};

use super::{decisions, send};

const ALLOWED: [&str; 3] = ["-c", "nft,skb", "--allow-system-changes"];

fn ruleset() -> Result<String> {
    run("nft", ["-a", "list", "ruleset"])
}

/// The tables that tracers have added.
fn added() -> Result<Vec<String>> {
    let tables = run("nft", ["list", "tables"])?;
    Ok(tables.lines().filter(|line| line.contains("tracer_")).map(str::to_owned).collect())
}

fn start() -> Result<Recording> {
    run("modprobe", ["nf_tables"])?;
    Tracer::collect(ALLOWED).start()
}

#[test]
fn without_permission_nothing_is_changed_and_it_says_what_to_do() -> Result<()> {
    run("modprobe", ["nf_tables"])?;
    let before = ruleset()?;
    let topology = Topology::ipv4_only()?;
    topology.blue.filter("table inet t { chain c { type filter hook input priority 0; udp dport 7300 drop; }; }\n")?;
    let recorded = Tracer::collect(["-c", "nft"]).during(|_| {
        assert_eq!(ruleset()?, before);
        send(&topology.red, "10.0.0.2", 7300)
    })?;
    let told: Vec<&str> = recorded.ended.stderr.lines().filter(|line| line.starts_with("nft: ")).collect();
    let [line] = told[..] else { panic!("{}", recorded.ended.stderr) };
    assert!(line.contains("there will be no events") && line.contains("--allow-system-changes"), "{line}");
    assert_eq!(decisions(&recorded.events()?).count(), 0);
    Ok(())
}

#[test]
fn killed_in_the_middle_it_leaves_nothing_behind() -> Result<()> {
    let before = ruleset()?;
    let recording = start()?;
    let [table] = &added()?[..] else { panic!("{:?}", added()?) };
    // Nobody else can take it away.
    let name = table.trim_start_matches("table ").to_owned();
    assert!(run("nft", ["delete", "table"].into_iter().chain(name.split(' '))).is_err());
    let start = Instant::now();
    recording.process.signal(libc::SIGKILL)?;
    let mut last_seen = Duration::ZERO;
    until("its table is gone", || {
        let asked = start.elapsed();
        let is_gone = ruleset()? == before;
        if !is_gone {
            last_seen = asked;
        }
        Ok(is_gone)
    })?;
    // Looking takes a while: it is when one begins to look that counts.
    assert!(last_seen < Duration::from_secs(1), "it was there after {last_seen:?}");
    assert_eq!(recording.wait()?.ended.code(), 128 + libc::SIGKILL);
    Ok(())
}

#[test]
fn two_tracers_don_t_disturb_each_other() -> Result<()> {
    let before = ruleset()?;
    let topology = Topology::ipv4_only()?;
    topology.blue.filter("table inet t { chain c { type filter hook input priority 0; udp dport 7301 drop; }; }\n")?;
    let (first, second) = (start()?, start()?);
    assert_eq!(added()?.len(), 2);
    send(&topology.red, "10.0.0.2", 7301)?;
    let first = first.stop(libc::SIGINT)?;
    assert_eq!(added()?.len(), 1, "{}", first.ended.stderr);
    send(&topology.red, "10.0.0.2", 7301)?;
    let second = second.stop(libc::SIGTERM)?;
    assert_eq!(ruleset()?, before, "{}", second.ended.stderr);
    let drops =
        |events: &tracer_tests::Events| decisions(events).filter(|event| *event.get("/nft/verdict") == "drop").count();
    assert_eq!([drops(&first.events()?), drops(&second.events()?)], [1, 2]);
    Ok(())
}
