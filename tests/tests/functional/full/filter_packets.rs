// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same text takes the same packets here and in tcpdump, at the same place: where the kernel hands packets to packet sockets.
//! There a device's packets come by as they arrive, a VLAN tag beside them, and as they leave, with a tag wherever it was put.
//!
//! Cost: one topology; ten sessions and ten tcpdumps at a time, four times; 2 s a text.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tracer_tests::{Event, Frame, PacketSocket, Recording, Tcpdump, Topology, Tracer, note, until};

const TEXTS: [&str; 40] = [
    "ip",
    "ip6",
    "arp",
    "tcp",
    "udp",
    "icmp or icmp6",
    "vlan",
    "vlan 100",
    "not vlan",
    "vlan and ip",
    "vlan and vlan",
    "vlan 100 and icmp and ip[8] = 64",
    "udp and not vlan",
    "tcp port 7000",
    "tcp src portrange 1-7999",
    "udp dst port 4789",
    "host 10.0.0.1 and udp",
    "src net 10.0.0.0/16 and not tcp",
    "ip6 net fd00::/16",
    "host fd00::2 and ip6[6] = 6 and ip6[53] & 8 != 0",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x71717171",
    "udp[8:4] = 0x01010101",
    "udp port 4789 and udp[8] & 8 != 0",
    "ip[6:2] & 0x1fff != 0",
    "ip[6:2] & 0x2000 != 0",
    "ip6 proto 44 or ip6 protochain 17",
    "ip6 protochain 58",
    "ip proto 47",
    "proto 50 or proto 51",
    "len > 1514",
    "greater 100 and less 200",
    "len <= 33",
    "ether[len - 1] = 0",
    "ether[100:4] != 0 and ip",
    "ether host 02:00:00:00:00:01",
    "ether multicast and not broadcast",
    "ether broadcast or ip multicast",
    "mpls",
    "ether proto 0x88cc or stp or llc",
];

/// Texts that are tried at a time. The kernel lets 38 programs sit at a function, and a session has two where packets end.
const BATCH: usize = 10;

/// Bytes by which packets are compared; both sides record more.
const COMPARED: usize = 200;

/// How often each packet was seen.
type Packets = BTreeMap<Frame, usize>;

/// The frames that are put on the wire as they are: what the text of packets is tested with, also cut short, and with tags.
fn frames() -> Result<Vec<Vec<u8>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../collectors/tests/packets");
    let mut files: Vec<_> = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "pcap"));
    files.sort();
    let mut frames = Vec::new();
    for file in &files {
        frames.extend(Frame::read(file)?.into_iter().map(|frame| frame.data));
    }
    for (number, frame) in frames.clone().into_iter().enumerate() {
        match number % 8 {
            // The kernel throws away what ends inside a tag before anybody sees it.
            0 => {
                let least = if matches!(frame[12..14], [0x81, 0x00] | [0x88, 0xa8]) { 20 } else { 15 };
                frames.push(frame[..frame.len().min(least + number % 40)].to_vec());
            }
            1 => frames.push([&frame[..12], &[0x81, 0x00, 0x00, 0x64], &frame[12..]].concat()),
            2 => frames.push([&frame[..12], &[0x88, 0xa8, 0x00, 0xc8, 0x81, 0x00, 0x20, 0x64], &frame[12..]].concat()),
            _ => {}
        }
    }
    Ok(frames)
}

/// What the two sides say to each other, until all of it has arrived.
fn talk(topology: &Topology) -> Result<()> {
    topology.red.ping("10.0.0.2", 5)?;
    topology.blue.ping("fd00::1", 5)?;
    topology.red.ping("10.0.100.2", 5)?;
    for (red, blue) in [("10.0.0.1:7001", "10.0.0.2:7000"), ("[fd00::1]:7001", "[fd00::2]:7000")] {
        let (red, blue) =
            (topology.red.enter(|| Ok(UdpSocket::bind(red)?))?, topology.blue.enter(|| Ok(UdpSocket::bind(blue)?))?);
        let mut buffer = vec![0; 30_000];
        // The larger ones are sent in fragments.
        for size in [4, 100, 1400, 20_000] {
            red.send_to(&vec![1; size], blue.local_addr()?)?;
            ensure!(blue.recv(&mut buffer)? == size);
            blue.send_to(&vec![2; size], red.local_addr()?)?;
            ensure!(red.recv(&mut buffer)? == size);
        }
    }
    for address in ["10.0.0.2:7000", "[fd00::2]:7000", "10.0.100.2:7000"] {
        let listener = topology.blue.enter(|| Ok(TcpListener::bind(address)?))?;
        let mut client = topology.red.enter(|| Ok(TcpStream::connect(listener.local_addr()?)?))?;
        let mut server = listener.accept()?.0;
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| -> Result<()> {
                client.write_all(&[b'q'; 150_000])?;
                Ok(client.shutdown(Shutdown::Write)?)
            });
            let mut received = Vec::new();
            server.read_to_end(&mut received)?;
            ensure!(received.len() == 150_000, "TCP did not deliver");
            sender.join().expect("the sender does not panic")
        })?;
        server.write_all(&[b'a'; 3000])?;
        server.shutdown(Shutdown::Write)?;
        let mut received = Vec::new();
        client.read_to_end(&mut received)?;
        ensure!(received.len() == 3000, "TCP did not deliver");
    }
    // The last segment of a connection is nobody's answer; when it has come, blue's side forgets the connection.
    until("every connection has ended", || {
        topology.blue.enter(|| {
            let sockets = ["tcp", "tcp6"].map(|name| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")));
            Ok(sockets.into_iter().collect::<Result<Vec<_>, _>>()?.iter().all(|list| list.lines().count() == 1))
        })
    })
}

/// Puts the frames on the wire, from both sides. Nobody answers: they are thrown away behind the packet sockets.
fn inject(topology: &Topology, tap: &PacketSocket, frames: &[Vec<u8>]) -> Result<()> {
    let deaf =
        "table netdev deaf { chain everything { type filter hook ingress device veth0 priority 0; policy drop; }; }";
    let sides = [&topology.red, &topology.blue];
    for side in sides {
        side.run("nft", [deaf])?;
    }
    tap.drain()?;
    for side in sides {
        let socket = PacketSocket::open(side, "veth0")?;
        for frame in frames {
            socket.send(frame)?;
            // One by one: nothing has to wait.
            tap.receive().with_context(|| format!("{} bytes: {:02x?}", frame.len(), &frame[..frame.len().min(40)]))?;
        }
    }
    for side in sides {
        side.run("nft", ["delete", "table", "netdev", "deaf"])?;
    }
    Ok(())
}

/// The packet of an event, as tcpdump would write it: with the tag that was beside it.
fn frame(event: &Event) -> Result<Frame> {
    let mut data = event.packet();
    let mut length = event.get("/packet/len").as_u64().context("an event without a packet")? as usize;
    let tag = event.get("/skb/vlan_accel");
    if !tag.is_null() {
        let number = |name: &str| tag[name].as_u64().with_context(|| format!("no {name} in {tag}"));
        let dei = u64::from(tag["dei"].as_bool().unwrap_or_default());
        let tci = number("pcp")? << 13 | dei << 12 | number("vid")?;
        let bytes = (number("proto")? << 16 | tci) as u32;
        data.splice(12..12, bytes.to_be_bytes());
        length += 4;
    }
    Ok(Frame { length, data })
}

/// Counts equal packets. Listeners' reports come when the kernel likes.
fn count(frames: impl Iterator<Item = Frame>) -> Packets {
    let mut packets = Packets::new();
    for mut frame in frames {
        let report = frame.data.get(54..64).is_some_and(|bytes| bytes[0] == 58 && bytes[8] == 143)
            && frame.data[..12].starts_with(&[0x33, 0x33, 0, 0, 0, 0x16, 2, 0, 0, 0, 0]);
        frame.data.truncate(COMPARED);
        if !report {
            *packets.entry(frame).or_default() += 1;
        }
    }
    packets
}

/// What is in one and not in the other, in few words.
fn missing(from: &Packets, in_other: &Packets) -> String {
    let missing = from.iter().filter(|(frame, count)| in_other.get(frame).is_none_or(|other| other < count));
    let mut all = missing.map(|(frame, count)| {
        format!("  {count} of {} bytes: {:02x?}", frame.length, &frame.data[..frame.data.len().min(80)])
    });
    let shown: Vec<String> = all.by_ref().take(3).collect();
    format!("{} different packets, of which\n{}", shown.len() + all.count(), shown.join("\n"))
}

#[test]
fn reports_the_packets_that_tcpdump_captures() -> Result<()> {
    let topology = Topology::new()?;
    for side in [&topology.red, &topology.blue] {
        side.run("ip", ["link", "set", "veth0", "mtu", "9000"])?;
    }
    let frames = frames()?;
    let tap = PacketSocket::open(&topology.blue, "veth0")?;
    let directory = TempDir::new()?;
    let mut differences = String::new();
    let (mut sizes, mut nothing) = (Vec::new(), Vec::new());
    for texts in TEXTS.chunks(BATCH) {
        let record = |text: &str| {
            let arguments = ["-c", "skb", "--snaplen", "1024", "-p", "k:packet_rcv", "-f", text];
            Tracer::collect(arguments).start()
        };
        // Two at a time start sooner than one after the other: there are two processors.
        let recordings: Vec<Recording> = std::thread::scope(|scope| {
            let halves: Vec<_> = texts
                .chunks(texts.len().div_ceil(2))
                .map(|half| scope.spawn(move || half.iter().map(|text| record(text)).collect::<Result<Vec<_>>>()))
                .collect();
            let started = halves.into_iter().map(|half| half.join().expect("it does not panic"));
            started.collect::<Result<Vec<_>>>().map(|halves| halves.into_iter().flatten().collect())
        })?;
        let dumps: Vec<Tcpdump> = texts
            .iter()
            .enumerate()
            .map(|(number, text)| {
                Tcpdump::start(&topology.blue, "veth0", text, directory.path().join(format!("{number}.pcap")))
            })
            .collect::<Result<_>>()?;
        talk(&topology)?;
        inject(&topology, &tap, &frames)?;
        for ((text, recording), dump) in texts.iter().zip(recordings).zip(dumps) {
            let expected = count(dump.stop()?.into_iter());
            let recorded = recording.stop(libc::SIGINT)?;
            ensure!(recorded.summary()?.1 == 0, "`{text}`: events were lost:\n{}", recorded.ended.stderr);
            let found = recorded.events()?.hits().map(frame).collect::<Result<Vec<_>>>()?;
            let found = count(found.into_iter());
            sizes.push(expected.values().sum::<usize>());
            if expected.is_empty() {
                nothing.push(*text);
            }
            if found != expected {
                differences += &format!(
                    "`{text}`: tcpdump alone has {}\n  tracer alone has {}\n",
                    missing(&expected, &found),
                    missing(&found, &expected)
                );
            }
        }
    }
    note(format_args!("{} frames and what was said; packets that each text takes: {sizes:?}", frames.len()));
    assert!(differences.is_empty(), "{differences}");
    assert_eq!(nothing, Vec::<&str>::new(), "these match nothing: the test does not test them");
    Ok(())
}
