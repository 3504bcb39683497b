// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Address translation: the packet changes, and is the same.

use std::net::UdpSocket;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::{Line, Namespace, Series};

use super::{ARRIVED, Places, ROUTED, SENT, Scene, Seen, TAKEN, assert_story, for_ipv6, forms, receiver, seen, side};

const SOURCE: u16 = 7200;
const DESTINATION: u16 = 7201;
const MASQUERADE: u16 = 7202;
const MASQUERADE6: u16 = 7203;
/// The client's port is so much above that of the server.
const CLIENT: u16 = 50;

pub(super) const SCENES: [Scene; 1] = [Scene { name: "nat", prepare, play }];

fn prepare(places: &Places) -> Result<()> {
    let middle = &places.tracked.middle;
    middle.configure("address add 10.0.2.200/24 dev right\n")?;
    middle.filter(&format!(
        "table ip t {{
             chain before {{
                 type nat hook prerouting priority dstnat;
                 udp dport {DESTINATION} dnat to 10.0.2.1:9001;
             }}
             chain behind {{
                 type nat hook postrouting priority srcnat;
                 udp dport {SOURCE} snat to 10.0.2.200:9000;
                 udp dport {MASQUERADE} masquerade to :9002;
             }}
         }}
         table ip6 t {{
             chain behind {{
                 type nat hook postrouting priority srcnat;
                 udp dport {MASQUERADE6} masquerade to :9003;
             }}
         }}"
    ))
}

fn play(places: &Places) -> Result<()> {
    let line = &places.tracked;
    exchange(line, &format!("10.0.2.1:{SOURCE}"), &format!("10.0.2.1:{SOURCE}"))?;
    exchange(line, &format!("10.0.1.254:{DESTINATION}"), "10.0.2.1:9001")?;
    exchange(line, &format!("10.0.2.1:{MASQUERADE}"), &format!("10.0.2.1:{MASQUERADE}"))?;
    exchange(line, &format!("[fd00:2::1]:{MASQUERADE6}"), &format!("[fd00:2::1]:{MASQUERADE6}"))
}

/// A datagram to an address, which arrives at another one, and its answer. The client's port is one that is recorded, and so is the
/// answer.
fn exchange(line: &Line, to: &str, arrives_at: &str) -> Result<()> {
    let server = receiver(&line.blue, arrives_at)?;
    let client = client(&line.red, to)?;
    let mut buffer = [0; 100];
    client.send(b"question")?;
    let (length, from) = server.recv_from(&mut buffer).context("no question comes")?;
    ensure!(buffer[..length] == *b"question");
    server.send_to(b"answer", from)?;
    let length = client.recv(&mut buffer).context("no answer comes")?;
    ensure!(buffer[..length] == *b"answer");
    Ok(())
}

fn client(namespace: &Namespace, to: &str) -> Result<UdpSocket> {
    let (address, port) = to.rsplit_once(':').context("an address has a port")?;
    let port = port.parse::<u16>()? + CLIENT;
    let any = if address.starts_with('[') { "[::]" } else { "0.0.0.0" };
    let socket = receiver(namespace, &format!("{any}:{port}"))?;
    socket.connect(to)?;
    Ok(socket)
}

/// The datagram and its answer.
fn exchanged(seen: &Seen, port: u16) -> [&Series<'static>; 2] {
    let [question] = seen.all(port);
    let client = port + CLIENT;
    let is_answer = |series: &&Series<'static>| {
        side(series[0]) == "blue" && forms(series).iter().any(|flow| flow.ends_with(&format!(":{client}")))
    };
    let answers: Vec<_> = seen.0.values().filter(is_answer).collect();
    let [answer] = answers[..] else { panic!("{}", seen.describe(client)) };
    [question, answer]
}

const ANSWERED: &str = "
    blue ip_output -
    blue net_dev_start_xmit veth0
    middle netif_rx right
    middle netif_receive_skb right
    middle ip_rcv right
    middle ip_forward right
    middle ip_output right
    middle net_dev_start_xmit left
    red netif_rx veth0
    red netif_receive_skb veth0
    red ip_rcv veth0
    red ip_local_deliver veth0
    red udp_rcv veth0
";

fn check(port: u16, question_forms: [&str; 2], answer_forms: [&str; 2]) -> Result<()> {
    let seen = seen("nat")?;
    let [question, answer] = exchanged(&seen, port);
    let words = if question_forms[0].starts_with("udp6") { for_ipv6 } else { str::to_owned as fn(&str) -> String };
    assert_story(question, [&words(&[SENT, ROUTED, ARRIVED, TAKEN].concat())]);
    assert_story(answer, [&words(ANSWERED)]);
    assert_eq!(forms(question), question_forms);
    assert_eq!(forms(answer), answer_forms);
    Ok(())
}

#[test]
fn follows_a_packet_whose_source_is_translated() -> Result<()> {
    check(
        SOURCE,
        ["udp4 10.0.1.1:7250 > 10.0.2.1:7200", "udp4 10.0.2.200:9000 > 10.0.2.1:7200"],
        ["udp4 10.0.2.1:7200 > 10.0.2.200:9000", "udp4 10.0.2.1:7200 > 10.0.1.1:7250"],
    )
}

#[test]
fn follows_a_packet_whose_destination_is_translated() -> Result<()> {
    check(
        DESTINATION,
        ["udp4 10.0.1.1:7251 > 10.0.1.254:7201", "udp4 10.0.1.1:7251 > 10.0.2.1:9001"],
        ["udp4 10.0.2.1:9001 > 10.0.1.1:7251", "udp4 10.0.1.254:7201 > 10.0.1.1:7251"],
    )
}

#[test]
fn follows_a_packet_that_is_masqueraded() -> Result<()> {
    check(
        MASQUERADE,
        ["udp4 10.0.1.1:7252 > 10.0.2.1:7202", "udp4 10.0.2.254:9002 > 10.0.2.1:7202"],
        ["udp4 10.0.2.1:7202 > 10.0.2.254:9002", "udp4 10.0.2.1:7202 > 10.0.1.1:7252"],
    )
}

#[test]
fn follows_a_packet_of_ipv6_that_is_masqueraded() -> Result<()> {
    check(
        MASQUERADE6,
        ["udp6 fd00:1::1:7253 > fd00:2::1:7203", "udp6 fd00:2::fe:9003 > fd00:2::1:7203"],
        ["udp6 fd00:2::1:7203 > fd00:2::fe:9003", "udp6 fd00:2::1:7203 > fd00:1::1:7253"],
    )
}
