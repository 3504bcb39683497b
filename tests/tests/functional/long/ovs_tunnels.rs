// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two Open vSwitches, each in a network namespace, joined by VXLAN and by Geneve: a packet is one series from the host on one side to
//! the host on the other, through the datapaths and the handlers of both.
//!
//! Cost: one Open vSwitch of each build and a session: 40 s.

use std::collections::BTreeSet;
use std::net::UdpSocket;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::{Event, Events, Namespace, Ovs, OvsBuild, PATIENCE, Tracer, run};

/// A tunnel: its type, its key, the device that the datapath has for it, and the UDP port whose packets go through it.
const TUNNELS: [(&str, u32, &str, u16); 2] =
    [("vxlan", 5, "vxlan_sys_4789", 1001), ("geneve", 6, "genev_sys_6081", 1002)];

/// One side: an Open vSwitch and a host.
struct Side {
    ovs: Ovs,
    host: Namespace,
}

impl Side {
    /// `number` is 1 or 2: 10.0.0.NUMBER is the host, 192.168.77.NUMBER the end of the tunnels.
    fn new(build: OvsBuild, port: &str, number: u8) -> Result<Self> {
        let ovs = Ovs::start(build, &format!("tunnel-{port}-ovs"))?;
        let host = Namespace::new(format!("tunnel-{port}"))?;
        ovs.plug(port, &host, number)?;
        let other = 3 - number;
        host.configure(&format!(
            "neighbour add 10.0.0.{other} lladdr 02:00:00:00:00:0{other} dev veth0 nud permanent\n"
        ))?;
        ovs.vsctl(&format!("add-br br0 -- add-port br0 {port}"))?;
        Ok(Self { ovs, host })
    }

    /// Needs the way to the other side.
    fn dig(&self, port: &str, number: u8) -> Result<()> {
        let other = 3 - number;
        self.ovs.namespace().configure(&format!(
            "link set under up\n\
             address add 192.168.77.{number}/24 dev under\n\
             neighbour add 192.168.77.{other} lladdr 02:00:00:00:77:0{other} dev under nud permanent\n"
        ))?;
        for (kind, key, _, datagrams) in TUNNELS {
            self.ovs.vsctl(&format!(
                "add-port br0 {kind} -- set interface {kind} type={kind} options:remote_ip=192.168.77.{other} options:key={key}"
            ))?;
            self.ovs.ofctl(&format!(
                "add-flow br0 priority=9,in_port={port},udp,tp_dst={datagrams},actions=output:{kind}"
            ))?;
            self.ovs.ofctl(&format!("add-flow br0 priority=9,in_port={kind},actions=output:{port}"))?;
        }
        Ok(())
    }
}

fn values<'a>(series: &[&'a Event], path: &str) -> Vec<&'a Value> {
    series.iter().map(|event| event.get(path)).filter(|value| !value.is_null()).collect()
}

/// Checks a packet that has gone through a tunnel; the first one of its kind made upcalls on both sides.
fn check(series: &[&Event], (_, key, device, _): (&str, u32, &str, u16), is_first: bool) -> Result<()> {
    let ports = values(series, "/ovs-vport/name");
    ensure!(ports == ["red", device, device, "blue"], "goes through {ports:?}");
    let upcalls: Vec<_> = series.iter().filter(|event| event.get("/ovs/event_type") == "upcall").collect();
    let ids: BTreeSet<_> = upcalls.iter().map(|event| event.get("/ovs/upcall_id").as_u64()).collect();
    ensure!(ids.len() == upcalls.len() && ids.len() == if is_first { 2 } else { 0 }, "upcalls {ids:?}");
    let actions: Vec<_> = series.iter().filter(|event| event.get("/ovs/event_type") == "action_execute").collect();
    let answers: BTreeSet<_> =
        actions.iter().filter_map(|event| event.get("/ovs/upcall_id").as_u64()).map(Some).collect();
    ensure!(answers == ids, "answers to {answers:?}, upcalls {ids:?}");
    let names: Vec<_> = actions.iter().map(|event| event.get("/ovs/action")).collect();
    ensure!(names == ["set", "output", "output"] || names == ["set_masked", "output", "output"], "{names:?}");
    let set = actions[0].get("/ovs/args/field").as_str().context("it sets something")?;
    ensure!(set.starts_with(&format!("tunnel(tun_id={key:#x},dst=192.168.77.2,")), "{set}");
    // On the side with USDT probes.
    let received = series.iter().filter(|event| event.get("/ovs/event_type") == "recv_upcall").count();
    ensure!(received == usize::from(is_first), "received {received} times");
    let numbers: Vec<_> = series.iter().filter_map(|event| event.sequence()).collect();
    ensure!(numbers == (0..series.len() as u64).collect::<Vec<_>>(), "{numbers:?}");
    Ok(())
}

#[test]
fn a_packet_is_one_series_through_a_tunnel_between_two_switches() -> Result<()> {
    run("modprobe", ["-a", "vxlan", "geneve"])?;
    let red = Side::new(OvsBuild::Usdt, "red", 1)?;
    let blue = Side::new(OvsBuild::Debian, "blue", 2)?;
    run("ip", format!(
        "link add under netns {} address 02:00:00:00:77:01 type veth peer name under netns {} address 02:00:00:00:77:02",
        red.ovs.namespace().name(),
        blue.ovs.namespace().name()
    ).split(' '))?;
    red.dig("red", 1)?;
    blue.dig("blue", 2)?;

    let arguments = [
        "-c",
        "skb,skb-tracking,skb-drop,ovs,dev,ns",
        "-p",
        "ip_rcv",
        "-f",
        "udp dst portrange 1001-1002",
        "--ovs-track",
    ];
    let recorded = Tracer::collect(arguments).during(|_| {
        let sender = red.host.enter(|| Ok(UdpSocket::bind("10.0.0.1:999")?))?;
        for _ in 0..2 {
            for (kind, .., port) in TUNNELS {
                let receiver = blue.host.enter(|| Ok(UdpSocket::bind(("10.0.0.2", port))?))?;
                receiver.set_read_timeout(Some(PATIENCE))?;
                sender.send_to(kind.as_bytes(), ("10.0.0.2", port))?;
                let mut buffer = [0; 16];
                let length = receiver.recv(&mut buffer).with_context(|| format!("nothing comes through {kind}"))?;
                ensure!(&buffer[..length] == kind.as_bytes());
            }
        }
        Ok(())
    })?;
    let events: Events = recorded.events()?;
    ensure!(events.losses().is_empty(), "{:?}", events.losses());
    for tunnel in TUNNELS {
        let flow = format!("udp4 10.0.0.1:999 > 10.0.0.2:{}", tunnel.3);
        let all = events.series();
        let mut packets: Vec<_> = all.values().filter(|series| series[0].flow().as_deref() == Some(&*flow)).collect();
        packets.sort_by_key(|series| series[0].timestamp());
        ensure!(packets.len() == 2, "{} packets of {flow}", packets.len());
        for (series, is_first) in packets.into_iter().zip([true, false]) {
            check(series, tunnel, is_first).with_context(|| format!("{tunnel:?}, first {is_first}: {series:#?}"))?;
        }
    }
    Ok(())
}
