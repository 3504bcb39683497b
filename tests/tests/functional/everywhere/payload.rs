// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets whose bytes are not all in one place: page fragments, lists of fragments, segments to be.
//!
//! Cost: one topology and one session a test, 4 s; three tests.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};

use anyhow::{Result, ensure};
use etherparse::{LaxSlicedPacket, TransportSlice};
use tracer_tests::{Event, Events, Topology, Tracer};

/// Bytes of which any eight tell where they are.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64)
        .step_by(8)
        .flat_map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
        .take(length)
        .collect()
}

/// Sends so many bytes to blue and records the segments; the sections are there.
fn stream(snaplen: u32, sent: &[u8]) -> Result<Events> {
    let topology = Topology::ipv4_only()?;
    let snaplen = snaplen.to_string();
    let arguments =
        ["-p", "tp:net:netif_receive_skb", "--snaplen", &snaplen, "--skb-sections", "all", "--ring-size", "64M"];
    let recorded = Tracer::collect(arguments).during(|_| {
        let listener = topology.blue.enter(|| Ok(TcpListener::bind("10.0.0.2:7000")?))?;
        let mut client = topology.red.enter(|| Ok(TcpStream::connect(listener.local_addr()?)?))?;
        let mut server = listener.accept()?.0;
        std::thread::scope(|scope| {
            scope.spawn(move || client.write_all(sent));
            let mut received = Vec::new();
            server.read_to_end(&mut received)?;
            ensure!(received == sent, "TCP did not deliver");
            Ok(())
        })
    })?;
    recorded.events()
}

fn number(event: &Event, path: &str) -> usize {
    event.get(path).as_u64().unwrap_or_else(|| panic!("no {path} in {event:?}")) as usize
}

/// Compares every segment with what was sent there; returns how many bytes of the stream were seen.
fn compare(events: &Events, sent: &[u8], snaplen: usize) -> usize {
    let mut first = None;
    let (mut seen, mut beyond_linear, mut large) = (BTreeSet::new(), 0, 0);
    for event in events.hits() {
        let packet = event.packet();
        let sliced = LaxSlicedPacket::from_ethernet(&packet).expect("it begins with an Ethernet header");
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { continue };
        if tcp.destination_port() != 7000 {
            continue;
        }
        if tcp.syn() {
            first = Some(tcp.sequence_number().wrapping_add(1));
            continue;
        }
        let length = number(event, "/packet/len");
        assert_eq!(packet.len(), length.min(snaplen), "{event:?}");
        let at = tcp.sequence_number().wrapping_sub(first.expect("a connection begins with SYN")) as usize;
        let payload = tcp.payload();
        // What comes behind the end of the stream has none.
        if !payload.is_empty() {
            assert!(payload == &sent[at..at + payload.len()], "wrong bytes at {at} of the stream: {event:?}");
            seen.extend((at..at + payload.len()).step_by(8));
            let linear = length - number(event, "/skb/meta/data_len");
            beyond_linear += usize::from(packet.len() > linear);
            large += usize::from(number(event, "/packet/len") > 1514 && number(event, "/skb/gso/size") > 0);
        }
    }
    assert!(beyond_linear > 0, "no segment had bytes outside its linear part: {events:?}");
    assert!(large > 0, "no segment was to be segmented later: {events:?}");
    seen.len() * 8
}

#[test]
fn copies_what_is_in_page_fragments() -> Result<()> {
    let sent = pattern(200_000);
    compare(&stream(2000, &sent)?, &sent, 2000);
    Ok(())
}

#[test]
fn copies_the_largest_packets_whole() -> Result<()> {
    let sent = pattern(400_000);
    let seen = compare(&stream(65535, &sent)?, &sent, 65535);
    assert_eq!(seen, sent.len(), "some of the stream was not seen");
    Ok(())
}

#[test]
fn copies_what_is_in_a_list_of_fragments() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let sent = pattern(9000);
    let recorded = Tracer::collect(["-p", "udp_rcv", "--snaplen", "9100", "--skb-sections", "meta"]).during(|_| {
        let blue = topology.blue.enter(|| Ok(UdpSocket::bind("10.0.0.2:7000")?))?;
        let red = topology.red.enter(|| Ok(UdpSocket::bind("10.0.0.1:0")?))?;
        red.send_to(&sent, blue.local_addr()?)?;
        let mut received = vec![0; sent.len()];
        ensure!(blue.recv(&mut received)? == sent.len() && received == sent, "UDP did not deliver");
        Ok(())
    })?;
    let events = recorded.events()?;
    let [event] = &events.hits().collect::<Vec<_>>()[..] else { panic!("one datagram, {events:?}") };
    let packet = event.packet();
    // Ethernet, IPv4, UDP.
    assert_eq!(packet.len(), 14 + 20 + 8 + sent.len(), "{}", recorded.ended.stderr);
    assert!(packet[42..] == sent, "wrong bytes");
    assert!(number(event, "/skb/meta/data_len") > 0, "it was not fragmented: {event:?}");
    Ok(())
}
