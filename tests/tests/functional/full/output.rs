// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where events go, and in which form.
//!
//! Cost: one topology and one session a test, 3 to 5 s; seven tests.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tracer_core::session::now;
use tracer_tests::{Event, PATIENCE, Topology, Tracer};

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
fn each_event_comes_through_a_pipe_soon_after_it_happened() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let arguments = ["collect", "-p", "icmp_rcv", "--format", "json"];
    let mut tracer = Tracer::command(arguments)?.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stderr = BufReader::new(tracer.stderr.take().context("stderr is piped")?);
    let mut ready = String::new();
    while !ready.contains("ready") {
        anyhow::ensure!(stderr.read_line(&mut ready)? > 0, "{ready}");
    }
    let stdout = BufReader::new(tracer.stdout.take().context("stdout is piped")?);
    let (sender, arrivals) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = sender.send((now(), line));
        }
    });
    let mut delays = Vec::new();
    for _ in 0..20 {
        topology.red.ping("10.0.0.2", 1)?;
        // Nothing more happens until both of its events are there: no line waits for the next.
        for _ in 0..2 {
            let event = loop {
                let (arrival, line) = arrivals.recv_timeout(PATIENCE).context("an event does not come")?;
                let event = Event(serde_json::from_str(&line)?);
                if event.symbol() == "icmp_rcv" {
                    break arrival - event.timestamp();
                }
            };
            delays.push(event / 1_000_000);
        }
    }
    end(tracer)?;
    delays.sort_unstable();
    tracer_tests::note(format_args!("events arrive after {delays:?} ms"));
    // A look each 50 ms, and what an emulated machine adds that others use too.
    assert!(delays[delays.len() / 2] < 500, "{delays:?}");
    Ok(())
}

fn end(mut tracer: Child) -> Result<()> {
    // SAFETY: the call takes no pointers; the child has not been waited for.
    unsafe { libc::kill(tracer.id() as i32, libc::SIGINT) };
    anyhow::ensure!(tracer.wait()?.success());
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
    let text = Tracer::output(["sort".as_ref(), recorded.path().as_os_str()])?;
    let ended = |how: &str| text.lines().filter(|line| line.trim_start().starts_with(&format!("⇒ {how}"))).count();
    let ends = (ended("delivered to ICMP on veth0 in "), ended("delivered to the reader of a socket in "));
    assert_eq!(ends, (10, 10), "{text}");
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
