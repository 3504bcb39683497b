// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What ovs-vswitchd does with upcalls, as its USDT probes tell. That alike packets are not mixed up is in `ovs_upcalls`.
//!
//! Cost: one Open vSwitch and a session, and a session without any: 30 s.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::{Bridged, Event, Events, OvsBuild, PacketSocket, Recorded, Tracer, python, run, until};

/// The kinds of the events of collector `ovs` in a series, in order; of operations, which.
fn kinds<'a>(series: &[&'a Event]) -> Vec<&'a str> {
    let kind = |event: &&'a Event| match event.get("/ovs/event_type").as_str()? {
        "flow_operation" => event.get("/ovs/op_type").as_str(),
        kind => Some(kind),
    };
    series.iter().filter_map(kind).collect()
}

/// The series of echo requests, in the order of time.
fn requests(events: &Events) -> Vec<Vec<&Event>> {
    // Behind the headers of Ethernet and IP.
    let of_request = |series: &Vec<&Event>| series[0].packet().get(34) == Some(&8);
    let mut found: Vec<_> = events.series().into_values().map(|series| series.to_vec()).filter(of_request).collect();
    found.sort_by_key(|series| series[0].timestamp());
    found
}

fn ends_well(recorded: &Recorded) -> Result<Events> {
    ensure!(recorded.ended.code() == 0, "{}", recorded.ended.stderr);
    let events = recorded.events()?;
    ensure!(events.losses().is_empty(), "{:?}", events.losses());
    Ok(events)
}

#[test]
fn the_first_ping_is_one_story_through_ovs_vswitchd() -> Result<()> {
    let bridged = Bridged::new(OvsBuild::Usdt, "story")?;
    let flows = || anyhow::Ok(bridged.ovs.appctl("dpctl/dump-flows")?.matches("eth_type(0x0800)").count());
    // The bridge learns where both are.
    bridged.red.ping("fd00::2", 1)?;
    // The flow of the second one is there. That somebody asks for a probe by its name changes nothing for packets that are followed.
    let recorded = Tracer::collect(["-f", "icmp", "-p", "usdt:ovs-vswitchd:dpif_recv:recv_upcall"])
        .profile("ovs-upcall")
        .during(|_| {
            bridged.red.ping("10.0.0.2", 1)?;
            until("both flows are there", || Ok(flows()? >= 2))?;
            bridged.red.ping("10.0.0.2", 1)
        })?;
    ensure!(!recorded.ended.stderr.contains("recv_upcall"), "{}", recorded.ended.stderr);
    let events = ends_well(&recorded)?;
    let requests = requests(&events);
    ensure!(requests.len() == 2, "{} requests", requests.len());
    let (first, second) = (&requests[0], &requests[1]);
    let told = kinds(first);
    // The thread that receives runs beside the one that queues.
    let beside = ["upcall_enqueue", "upcall_return"];
    let in_order: Vec<_> = told.iter().copied().filter(|kind| !beside.contains(kind)).collect();
    ensure!(in_order == ["flow_lookup", "upcall", "recv_upcall", "put", "exec", "action_execute"], "{told:?}");
    ensure!(beside.iter().all(|kind| told.contains(kind)), "{told:?}");
    ensure!(kinds(second) == ["flow_lookup", "action_execute"], "{:?}", kinds(second));

    let values = |name: &str| {
        let path = format!("/ovs/{name}");
        let values = first.iter().map(|event| event.get(&path)).filter(|value| !value.is_null());
        values.map(Value::to_string).collect::<BTreeSet<_>>()
    };
    for name in ["upcall_id", "queue_id", "batch_ts", "batch_idx"] {
        ensure!(values(name).len() == 1, "{name}: {:?}", values(name));
    }
    let received = first.iter().find(|event| event.get("/ovs/event_type") == "recv_upcall").context("not received")?;
    ensure!(received.get("/ovs/type") == 0 && received.get("/ovs/pkt_size") == 98, "{received:?}");
    ensure!(received.get("/ovs/key_size").as_u64().is_some_and(|size| size > 50), "{received:?}");
    ensure!(received.get("/userspace/symbol") == "dpif_recv:recv_upcall", "{received:?}");
    ensure!(received.get("/ovs/batch_ts").as_u64() < Some(received.timestamp()), "{received:?}");
    // From port to port, numbered without a gap.
    let ports: Vec<_> = first.iter().filter_map(|event| event.get("/ovs-vport/name").as_str()).collect();
    ensure!(ports == ["red", "blue"], "{ports:?}");
    let numbers: Vec<_> = first.iter().filter_map(|event| event.sequence()).collect();
    ensure!(numbers == (0..first.len() as u64).collect::<Vec<_>>(), "{numbers:?}");

    let sorted = recorded.file("sorted.json");
    Tracer::output(["sort".as_ref(), recorded.path().as_os_str(), "-o".as_ref(), sorted.as_os_str()])?;
    let read: Value = serde_json::from_str(&python("read_with_retis.py", [&sorted])?)?;
    ensure!(read["sorted"] == true && read["events"] == events.0.len(), "{read}");
    Ok(())
}

/// The kernel can't set the code of an ICMP message, so ovs-vswitchd does it, with every packet, and sends out each copy by itself. What it has
/// changed can't be told for certain to be the packet that it received: it is a new one, and counted. What it sends before that is the
/// packet itself, though all packets are alike.
#[test]
fn what_user_space_changes_is_counted() -> Result<()> {
    const COUNT: u64 = 5;
    for build in OvsBuild::ALL {
        let bridged = Bridged::new(build, "changed")?;
        bridged.without_ipv6()?;
        let is_told = build == OvsBuild::Usdt;
        // Which of several copies belongs to which of several alike packets, nothing but USDT probes tells.
        let (unchanged, copies) = if is_told { ("output:blue,output:blue", 2) } else { ("output:blue", 1) };
        let actions = format!("{unchanged},set_field:5->icmp_code,output:blue");
        bridged.ovs.ofctl(&format!("add-flow br0 in_port=red,icmp,priority=9,actions={actions}"))?;
        let mut frame = Vec::new();
        etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .icmpv4_echo_reply(7, 7)
            .write(&mut frame, &[7; 40])?;
        let sent = || -> Result<u64> {
            let shown = bridged.ovs.ofctl("dump-ports br0 blue")?;
            let sent = shown.split("tx pkts=").nth(1).and_then(|rest| rest.split(',').next());
            Ok(sent.context("no counter")?.parse()?)
        };
        let recorded = Tracer::collect(["-c", "skb,skb-tracking,ovs", "--ovs-track", "-f", "icmp"]).during(|_| {
            let before = sent()?;
            let socket = PacketSocket::open(&bridged.red, "veth0")?;
            // All in one batch.
            bridged.ovs.switch().signal(libc::SIGSTOP)?;
            let all = (0..COUNT).try_for_each(|_| socket.send(&frame));
            bridged.ovs.switch().signal(libc::SIGCONT)?;
            all?;
            until("all packets have come out", || Ok(sent()? - before >= COUNT * (copies + 1)))
        })?;
        let events = recorded.events()?;
        let (mut followed, mut changed) = (0, 0);
        for (identity, series) in events.series() {
            let told = kinds(&series);
            let of = |wanted: &str| told.iter().filter(|kind| **kind == wanted).count() as u64;
            let outputs: Vec<_> = series.iter().filter(|event| event.get("/ovs/action") == "output").collect();
            let ports: Vec<_> = series.iter().filter_map(|event| event.get("/ovs-vport/name").as_str()).collect();
            let has_id = |output: &&&Event| output.get("/ovs/upcall_id").is_u64();
            let has_code = |code: u8| outputs.iter().all(|output| output.packet()[35] == code);
            if of("upcall") == 1 {
                followed += 1;
                ensure!(
                    outputs.len() as u64 == copies && outputs.iter().all(has_id),
                    "{build:?} {identity:?}: {told:?}"
                );
                ensure!(ports.iter().filter(|port| **port == "blue").count() as u64 == copies, "{ports:?}");
                ensure!(has_code(0), "{build:?} {identity:?} is changed");
                let wanted = if is_told { (1, copies) } else { (0, 0) };
                ensure!((of("recv_upcall"), of("exec")) == wanted, "{build:?} {identity:?}: {told:?}");
            } else {
                changed += 1;
                ensure!(outputs.len() == 1 && !outputs.iter().any(has_id), "{build:?} {identity:?}: {told:?}");
                ensure!(ports == ["blue"] && has_code(5), "{build:?} {identity:?}: {ports:?}");
            }
        }
        ensure!((followed, changed) == (COUNT, COUNT), "{build:?}: {followed} followed, {changed} changed");
        let losses: BTreeMap<_, _> = events.losses().into_iter().map(|((cause, _), count)| (cause, count)).collect();
        let mut wanted = BTreeMap::from([("tracking_upcall_unmatched".to_owned(), COUNT)]);
        if is_told {
            wanted.insert("tracking_upcall_differs".to_owned(), COUNT);
        }
        ensure!(losses == wanted, "{build:?}: {losses:?}");
    }
    Ok(())
}

#[test]
fn without_ovs_vswitchd_it_is_said_what_is_missing() -> Result<()> {
    run("modprobe", ["openvswitch"])?;
    let recorded = Tracer::collect(["-c", "skb-tracking,ovs", "--ovs-track"]).during(|_| Ok(()))?;
    ensure!(recorded.ended.code() == 0, "{}", recorded.ended.stderr);
    ensure!(recorded.ended.stderr.contains("no `ovs-vswitchd` runs"), "{}", recorded.ended.stderr);
    Ok(())
}
