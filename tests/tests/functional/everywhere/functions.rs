// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Functions that are not simple: returns of nested calls, a pointer to a pointer, an argument on the stack, a module.
//!
//! Cost: one topology and one session, 4 s, which all tests here read.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::LazyLock;

use anyhow::Result;
use tracer_tests::{Event, Events, Series, Snmp, Topology, Tracer, run, until};

/// Each of them calls the next one for the same packet.
const NESTED: [&str; 3] = ["ip_rcv", "ip_local_deliver", "icmp_rcv"];

const OTHERS: [&str; 7] = [
    // Calls itself, for the device below a VLAN's.
    "k:__dev_queue_xmit",
    "kr:__dev_queue_xmit",
    // struct sk_buff **
    "k:vlan_do_receive",
    "k:br_handle_frame",
    "k:tcp_v4_rcv",
    // struct sk_buff * as the seventh argument.
    "k:tcp_v4_send_synack",
    // Returns when the packet is gone long since.
    "kr:tcp_v4_rcv",
];

static EVENTS: LazyLock<Events> = LazyLock::new(|| record().expect("the traffic is recorded"));

fn record() -> Result<Events> {
    run("modprobe", ["bridge"])?;
    let topology = Topology::new()?;
    let mut arguments: Vec<String> =
        NESTED.iter().flat_map(|name| [format!("k:{name}"), format!("kr:{name}")]).collect();
    arguments.extend(OTHERS.map(str::to_owned));
    let arguments = arguments.iter().flat_map(|probe| ["-p", probe]);
    let recorded = Tracer::collect(arguments).during(|_| {
        topology.red.ping("10.0.100.2", 5)?;
        let listener = topology.blue.enter(|| Ok(TcpListener::bind("10.0.0.2:7000")?))?;
        drop(topology.red.enter(|| Ok(TcpStream::connect(listener.local_addr()?)?))?);
        // A bridge takes what arrives from now on.
        topology.blue.run("ip", ["link", "add", "br0", "type", "bridge"])?;
        topology.blue.run("ip", ["link", "set", "br0", "up"])?;
        topology.blue.run("ip", ["link", "set", "veth0", "master", "br0"])?;
        let socket = topology.red.enter(|| Ok(UdpSocket::bind("10.0.0.1:7001")?))?;
        socket.send_to(b"to the bridge", "10.0.0.2:7002")?;
        // The bridge has the address of its port: it hands the datagram up, where nobody wants it.
        until("the datagram has arrived", || Ok(Snmp::read(&topology.blue)?.get("UdpNoPorts") == 1))
    })?;
    recorded.events()
}

/// The packets of the pings, which went through the VLAN.
fn pings() -> Vec<Series<'static>> {
    let in_vlan = |event: &&Event| event.flow().is_some_and(|flow| flow.starts_with("icmp4 10.0.100."));
    EVENTS.series().into_values().filter(|series| series.iter().any(in_vlan)).collect()
}

fn at(symbol: &'static str) -> Vec<&'static Event> {
    EVENTS.at(symbol).collect()
}

#[test]
fn returns_of_nested_calls_name_their_functions_and_come_in_reverse_order() {
    let mut packets = 0;
    for series in pings() {
        packets += 1;
        let nested = series.iter().filter(|event| NESTED.contains(&event.symbol()));
        let seen: Vec<(&str, &str)> = nested.map(|event| (event.probe_type(), event.symbol())).collect();
        let entries = NESTED.iter().map(|&name| ("kprobe", name));
        let returns = NESTED.iter().rev().map(|&name| ("kretprobe", name));
        assert_eq!(seen, entries.chain(returns).collect::<Vec<_>>());
    }
    assert_eq!(packets, 10, "five pings are ten packets");
}

#[test]
fn each_return_of_a_function_that_calls_itself_is_an_event() {
    for series in pings() {
        let own = series.iter().filter(|event| event.symbol() == "__dev_queue_xmit");
        let types: Vec<&str> = own.map(|event| event.probe_type()).collect();
        assert_eq!(types, ["kprobe", "kprobe", "kretprobe", "kretprobe"]);
    }
}

#[test]
fn every_call_that_is_over_has_returned() {
    for symbol in ["ip_rcv", "ip_local_deliver", "icmp_rcv", "tcp_v4_rcv", "__dev_queue_xmit"] {
        let count = |kind: &str| EVENTS.at(symbol).filter(|event| event.probe_type() == kind).count();
        assert_eq!(count("kprobe"), count("kretprobe"), "{symbol}");
        assert!(count("kprobe") > 0, "{symbol}");
    }
}

#[test]
fn finds_the_packet_behind_a_pointer_to_its_pointer() {
    let tagged = at("vlan_do_receive");
    assert_eq!(tagged.len(), 10, "five pings are ten packets");
    for event in tagged {
        assert!(event.flow().is_some_and(|flow| flow.starts_with("icmp4 10.0.100.")), "{event:?}");
        assert_eq!(*event.get("/skb/vlan_accel/vid"), 100, "{event:?}");
        assert!(event.identity().is_some(), "{event:?}");
    }
}

#[test]
fn finds_the_packet_behind_a_pointer_to_its_pointer_in_a_module() {
    let bridged: Vec<String> = at("br_handle_frame").iter().filter_map(|event| event.flow()).collect();
    assert!(bridged.contains(&"udp4 10.0.0.1:7001 > 10.0.0.2:7002".to_owned()), "{bridged:?}");
}

#[test]
fn finds_the_packet_in_an_argument_on_the_stack() {
    let [answered] = at("tcp_v4_send_synack")[..] else { panic!("one connection, {:?}", at("tcp_v4_send_synack")) };
    // The packet that is answered.
    let mut syn = EVENTS.at("tcp_v4_rcv").filter(|event| event.probe_type() == "kprobe");
    let syn = syn.next().expect("the SYN was received");
    assert!(answered.identity().is_some());
    assert_eq!(answered.identity(), syn.identity());
    assert_eq!(answered.flow(), syn.flow());
    assert!(answered.flow().is_some_and(|flow| flow.ends_with(" > 10.0.0.2:7000")), "{answered:?}");
}
