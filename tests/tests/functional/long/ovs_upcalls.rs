// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--ovs-track`: a packet that ovs-vswitchd is asked about goes on as what it was, and no other one.
//!
//! Packets that are alike to the last byte are told apart by their marks, which the kernel hands to ovs-vswitchd beside the bytes and
//! gets back: nothing that tracer joins packets by. They are sent on ports of the bridge itself, where marks are kept.
//!
//! Cost: one Open vSwitch of each build, six sessions with some thousand upcalls each: 60 s.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use tracer_tests::{Bridged, Event, Events, OvsBuild, PacketSocket, Recorded, Tracer, until};

/// The two ports that packets are sent on, and where each one's packets go.
const WAYS: [(&str, &str); 2] = [("pa", "red"), ("pb", "blue")];

const COLLECT: [&str; 8] = [
    "-c",
    "skb,skb-tracking,ovs",
    "--skb-sections",
    "meta",
    "-f",
    "udp port 7777",
    "--ovs-track",
    // Upcalls by the thousand, on an emulated machine.
    "--ring-size=64M",
];

/// A frame with a UDP datagram to port 7777, so long that 8 MB, what the queues of Open vSwitch take, are less than 2,000 of them.
fn frame() -> Vec<u8> {
    frame_to(7777, 1400)
}

fn frame_to(port: u16, length: usize) -> Vec<u8> {
    let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 8])
        .ipv4([10, 0, 9, 1], [10, 0, 9, 2], 64)
        .udp(7776, port);
    let mut frame = Vec::new();
    builder.write(&mut frame, &vec![7; length]).expect("a vector takes everything");
    frame
}

/// A bridge that installs no flows: every packet is an upcall.
fn bridge(build: OvsBuild, name: &str) -> Result<Bridged> {
    let bridged = Bridged::new(build, name)?;
    bridged.without_ipv6()?;
    let ovs = &bridged.ovs;
    for (number, (port, to)) in (21..).zip(WAYS) {
        ovs.vsctl(&format!("add-port br0 {port} -- set interface {port} type=internal ofport_request={number}"))?;
        ovs.namespace().configure(&format!("link set {port} up\n"))?;
        ovs.ofctl(&format!("add-flow br0 in_port={number},priority=9,udp,tp_dst=7777,actions=output:{to}"))?;
    }
    ovs.vsctl("set Open_vSwitch . other_config:flow-limit=0")?;
    until("no flow may be installed", || Ok(ovs.appctl("upcall/show")?.contains("(limit 0)")))?;
    Ok(bridged)
}

/// Sends alike packets on both ports, from one CPU each, with marks that count from `first` on. Returns how many that were.
fn send(bridged: &Bridged, first: u32, count: u32) -> Result<u64> {
    let frame = frame();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(WAYS)
            .map(|(cpu, (port, _))| {
                let frame = &frame;
                scope.spawn(move || -> Result<()> {
                    let socket = PacketSocket::open(bridged.ovs.namespace(), port)?;
                    run_on(cpu)?;
                    for mark in 0..count {
                        socket.mark(first + mark * 2 + cpu)?;
                        socket.send(frame)?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
    })?;
    Ok(u64::from(count) * 2)
}

/// Keeps this thread on a CPU.
fn run_on(cpu: u32) -> Result<()> {
    // SAFETY: an empty set is all zeros.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is larger than any number of CPUs here, and as long as said.
    let bound = unsafe {
        libc::CPU_SET(cpu as usize, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    } == 0;
    ensure!(bound, "no CPU {cpu}: {}", std::io::Error::last_os_error());
    Ok(())
}

/// What Open vSwitch itself counts as lost.
fn lost(bridged: &Bridged) -> Result<u64> {
    let shown = bridged.ovs.appctl("dpctl/show")?;
    let lost = shown.split("lost:").nth(1).and_then(|rest| rest.split_whitespace().next()).context("no `lost`")?;
    Ok(lost.parse()?)
}

/// Packets that have come out at both ends.
fn arrived(bridged: &Bridged) -> Result<u64> {
    let mut sum = 0;
    for namespace in [&bridged.red, &bridged.blue] {
        let shown: serde_json::Value =
            serde_json::from_str(&namespace.run("ip", ["-s", "-j", "link", "show", "veth0"])?)?;
        sum += shown[0]["stats64"]["rx"]["packets"].as_u64().context("no counter")?;
    }
    Ok(sum)
}

/// Sends, and waits until all that was not lost has arrived.
fn send_and_wait(bridged: &Bridged, send: impl FnOnce() -> Result<u64>) -> Result<u64> {
    let before = (arrived(bridged)?, lost(bridged)?);
    let sent = send()?;
    until("all packets have arrived", || Ok(arrived(bridged)? - before.0 + lost(bridged)? - before.1 >= sent))?;
    Ok(lost(bridged)? - before.1)
}

fn kind(event: &Event) -> &str {
    event.get("/ovs/event_type").as_str().unwrap_or_default()
}

/// What was found in a recording.
#[derive(Debug, Default, PartialEq)]
struct Found {
    packets: u64,
    lost: u64,
    followed: u64,
    /// Executed, and of no upcall.
    others: u64,
}

/// Checks that every series is one packet with its own upcall; what ovs-vswitchd says of it belongs to it, if it says anything.
fn check(events: &Events, build: OvsBuild) -> Result<Found> {
    let mut found = Found::default();
    let (mut marks, mut upcalls) = (BTreeSet::new(), BTreeSet::new());
    for (identity, series) in events.series() {
        // In the datapath: behind it, in another namespace, marks are gone.
        let in_datapath =
            |event: &&&Event| event.symbol().contains("ovs_") || event.symbol() == "queue_userspace_packet";
        let all: BTreeSet<u64> =
            series.iter().filter(in_datapath).filter_map(|event| event.get("/skb/meta/mark").as_u64()).collect();
        let told = || {
            let told = |event: &&Event| {
                format!(
                    "{} {} mark {} {}\n",
                    event.symbol(),
                    kind(event),
                    event.get("/skb/meta/mark"),
                    event.get("/skb-tracking/skb")
                )
            };
            series.iter().map(told).collect::<String>()
        };
        ensure!(all.len() == 1, "{identity:?} is several packets:\n{}", told());
        let of = |wanted: &str| series.iter().filter(|event| kind(event) == wanted).collect::<Vec<_>>();
        let (upcall, enqueued, returned) = (of("upcall"), of("upcall_enqueue"), of("upcall_return"));
        let executed = of("action_execute");
        let (received, answered) = (of("recv_upcall"), of("flow_operation"));
        // What was with user space before collection began, and what is ovs-vswitchd's own.
        if upcall.is_empty() {
            ensure!(enqueued.is_empty() && returned.is_empty() && received.is_empty() && answered.is_empty());
            ensure!(executed.len() == 1 && executed[0].get("/ovs/upcall_id").is_null(), "{identity:?}: {executed:?}");
            found.others += 1;
            continue;
        }
        marks.extend(all);
        found.packets += 1;
        let counts = (upcall.len(), enqueued.len(), returned.len());
        ensure!(counts == (1, 1, 1), "{identity:?} has {counts:?} upcalls");
        let id = upcall[0].get("/ovs/upcall_id").as_u64().context("no upcall_id")?;
        ensure!(upcalls.insert(id), "{id} names two upcalls");
        for event in upcall.iter().chain(&enqueued).chain(&returned).chain(&received).chain(&answered).chain(&executed)
        {
            ensure!(event.get("/ovs/upcall_id") == id, "{identity:?}: upcall {id} and {event:?}");
        }
        ensure!(returned[0].get("/ovs/upcall_ts") == upcall[0].get("/common/timestamp"));
        ensure!(enqueued[0].get("/ovs/upcall_ts") == upcall[0].get("/common/timestamp"));
        if enqueued[0].get("/ovs/ret") != 0 {
            ensure!(executed.is_empty(), "{identity:?} was lost, and executed");
            ensure!(received.is_empty() && answered.is_empty(), "{identity:?} was lost, and received");
            found.lost += 1;
            continue;
        }
        let counts = (received.len(), answered.len());
        ensure!(
            counts == if build == OvsBuild::Usdt { (1, 1) } else { (0, 0) },
            "{identity:?}: {counts:?}\n{}",
            told()
        );
        for (received, answered) in received.iter().zip(&answered) {
            ensure!(answered.get("/ovs/op_type") == "exec", "{answered:?}");
            for name in ["queue_id", "batch_ts", "batch_idx"] {
                let path = format!("/ovs/{name}");
                ensure!(received.get(&path) == answered.get(&path), "{identity:?}: {received:?} and {answered:?}");
            }
            ensure!(received.get("/ovs/queue_id") == enqueued[0].get("/ovs/queue_id"), "{identity:?}");
            ensure!(received.get("/ovs/pkt_size") == frame().len(), "{received:?}");
        }
        if executed.is_empty() {
            continue;
        }
        ensure!(executed.len() == 1, "{identity:?} was executed {} times", executed.len());
        ensure!(executed[0].get("/ovs/queue_id") == enqueued[0].get("/ovs/queue_id"), "{identity:?}");
        // Those of one port go to one port.
        let sent: Vec<_> = series
            .iter()
            .filter(|event| event.get("/ovs-vport/event") == "send")
            .map(|event| event.get("/ovs-vport/name"))
            .collect();
        let came: Vec<_> = series
            .iter()
            .filter(|event| event.get("/ovs-vport/event") == "receive")
            .filter_map(|event| event.get("/ovs-vport/name").as_str())
            .collect();
        let (_, to) = WAYS.iter().find(|(port, _)| came == [*port]).with_context(|| format!("came at {came:?}"))?;
        ensure!(sent == [*to], "{came:?} to {sent:?}");
        found.followed += 1;
    }
    ensure!(marks.len() as u64 == found.packets, "{} packets have {} marks", found.packets, marks.len());
    Ok(found)
}

fn losses(recorded: &Recorded) -> Result<BTreeMap<String, u64>> {
    let events = recorded.events()?;
    Ok(events.losses().into_iter().map(|((cause, _), count)| (cause, count)).collect())
}

/// Alike packets by the thousand.
fn follows_alike_packets(bridged: &Bridged, build: OvsBuild) -> Result<()> {
    const EACH: u32 = 1000;
    let mut refused = 0;
    let recorded = Tracer::collect(COLLECT).during(|_| {
        refused = send_and_wait(bridged, || send(bridged, 1, EACH))?;
        Ok(())
    })?;
    let said = recorded.ended.stderr.contains("was built without USDT probes");
    ensure!(said == (build == OvsBuild::Debian), "{}", recorded.ended.stderr);
    let losses = recorded.events()?.losses();
    ensure!(losses.is_empty(), "{losses:?}");
    let found = check(&recorded.events()?, build)?;
    let sent = u64::from(EACH) * 2;
    ensure!(
        found == Found { packets: sent, lost: refused, followed: sent - refused, others: 0 },
        "{found:?}, lost {refused}"
    );
    Ok(())
}

/// More than the queues take.
fn tells_what_the_queues_refuse(bridged: &Bridged, build: OvsBuild) -> Result<()> {
    const EACH: u32 = 3000;
    let mut refused = 0;
    let recorded = Tracer::collect(COLLECT).during(|_| {
        refused = send_and_wait(bridged, || {
            bridged.ovs.switch().signal(libc::SIGSTOP)?;
            let sent = send(bridged, 1, EACH);
            bridged.ovs.switch().signal(libc::SIGCONT)?;
            sent
        })?;
        Ok(())
    })?;
    ensure!(refused > 0, "the queues took all");
    let found = check(&recorded.events()?, build)?;
    let sent = u64::from(EACH) * 2;
    let losses = losses(&recorded)?;
    ensure!(
        found == Found { packets: sent, lost: refused, followed: sent - refused, others: 0 },
        "{found:?}, lost {refused}, {losses:?}"
    );
    let text = Tracer::output(["sort", recorded.path().to_str().context("a path")?])?;
    let verdicts = text.matches("dropped by the upcall to ovs-vswitchd (EAGAIN (the queue is full))").count() as u64;
    ensure!(verdicts == refused, "{verdicts} verdicts of {refused}");
    Ok(())
}

/// Alike packets are queued before collection begins, and behind them others.
fn knows_what_began_before(bridged: &Bridged, build: OvsBuild) -> Result<()> {
    const EACH: u32 = 40;
    let sent = u64::from(EACH) * 2;
    bridged.ovs.switch().signal(libc::SIGSTOP)?;
    send(bridged, 1, EACH)?;
    let recorded = Tracer::collect(COLLECT).during(|_| {
        let before = arrived(bridged)?;
        send(bridged, 1000, EACH)?;
        bridged.ovs.switch().signal(libc::SIGCONT)?;
        until("all packets have arrived", || Ok(arrived(bridged)? - before >= sent * 2))?;
        Ok(())
    })?;
    Tracer::output(["sort".as_ref(), recorded.path().as_os_str()])?;
    let found = check(&recorded.events()?, build)?;
    let losses = losses(&recorded)?;
    let count = |cause: &str| losses.get(cause).copied().unwrap_or(0);
    // Beside them there may be what hosts tell their neighbours.
    let unseen = count("tracking_upcall_unseen");
    ensure!(unseen >= sent, "{losses:?}");
    // Each packet that is executed is taken for one of those as long as there is one, and all are executed.
    ensure!(found == Found { packets: sent, lost: 0, followed: sent, others: sent }, "{found:?}, {losses:?}");
    ensure!(count("tracking_upcall_unmatched") == unseen, "{losses:?}");
    Ok(())
}

/// What OpenFlow hands to ovs-vswitchd to be sent (packet-out) is like the others to the last byte, and none of them.
fn tells_packet_outs_apart(bridged: &Bridged, build: OvsBuild) -> Result<()> {
    const OUT: u64 = 100;
    const MOST: u64 = 600;
    let hexadecimal: String = frame().iter().map(|byte| format!("{byte:02x}")).collect();
    let half = OUT as usize / 2;
    let words = ["packet-out", "br0", "21", "output:red"].into_iter();
    let words: Vec<&str> = words.chain(std::iter::repeat_n(hexadecimal.as_str(), half)).collect();
    let mut sent = 0;
    let recorded = Tracer::collect(COLLECT).during(|_| {
        send_and_wait(bridged, || {
            std::thread::scope(|scope| {
                let out = scope
                    .spawn(|| (0..2).try_for_each(|_| bridged.ovs.run("ovs-ofctl", words.iter().copied()).map(|_| ())));
                // Beside them as long as it takes, but no more than the queues hold.
                while !out.is_finished() && sent < MOST {
                    send_and_wait(bridged, || {
                        let some = send(bridged, 1 + sent as u32, 5)?;
                        sent += some;
                        Ok(some)
                    })?;
                }
                out.join().expect("no thread panics")?;
                Ok(sent + OUT)
            })
        })?;
        Ok(())
    })?;
    let found = check(&recorded.events()?, build)?;
    ensure!(found == Found { packets: sent, lost: 0, followed: sent, others: OUT }, "{found:?} of {sent}");
    let losses = recorded.events()?.losses();
    ensure!(losses.is_empty(), "{losses:?}");
    Ok(())
}

/// The marks of a series where it comes in and where this action is executed.
fn marks(series: &[&Event], action: &str) -> BTreeSet<u64> {
    let has_mark =
        |event: &&&Event| event.symbol() == "ovs_vport_receive" || event.get("/ovs/action").as_str() == Some(action);
    series.iter().filter(has_mark).filter_map(|event| event.get("/skb/meta/mark").as_u64()).collect()
}

/// Of packets that are alike and in one batch, those of one port are dropped, those of the other one sent on.
fn tells_fates_apart(bridged: &Bridged) -> Result<()> {
    const EACH: u32 = 25;
    bridged.ovs.ofctl("add-flow br0 in_port=22,priority=10,udp,tp_dst=7777,actions=drop")?;
    let frame = frame();
    let recorded = Tracer::collect(COLLECT).during(|_| {
        send_and_wait(bridged, || {
            let [kept, dropped] = WAYS.map(|(port, _)| PacketSocket::open(bridged.ovs.namespace(), port));
            let (kept, dropped) = (kept?, dropped?);
            run_on(0)?;
            bridged.ovs.switch().signal(libc::SIGSTOP)?;
            let mut marks = 1..;
            let sent = (0..EACH).flat_map(|_| [&dropped, &kept]).try_for_each(|socket| {
                socket.mark(marks.next().expect("there are enough"))?;
                socket.send(&frame)
            });
            bridged.ovs.switch().signal(libc::SIGCONT)?;
            sent.map(|()| u64::from(EACH))
        })?;
        Ok(())
    })?;
    let events = recorded.events()?;
    let mut counts = BTreeMap::<(&str, &str), u32>::new();
    for (identity, series) in events.series() {
        let marks = marks(&series, "output");
        ensure!(marks.len() == 1, "{identity:?} is several packets: {marks:?}");
        let at = |way: &str| {
            let mut events = series.iter().filter(|event| event.get("/ovs-vport/event") == way);
            let port = events.next().and_then(|event| event.get("/ovs-vport/name").as_str()).unwrap_or("nowhere");
            if events.next().is_some() { "several" } else { port }
        };
        *counts.entry((at("receive"), at("send"))).or_default() += 1;
    }
    ensure!(counts == BTreeMap::from([(("pa", "red"), EACH), (("pb", "nowhere"), EACH)]), "{counts:?}");
    ensure!(events.losses().is_empty(), "{:?}", events.losses());
    Ok(())
}

/// Open vSwitch sends several packets at once, and sends all of them again when there is no room for what the kernel has against them.
fn follows_what_is_sent_again(bridged: &Bridged, build: OvsBuild) -> Result<()> {
    const COUNT: u32 = 40;
    const OTHER: u16 = 7000;
    let ovs = &bridged.ovs;
    // The zone is full with the first connection: the actions of all others end with an error.
    ovs.ofctl("add-flow br0 in_port=21,priority=11,udp,actions=ct(commit,zone=7),output:red")?;
    ovs.ofctl(&format!("add-flow br0 in_port=21,priority=12,udp,tp_dst={OTHER},actions=output:red"))?;
    ovs.appctl("dpctl/ct-set-limits zone=7,limit=1")?;
    let overflows = || -> Result<u64> {
        let told = ovs.appctl("coverage/read-counter netlink_overflow")?;
        told.trim().parse().with_context(|| format!("not a number: {told}"))
    };
    let socket = PacketSocket::open(ovs.namespace(), "pa")?;
    send_and_wait(bridged, || socket.send(&frame_to(OTHER - 1, 40)).map(|()| 1))?;
    let before = overflows()?;
    let recorded = Tracer::collect(COLLECT).during(|_| {
        send_and_wait(bridged, || {
            run_on(0)?;
            ovs.switch().signal(libc::SIGSTOP)?;
            let sent = (1..=COUNT).try_for_each(|mark| {
                socket.mark(mark)?;
                socket.send(&frame_to(7777, 40))
            });
            // The only one that arrives, behind all others.
            let last = socket.send(&frame_to(OTHER, 40));
            let narrowed = ovs.narrow_replies();
            ovs.switch().signal(libc::SIGCONT)?;
            sent.and(last).and(narrowed).map(|()| 1)
        })?;
        Ok(())
    })?;
    // A thread adds what it has counted to the rest when it wakes up.
    until("Open vSwitch tells that there was no room for a reply", || {
        socket.send(&frame_to(OTHER, 40))?;
        Ok(overflows()? > before)
    })?;
    let events = recorded.events()?;
    let (mut packets, mut again) = (0, 0);
    for (identity, series) in events.series() {
        let told: String = series
            .iter()
            .map(|event| format!("{} {} {}\n", event.symbol(), event.get("/ovs"), event.get("/skb/meta/mark")))
            .collect();
        let marks = marks(&series, "ct");
        ensure!(marks.len() == 1, "{identity:?} is several packets:\n{told}");
        let of = |wanted: &str| series.iter().filter(|event| kind(event) == wanted).collect::<Vec<_>>();
        let (upcall, executed) = (of("upcall"), of("action_execute"));
        ensure!(upcall.len() == 1 && !executed.is_empty(), "{identity:?}:\n{told}");
        let id = upcall[0].get("/ovs/upcall_id");
        ensure!(executed.iter().all(|event| event.get("/ovs/upcall_id") == id), "{identity:?}:\n{told}");
        let is_told = usize::from(build == OvsBuild::Usdt);
        ensure!((of("recv_upcall").len(), of("flow_operation").len()) == (is_told, is_told), "{identity:?}:\n{told}");
        packets += 1;
        again += executed.len() - 1;
    }
    ensure!(packets == COUNT && again > 5, "{packets} packets, {again} times again");
    ensure!(events.losses().is_empty(), "{:?}", events.losses());
    Ok(())
}

fn follow(build: OvsBuild, name: &str) -> Result<()> {
    let bridged = bridge(build, name)?;
    let outcomes = [
        follows_alike_packets(&bridged, build).context("alike packets"),
        tells_what_the_queues_refuse(&bridged, build).context("full queues"),
        knows_what_began_before(&bridged, build).context("packets from before"),
        tells_packet_outs_apart(&bridged, build).context("packets that OpenFlow sends"),
        tells_fates_apart(&bridged).context("packets with different fates"),
        follows_what_is_sent_again(&bridged, build).context("packets that are sent again"),
    ];
    let wrong: Vec<String> = outcomes.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(wrong.is_empty(), "{build:?}: {}", wrong.join("\n"));
    Ok(())
}

#[test]
fn alike_packets_keep_their_identities_without_usdt_probes() -> Result<()> {
    follow(OvsBuild::Debian, "alike")
}

#[test]
fn alike_packets_keep_their_identities_in_the_newest_open_vswitch() -> Result<()> {
    follow(OvsBuild::Usdt, "newest")
}
