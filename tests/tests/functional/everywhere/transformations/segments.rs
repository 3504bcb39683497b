// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets that the kernel makes too large and takes apart for the device (GSO), and that it puts together when they arrive (GRO).

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::{Event, Line, Topology};

use super::{ARRIVED, Places, Scene, Seen, TAKEN, assert_story, calling, connect, describe, receiver, seen, sender};

const TCP: u16 = 7600;
const UDP: u16 = 7601;
const LISTED: u16 = 7602;

const BYTES: usize = 20_000;

pub(super) const SCENES: [Scene; 2] = [
    Scene { name: "segments", prepare: |_| Ok(()), play: merged },
    Scene { name: "list", prepare: |_| Ok(()), play: listed },
];

fn merged(places: &Places) -> Result<()> {
    let Topology { red, blue } = &places.pair;
    red.run("ethtool", ["-K", "veth0", "tso", "off", "tx-udp-segmentation", "off"])?;
    blue.run("ethtool", ["-K", "veth0", "gro", "on"])?;
    let (mut client, mut server) = connect(red, blue, &format!("10.0.0.2:{TCP}"))?;
    let mut received = [0; BYTES];
    calling(&["skb_segment"], || Ok(client.write_all(&[b'x'; BYTES])?))?;
    server.read_exact(&mut received)?;

    let address = format!("10.0.0.2:{UDP}");
    let server = receiver(blue, &address)?;
    option(&server, libc::UDP_GRO, 1)?;
    let client = sender(red, &address)?;
    option(&client, libc::UDP_SEGMENT, 1000)?;
    calling(&["skb_gro_receive"], || Ok(client.send(&[b'x'; 5000]).map(drop)?))?;
    let mut length = 0;
    while length < 5000 {
        length += server.recv(&mut received).context("no datagram comes")?;
    }
    ensure!(length == 5000);
    Ok(())
}

/// Through a router that puts datagrams together as a list.
fn listed(places: &Places) -> Result<()> {
    let Line { red, middle, blue } = &places.routed;
    red.run("ethtool", ["-K", "veth0", "tx-udp-segmentation", "off"])?;
    middle.run("ethtool", ["-K", "left", "gro", "on", "rx-gro-list", "on"])?;
    middle.run("ethtool", ["-K", "right", "tx-gso-list", "off"])?;
    let address = format!("10.0.2.1:{LISTED}");
    let server = receiver(blue, &address)?;
    let client = sender(red, &address)?;
    option(&client, libc::UDP_SEGMENT, 1000)?;
    client.send(&[b'x'; 5000])?;
    let mut received = [0; 5000];
    for _ in 0..5 {
        ensure!(server.recv(&mut received).context("no datagram comes")? == 1000);
    }
    Ok(())
}

fn option(socket: &UdpSocket, name: i32, value: i32) -> Result<()> {
    let size = size_of_val(&value) as u32;
    // SAFETY: the value is as long as said.
    let set =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, name, (&raw const value).cast(), size) } == 0;
    ensure!(set, "option {name}: {}", std::io::Error::last_os_error());
    Ok(())
}

/// Bytes of a packet behind headers of this size.
fn payload(event: &Event, headers: usize) -> usize {
    event.get("/packet/len").as_u64().map_or(0, |length| length as usize) - headers
}

/// What a packet was taken apart into, and how that was put together: of every segment it is told where it went. Returns the packets that
/// arrived, and the segments in all.
fn check(seen: &Seen, sent: &[&Event], headers: usize, taken: &str) -> (Vec<&'static Event>, usize) {
    assert_story(sent, ["red ip_output -"]);
    let segments = seen.children(sent);
    let whole: usize = segments.iter().map(|segment| payload(segment[0], headers)).sum();
    assert_eq!(whole, payload(sent[0], headers), "{}", describe(sent));
    let arrive = "red net_dev_start_xmit veth0 [segment]\nblue napi_gro_receive_entry veth0\n";
    let mut arrived = Vec::new();
    let mut told = BTreeSet::new();
    for segment in &segments {
        let absorbed = seen.absorbed(segment);
        let mut size = payload(segment[0], headers);
        for (event, other) in segment[2..].iter().zip(&absorbed) {
            size += payload(other[0], headers);
            assert_eq!(payload(event, headers), size, "{}", describe(segment));
            assert_story(other, [arrive]);
            assert!(told.insert(other[0].identity()), "taken in twice:\n{}", describe(segment));
        }
        if segment.len() > 2 {
            let merged = "blue skb_gro_receive veth0 [merge]\n".repeat(absorbed.len());
            assert_story(
                segment,
                [arrive, &merged, "blue netif_receive_skb veth0\nblue ip_local_deliver veth0\n", taken],
            );
            let last = segment[segment.len() - 1];
            assert_eq!(payload(last, headers), size);
            assert!(told.insert(segment[0].identity()));
            arrived.push(last);
        }
    }
    assert_eq!(told.len(), segments.len(), "every segment has arrived in one packet:\n{}", describe(sent));
    (arrived, segments.len())
}

#[test]
fn follows_the_segments_of_tcp_until_they_are_merged() -> Result<()> {
    let seen = seen("segments")?;
    let sent = seen.sent_to(TCP);
    let large: Vec<_> = sent.iter().filter(|series| payload(series[0], 66) > 1448).collect();
    let (mut bytes, mut segments, mut packets) = (0, 0, 0);
    for packet in &large {
        let (arrived, count) = check(&seen, packet, 66, "blue tcp_v4_rcv veth0");
        bytes += arrived.iter().map(|event| payload(event, 66)).sum::<usize>();
        segments += count;
        packets += arrived.len();
    }
    assert!(bytes > BYTES / 2 && packets < segments, "{bytes} bytes in {segments} segments, {packets} arrived");
    Ok(())
}

#[test]
fn follows_the_segments_of_udp_until_they_are_merged() -> Result<()> {
    let seen = seen("segments")?;
    let [packet] = seen.all(UDP);
    let (arrived, segments) = check(&seen, packet, 42, TAKEN);
    assert_eq!(segments, 5);
    assert!(arrived.len() < 5, "{}", describe(packet));
    Ok(())
}

#[test]
fn follows_datagrams_that_are_merged_to_a_list() -> Result<()> {
    let seen = seen("list")?;
    let [packet] = seen.all(LISTED);
    assert_story(packet, ["red ip_output -"]);
    let datagrams = seen.children(packet);
    assert_eq!(datagrams.len(), 5, "{}", seen.describe(LISTED));
    let arrive = "red net_dev_start_xmit veth0 [segment]\nmiddle napi_gro_receive_entry left\n";
    let (mut merged, mut absorbed) = (0, 0);
    for datagram in &datagrams {
        let took = seen.absorbed(datagram).len();
        if datagram.iter().any(|event| event.symbol() == "ip_forward") {
            let list = "middle skb_gro_receive_list left [merge]\n".repeat(took);
            let forwarded = "middle netif_receive_skb left
                 middle ip_forward left
                 middle ip_output left
                 middle net_dev_start_xmit right
                 ";
            assert_story(datagram, [arrive, &list, forwarded, ARRIVED, TAKEN]);
            merged += 1;
        } else {
            // In the list, then on its own again.
            assert_story(datagram, [arrive, "middle net_dev_start_xmit right\n", ARRIVED, TAKEN]);
        }
        absorbed += took;
    }
    assert_eq!(merged + absorbed, 5, "{}", seen.describe(LISTED));
    assert!(absorbed > 0, "{}", seen.describe(LISTED));
    Ok(())
}
