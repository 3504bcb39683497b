// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What may happen to a host while it is traced.
//!
//! Cost: one topology and one or two sessions a test, 4 s; many devices take 15 s. Nine tests.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::{
    Event, Namespace, Process, Snmp, Topology, Tracer, kprobes, note, run, tracing, until, until_detached,
};

#[test]
fn a_module_that_is_traced_stays_or_takes_only_its_own_probes_away() -> Result<()> {
    run("modprobe", ["dummy", "numdummies=0"])?;
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "dummy_xmit", "-p", "ip_rcv"]).start()?;
    topology.red.run("ip", ["link", "add", "dummy0", "type", "dummy"])?;
    topology.red.run("ip", ["link", "set", "dummy0", "up"])?;
    topology.red.run("ip", ["address", "add", "10.9.0.1/24", "dev", "dummy0"])?;
    let socket = topology.red.enter(|| Ok(UdpSocket::bind("10.9.0.1:7000")?))?;
    socket.send_to(b"to nobody", "10.9.0.2:7000")?;
    drop(socket);
    topology.red.run("ip", ["link", "delete", "dummy0"])?;

    let unloaded = run("rmmod", ["dummy"]);
    if recording.ready.contains("kprobe.multi") {
        // Such attachments hold the modules of their functions.
        let error = unloaded.err().context("a module was unloaded under kprobe.multi")?.to_string();
        ensure!(error.contains("in use"), "{error}");
    } else {
        unloaded?;
        // It comes back at another address, where nobody looks.
        run("modprobe", ["dummy", "numdummies=0"])?;
    }
    topology.red.ping("10.0.0.2", 10)?;
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    let events = recorded.events()?;
    assert_eq!((events.at("dummy_xmit").count(), events.at("ip_rcv").count()), (1, 20), "{}", recorded.ended.stderr);
    until_detached()?;
    run("rmmod", ["dummy"]).map(drop)
}

#[test]
fn a_module_with_a_traced_tracepoint_stays() -> Result<()> {
    run("modprobe", ["openvswitch"])?;
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "tp:openvswitch:ovs_do_execute_action", "-p", "ip_rcv"]).start()?;
    let error =
        run("rmmod", ["openvswitch"]).err().context("the module was unloaded under a raw tracepoint")?.to_string();
    ensure!(error.contains("in use"), "{error}");
    topology.red.ping("10.0.0.2", 10)?;
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.events()?.at("ip_rcv").count(), 20, "{}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn a_module_that_is_loaded_later_changes_nothing() -> Result<()> {
    // Not loaded when the wildcard was looked up.
    let _ = run("rmmod", ["dummy"]);
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "k:*_xmit", "-p", "ip_rcv"]).start()?;
    topology.red.run("ip", ["link", "add", "dummy0", "type", "dummy"])?;
    ensure!(fs::exists("/sys/module/dummy")?, "the device did not bring its module");
    topology.red.run("ip", ["link", "set", "dummy0", "up"])?;
    topology.red.run("ip", ["address", "add", "10.9.0.1/24", "dev", "dummy0"])?;
    topology.red.enter(|| Ok(UdpSocket::bind("10.9.0.1:7000")?.send_to(b"to nobody", "10.9.0.2:7000")?))?;
    topology.red.ping("10.0.0.2", 10)?;
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    let events = recorded.events()?;
    assert_eq!((events.at("dummy_xmit").count(), events.at("ip_rcv").count()), (0, 20), "{}", recorded.ended.stderr);
    ensure!(events.at("veth_xmit").count() >= 20, "the module that was there is traced");
    Ok(())
}

#[test]
fn namespaces_that_come_and_go_keep_their_names() -> Result<()> {
    let probes = ["-p", "ip_output", "-p", "ip_rcv", "-p", "tp:net:net_dev_start_xmit"];
    let recording = Tracer::collect(probes).start()?;
    let mut expected = BTreeSet::new();
    // Each pair takes the numbers of the one before, which has just been deleted.
    for _ in 0..4 {
        let topology = Topology::ipv4_only()?;
        topology.red.ping("10.0.0.2", 10)?;
        for namespace in [&topology.red, &topology.blue] {
            expected.insert((namespace.name().to_owned(), namespace.inum()?));
        }
    }
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    let events = recorded.events()?;
    let of = |event: &Event| (event.namespace().to_owned(), event.get("/netns/inum").as_u64().unwrap_or_default());
    let pings = events.hits().filter(|event| event.flow().is_some_and(|flow| flow.starts_with("icmp4")));
    assert_eq!(pings.map(of).collect::<BTreeSet<_>>(), expected);
    assert_eq!(events.hits().count(), 4 * 20 * 3, "{}", recorded.ended.stderr);
    let numbers: BTreeSet<u64> = expected.iter().map(|(_, number)| *number).collect();
    ensure!(numbers.len() < expected.len(), "no number was used twice: the test does not test: {expected:?}");
    Ok(())
}

/// The second processor, which is there again when this is dropped.
struct SecondProcessor;

impl SecondProcessor {
    fn set(online: bool) -> Result<()> {
        fs::write("/sys/devices/system/cpu/cpu1/online", if online { "1" } else { "0" })?;
        Ok(())
    }
}

impl Drop for SecondProcessor {
    fn drop(&mut self) {
        // There is nobody to tell when it fails: the next test that needs it will find out.
        let _ = Self::set(true);
    }
}

#[test]
fn processors_that_come_and_go_are_traced() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let _second = SecondProcessor;
    SecondProcessor::set(false)?;
    let recording = Tracer::collect(["-p", "ip_output", "-p", "kr:ip_rcv", "-p", "tp:net:netif_rx"]).start()?;
    SecondProcessor::set(true)?;
    let ping_on = |processor| {
        let ping = ["-c", processor, "ping", "-n", "-q", "-f", "-c", "100", "10.0.0.2"];
        let output = topology.red.run("taskset", ping)?;
        ensure!(output.contains(" 0% packet loss"), "packets were lost: {output}");
        Ok(())
    };
    ping_on("1")?;
    SecondProcessor::set(false)?;
    ping_on("0")?;
    SecondProcessor::set(true)?;
    ping_on("1")?;
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    let events = recorded.events()?;
    assert_eq!(events.hits().count(), 3 * 600, "{}", recorded.ended.stderr);
    let on_second = events.hits().filter(|event| *event.get("/common/smp_id") == 1).count();
    ensure!(on_second >= 3 * 200, "{on_second} events of the processor that came later");
    Ok(())
}

/// Moves the clock; moves it back when dropped.
struct OtherTime;

impl OtherTime {
    fn jump(direction: &str) -> Result<()> {
        run("date", ["-s", &format!("{direction}3 hours")]).map(drop)
    }
}

impl Drop for OtherTime {
    fn drop(&mut self) {
        // There is nobody to tell when it fails.
        let _ = Self::jump("-");
    }
}

#[test]
fn a_clock_that_jumps_does_not_move_events() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "ip_rcv"]).start()?;
    topology.red.ping("10.0.0.2", 10)?;
    let before = run("date", ["+%s"])?.trim().parse::<i64>()?;
    OtherTime::jump("+")?;
    let _other = OtherTime;
    topology.red.ping("10.0.0.2", 10)?;
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    let events = recorded.events()?;
    let times: Vec<u64> = events.hits().map(Event::timestamp).collect();
    assert_eq!(times.len(), 40, "{}", recorded.ended.stderr);
    ensure!(times.is_sorted(), "{times:?}");

    // The wall clock as it was when collection began holds for the whole file.
    let text = Tracer::output(["print".as_ref(), "--utc".as_ref(), recorded.path().as_os_str()])?;
    let stamps = text.lines().filter_map(|line| line.split_whitespace().next().filter(|word| word.ends_with('Z')));
    let mut shown = Vec::new();
    for stamp in stamps {
        shown.push(run("date", ["-d", stamp, "+%s"])?.trim().parse::<i64>()?);
    }
    ensure!(shown.len() >= 40, "{text}");
    ensure!(shown.iter().all(|second| (second - before).abs() < 3600), "{before}: {shown:?}");
    Ok(())
}

#[test]
fn the_command_and_the_sender_may_be_killed() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "ip_rcv"]).start()?;
    let flood = topology.red.flood("10.0.0.2")?;
    until("100 pings", || Ok(Snmp::read(&topology.blue)?.get("IcmpInEchos") >= 100))?;
    flood.signal(libc::SIGKILL)?;
    assert_eq!(flood.wait()?.code(), 128 + libc::SIGKILL);
    topology.red.ping("10.0.0.2", 10)?;
    let recorded = recording.stop(libc::SIGINT)?;
    let received = [&topology.red, &topology.blue].map(|one| Ok(Snmp::read(one)?.get("IpInReceives")));
    let received: u64 = received.into_iter().sum::<Result<u64>>()?;
    let (stored, lost) = recorded.summary()?;
    assert_eq!(stored + lost, received, "{}", recorded.ended.stderr);

    let recorded = Tracer::collect(["-p", "ip_rcv", "--cmd", "kill -KILL $$"]).finish()?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    assert!(recorded.ended.stderr.contains("signal: 9"), "{}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn nothing_stays_attached_when_it_is_killed() -> Result<()> {
    until_detached()?;
    let topology = Topology::ipv4_only()?;
    let probes = ["-p", "ip_output", "-p", "kr:ip_rcv", "-p", "tp:net:netif_rx"];
    let command = format!("ip netns exec {} ping -q -f 10.0.0.2", topology.red.name());
    let recording = Tracer::collect(probes).without_file().start()?;
    let attached = tracing()?;
    ensure!(attached.len() >= 6, "three probes and tracking are more than {attached:?}");
    let flood = Process::start(std::process::Command::new("sh").args(["-c", &command]))?;
    recording.process.stdout_line("an event", |line| line.contains("ip_output"))?;
    let recorded = recording.stop(libc::SIGKILL)?;
    assert_eq!(recorded.ended.code(), 128 + libc::SIGKILL);
    until_detached()?;
    assert_eq!(kprobes()?, 0);
    drop(flood);
    Ok(())
}

#[test]
fn every_device_of_many_namespaces_has_its_name() -> Result<()> {
    const NAMESPACES: usize = 24;
    const DEVICES: usize = 10;
    run("modprobe", ["dummy", "numdummies=0"])?;
    let namespaces = (0..NAMESPACES).map(|n| Namespace::new(format!("many{n}"))).collect::<Result<Vec<_>>>()?;
    let mut expected = BTreeSet::new();
    for namespace in &namespaces {
        let mut batch = String::new();
        for device in 0..DEVICES {
            batch += &format!(
                "link add many{device} type dummy\nlink set many{device} up\n\
                 address add 10.8.{device}.1/24 dev many{device}\n"
            );
            expected.insert((namespace.name().to_owned(), format!("many{device}")));
        }
        run("sh", ["-c", &format!("ip -n {} -batch - <<END\n{batch}END", namespace.name())])?;
    }
    let recording = Tracer::collect(["-p", "tp:net:net_dev_start_xmit"]).start()?;
    note(format_args!("{NAMESPACES} namespaces of {DEVICES} devices: ready after {:.2?}", recording.ready_after));
    for namespace in &namespaces {
        namespace.enter(|| {
            let socket = UdpSocket::bind("0.0.0.0:7000")?;
            (0..DEVICES)
                .try_for_each(|device| socket.send_to(b"to nobody", format!("10.8.{device}.2:7000")).map(drop))?;
            Ok(())
        })?;
    }
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    let events = recorded.events()?;
    let udp = events.hits().filter(|event| event.flow().is_some_and(|flow| flow.starts_with("udp4 10.8.")));
    let seen: Vec<_> = udp.map(|event| (event.namespace().to_owned(), event.device().to_owned())).collect();
    assert_eq!(seen.len(), NAMESPACES * DEVICES);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
    Ok(())
}
