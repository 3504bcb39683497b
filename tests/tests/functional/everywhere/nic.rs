// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets through a network card, whose driver allocates, merges and reuses buffers in ways that veth never does.
//!
//! Cost: two namespaces and one session, 5 s.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::{Result, ensure};
use etherparse::{LaxSlicedPacket, TransportSlice};
use tracer_tests::{Event, HitCounter, Namespace, Tracer};

/// The two cards of the machine, which are wired to each other. They go back to where they were with the namespace.
pub(crate) fn card(namespace: &str, card: &str, address: &str) -> Result<Namespace> {
    let namespace = Namespace::new(namespace.to_owned())?;
    namespace.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
    tracer_tests::run("ip", ["link", "set", card, "netns", namespace.name()])?;
    namespace.run("ip", ["address", "add", address, "dev", card])?;
    namespace.run("ip", ["link", "set", card, "up"])?;
    Ok(namespace)
}

/// Port and sequence number of a TCP segment.
fn segment(event: &Event) -> Option<(u16, u32)> {
    let packet = event.packet();
    match LaxSlicedPacket::from_ethernet(&packet).ok()?.transport? {
        TransportSlice::Tcp(tcp) => Some((tcp.source_port(), tcp.sequence_number())),
        _ => None,
    }
}

#[test]
fn a_buffer_of_a_driver_is_one_packet_only() -> Result<()> {
    const BYTES: usize = 3_000_000;
    let (red, blue) = (card("red-nic", "eth0", "10.1.0.1/24")?, card("blue-nic", "eth1", "10.1.0.2/24")?);
    red.ping("10.1.0.2", 3)?;
    let probes =
        ["tp:net:net_dev_start_xmit", "tp:net:napi_gro_receive_entry", "tp:net:netif_receive_skb", "tcp_v4_rcv"];
    let counter = HitCounter::new(&["skb_gro_receive"], &[])?;
    let before = counter.read()?["skb_gro_receive"];
    let recorded = Tracer::collect(probes.iter().flat_map(|probe| ["-p", probe])).during(|_| {
        let listener = blue.enter(|| Ok(TcpListener::bind("10.1.0.2:7000")?))?;
        let mut client = red.enter(|| Ok(TcpStream::connect(listener.local_addr()?)?))?;
        let mut server = listener.accept()?.0;
        std::thread::scope(|scope| {
            scope.spawn(move || client.write_all(&vec![b'x'; BYTES]));
            let mut received = Vec::new();
            server.read_to_end(&mut received)?;
            ensure!(received.len() == BYTES, "TCP did not deliver");
            Ok(())
        })
    })?;
    let events = recorded.events()?;
    let mut received = 0;
    for series in events.series().values() {
        let segments: BTreeSet<_> = series.iter().filter_map(|event| segment(event)).collect();
        let symbols: Vec<&str> = series.iter().map(|event| event.symbol()).collect();
        let entries = symbols.iter().filter(|symbol| **symbol == "net:napi_gro_receive_entry").count();
        assert!(entries <= 1, "a packet arrives once: {symbols:?}");
        // A buffer that the driver filled is nobody's from before.
        assert!(entries == 0 || symbols[0] == "net:napi_gro_receive_entry", "{symbols:?}");
        assert!(segments.len() <= 1, "different packets with one identity: {segments:?} at {symbols:?}");
        received += entries;
    }
    // What was merged into another one is told there, and is not seen again.
    let series = events.series();
    let merges = events.hits().filter_map(|event| event.link()).filter(|link| link.kind == "merge");
    let merged: BTreeSet<_> = merges.map(|link| link.parent).collect();
    for identity in &merged {
        let symbols: Vec<&str> = series[identity].iter().map(|event| event.symbol()).collect();
        assert_eq!(symbols, ["net:napi_gro_receive_entry"]);
    }
    assert_eq!(merged.len() as u64, counter.read()?["skb_gro_receive"] - before);
    assert!(!merged.is_empty(), "nothing was merged: the test does not test");
    assert_eq!(received, events.at("net:napi_gro_receive_entry").count(), "every packet has an identity");
    let heads: BTreeSet<u64> = events.series().keys().map(|(_, head)| *head).collect();
    assert!(received > 500 && heads.len() < events.series().len(), "no buffer was used again: the test does not test");
    Ok(())
}
