// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where events go, and in which form.
//!
//! Cost: one topology and one session a test, 3 to 5 s; six tests.

use anyhow::Result;
use serde_json::Value;
use tracer_tests::{Event, Topology, Tracer};

#[test]
fn shows_events_live_as_text() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "ip_rcv", "-p", "tp:net:netif_rx"]).without_file().start()?;
    topology.red.ping("10.0.0.2", 1)?;
    // While it goes on.
    recording.process.stdout_line("an event of ip_rcv", |line| line.contains("[k] ip_rcv"))?;
    recording.process.stdout_line("an event of netif_rx", |line| line.contains("[tp] net:netif_rx"))?;
    let stdout = recording.stop(libc::SIGINT)?.ended.stdout;
    for words in ["10.0.0.1 > 10.0.0.2 ", "10.0.0.2 > 10.0.0.1 ", "ICMP", "veth0", topology.red.name()] {
        assert!(stdout.contains(words), "`{words}` is not in:\n{stdout}");
    }
    assert_eq!(stdout.lines().filter(|line| line.contains("[k]") || line.contains("[tp]")).count(), 4, "{stdout}");
    Ok(())
}

#[test]
fn shows_events_live_one_a_line() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "ip_rcv", "--format", "single-line"]).without_file().start()?;
    topology.red.ping("10.0.0.2", 10)?;
    recording.process.stdout_line("an event of ip_rcv", |line| line.contains("[k] ip_rcv"))?;
    let stdout = recording.stop(libc::SIGINT)?.ended.stdout;
    let events = stdout.lines().filter(|line| line.contains("[k] ip_rcv") && line.contains("10.0.0.1")).count();
    assert_eq!(events, 20, "{stdout}");
    Ok(())
}

#[test]
fn shows_events_live_as_json_and_the_same_in_the_file() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "ip_rcv", "--format", "json", "--print"]).start()?;
    topology.red.ping("10.0.0.2", 10)?;
    recording.process.stdout_line("an event of ip_rcv", |line| line.contains(r#""symbol":"ip_rcv""#))?;
    let recorded = recording.stop(libc::SIGINT)?;
    let shown: Vec<Value> = recorded.ended.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let shown: Vec<&Value> = shown.iter().filter(|event| event.get("kernel").is_some()).collect();
    let events = recorded.events()?;
    assert_eq!(shown, events.hits().map(|event| &event.0).collect::<Vec<_>>());
    assert_eq!(shown.len(), 20);
    // What was written can be shown again.
    let printed =
        Tracer::output(["print".as_ref(), "--format".as_ref(), "json".as_ref(), recorded.path().as_os_str()])?;
    let printed: Vec<Value> = printed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(printed.len(), events.0.len());
    Ok(())
}

#[test]
fn the_profile_generic_shows_the_way_of_a_ping() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recorded = Tracer::collect([""; 0]).profile("generic").during(|_| topology.red.ping("10.0.0.2", 10))?;
    let events = recorded.events()?;
    let pings: Vec<_> = events.series().into_values().filter(|series| series[0].flow().is_some()).collect();
    assert_eq!(pings.len(), 20, "{}", recorded.ended.stderr);
    for series in pings {
        let symbols: Vec<&str> = series.iter().map(|event| event.symbol()).collect();
        for symbol in ["net:net_dev_start_xmit", "net:netif_receive_skb", "ip_rcv", "icmp_rcv"] {
            assert!(symbols.contains(&symbol), "{symbol} is not in {symbols:?}");
        }
    }
    Ok(())
}

#[test]
fn the_default_and_the_profile_ifdump_show_packets_entering_and_leaving_devices() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    for collect in [Tracer::collect([""; 0]), Tracer::collect([""; 0]).profile("ifdump")] {
        let recorded = collect.during(|_| topology.red.ping("10.0.0.2", 10))?;
        let events = recorded.events()?;
        for symbol in ["net:net_dev_start_xmit", "net:netif_receive_skb"] {
            let pings = events.at(symbol).filter(|event| event.flow().is_some() && event.device() == "veth0").count();
            assert_eq!(pings, 20, "{symbol}: {}", recorded.ended.stderr);
        }
    }
    Ok(())
}

#[test]
fn shows_stacks_at_the_probes_that_ask_for_them() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let probes =
        ["-p", "k:icmp_rcv/stack", "-p", "tp:net:netif_receive_skb/stack", "-p", "kr:icmp_rcv/stack", "-p", "ip_rcv"];
    let recorded = Tracer::collect(probes).during(|_| topology.red.ping("10.0.0.2", 10))?;
    let events = recorded.events()?;
    let frames = |event: &Event| -> Vec<String> {
        let frames = event.get("/kernel/stack_trace").as_array().cloned().unwrap_or_default();
        frames.iter().filter_map(|frame| Some(frame.as_str()?.to_owned())).collect()
    };
    for event in events.hits() {
        let frames = frames(event);
        let through = |name: &str| frames.iter().any(|frame| frame.starts_with(&format!("{name}+0x")));
        match event.symbol() {
            "ip_rcv" => assert_eq!(frames, Vec::<String>::new()),
            "icmp_rcv" => assert!(through("ip_local_deliver_finish"), "{event:?}"),
            _ => assert!(through("process_backlog"), "{event:?}"),
        }
    }
    assert_eq!(events.hits().count(), 80);
    Ok(())
}
