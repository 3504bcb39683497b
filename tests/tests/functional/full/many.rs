// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many probes, several programs at once, and too little room.
//!
//! Cost: one topology and one session a test, 3 to 15 s; three tests.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tracer_tests::{Setting, Topology, Tracer, note};

/// All of them exist on every kernel that the tests know.
const FUNCTIONS: [&str; 20] = [
    "ip_output",
    "ip_finish_output",
    "ip_finish_output2",
    "ip_local_out",
    "__dev_queue_xmit",
    "dev_hard_start_xmit",
    "ip_rcv",
    "ip_rcv_finish",
    "ip_local_deliver",
    "ip_local_deliver_finish",
    "icmp_rcv",
    "tcp_v4_rcv",
    "tcp_v6_rcv",
    "udp_rcv",
    "udpv6_rcv",
    "ipv6_rcv",
    "ip6_input",
    "ip6_output",
    "icmpv6_rcv",
    "nf_hook_slow",
];
const TRACEPOINTS: [&str; 5] =
    ["net:net_dev_queue", "net:net_dev_start_xmit", "net:netif_rx", "net:netif_receive_skb", "skb:consume_skb"];

#[test]
fn twenty_five_probes_are_ready_nearly_as_soon_as_one() -> Result<()> {
    let probes: Vec<&str> = FUNCTIONS.iter().chain(&TRACEPOINTS).flat_map(|probe| ["-p", *probe]).collect();
    let _unhurried = Setting::unhurried()?;
    // The first one after the boot reads much from the disk.
    let cold = Tracer::collect(&probes).start()?.ready_after;
    let one = Tracer::collect(["-p", "ip_rcv"]).start()?.ready_after;
    let recording = Tracer::collect(&probes).start()?;
    let warm = recording.ready_after;
    note(format_args!("25 probes ready after {cold:.2?}, then {warm:.2?}; one after {one:.2?}"));
    assert!(recording.ready.contains("25 of 25 probes attached"), "{}", recording.ready);
    // One to three on an idle machine; two kernels are tested at once, and what else the machine does is not known.
    assert!(warm < Duration::from_secs(15), "{warm:?}");
    // Tracepoints have a program of their own.
    assert!(warm < one * 3, "{warm:?}, {one:?}");
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn two_programs_at_once_see_the_same() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let probes = ["-p", "ip_output", "-p", "ip_rcv", "-p", "kr:icmp_rcv", "-p", "tp:net:netif_rx"];
    let first = Tracer::collect(probes).start()?;
    let second = Tracer::collect(probes).start()?;
    topology.red.ping("10.0.0.2", 200)?;
    for recording in [first, second] {
        let recorded = recording.stop(libc::SIGINT)?;
        assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
        let events = recorded.events()?;
        let counts = events.counts();
        let missed: u64 = events.losses().values().sum();
        note(format_args!("{counts:?}, {missed} lost"));
        assert!(counts.values().all(|&count| count <= 400), "{counts:?}");
        assert_eq!(counts.values().sum::<u64>() + missed, 4 * 400, "{}", recorded.ended.stderr);
    }
    Ok(())
}

#[test]
fn the_smallest_ring_loses_events_and_every_gap_is_shown() -> Result<()> {
    let Topology { red, blue } = &Topology::ipv4_only()?;
    let probes = ["ip_output", "tp:net:net_dev_start_xmit", "tp:net:netif_rx", "ip_rcv", "icmp_rcv"];
    let mut arguments = vec!["-c", "skb,skb-tracking,dev,ns", "--ring-size", "64K", "--strict"];
    probes.iter().for_each(|probe| arguments.extend(["-p", probe]));
    let recording = Tracer::collect(arguments).start()?;
    red.ping("10.0.0.2", 3000)?;

    // One packet surely has a gap: the ring is full when it is sent, and empty when its device gets it.
    recording.process.signal(libc::SIGSTOP)?;
    red.ping("10.0.0.2", 500)?;
    let receiver = blue.enter(|| Ok(UdpSocket::bind("10.0.0.2:4789")?))?;
    receiver.set_read_timeout(Some(Duration::from_secs(30)))?;
    let sender = red.enter(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
    red.shape("qdisc add dev veth0 root netem delay 5s\n")?;
    sender.send_to(b"held", "10.0.0.2:4789")?;
    recording.process.signal(libc::SIGCONT)?;
    receiver.recv(&mut [0; 4])?;

    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 8, "events were lost, and that matters: {}", recorded.ended.stderr);
    let (stored, lost) = recorded.summary()?;
    assert!(lost > 0, "the ring was large enough: the test does not test");
    assert_eq!(stored + lost, 5 * 7000 + 4, "{}", recorded.ended.stderr);
    let events = recorded.events()?;
    assert_eq!(events.hits().count() as u64, stored);
    assert_eq!(events.losses().values().sum::<u64>(), lost, "{:?}", events.losses());

    // What lies between two events of a packet, or in front of them, is missing; what would come last can't be known.
    let gaps: u64 = events
        .series()
        .values()
        .map(|series| series.iter().filter_map(|event| event.sequence()).max().unwrap_or(0) + 1 - series.len() as u64)
        .sum();
    let text = Tracer::output(["sort".as_ref(), recorded.path().as_os_str()])?;
    let shown = text.lines().filter_map(|line| line.trim().strip_prefix("↳ ").or(Some(line.trim())));
    let shown: u64 =
        shown.filter_map(|line| line.strip_prefix("lost ")?.split_once(" event")?.0.parse::<u64>().ok()).sum();
    ensure!(gaps > 0, "no packet has a gap: the test does not test");
    assert_eq!(shown, gaps);

    let sorted = recorded.file("sorted.json");
    Tracer::output(["sort".as_ref(), recorded.path().as_os_str(), "-o".as_ref(), sorted.as_os_str()])?;
    let lines = std::fs::read_to_string(&sorted)?;
    let mut count = 0;
    for line in lines.lines() {
        count += serde_json::from_str::<Vec<Value>>(line)?.len();
    }
    assert_eq!(count, events.0.len(), "sorting loses nothing");
    Ok(())
}
