// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What TCP sends again is another packet, though it may be in the same buffer.

use std::io::{Read as _, Write as _};

use anyhow::{Result, ensure};
use tracer_tests::{Event, Line, Series, Snmp, until};

use super::{ARRIVED, Places, ROUTED, SENT, Scene, Seen, assert_story, connect, forms, seen};

const LOST: u16 = 7500;
const KEPT: u16 = 7501;
const TWICE: u16 = 7502;
const NEAR: u16 = 7503;

const PAYLOAD: [u8; 1000] = [b'x'; 1000];

pub(super) const SCENES: [Scene; 1] = [Scene { name: "again", prepare, play }];

/// Each segment with data to a port is lost when it comes for the first time, or also the second time; and so is each acknowledgement from
/// another port.
fn prepare(places: &Places) -> Result<()> {
    places.routed.middle.filter(&format!(
        "table ip again {{
             set segments {{ typeof tcp sequence; flags dynamic; size 1000; }}
             set once {{ typeof tcp sequence; flags dynamic; size 1000; }}
             set twice {{ typeof tcp sequence; flags dynamic; size 1000; }}
             set acknowledged {{ typeof tcp ackseq; flags dynamic; size 1000; }}
             chain c {{
                 type filter hook forward priority 0;
                 tcp dport {LOST} ip length > 100 tcp sequence != @segments add @segments {{ tcp sequence }} drop
                 tcp dport {TWICE} ip length > 100 tcp sequence != @once add @once {{ tcp sequence }} drop
                 tcp dport {TWICE} ip length > 100 tcp sequence != @twice add @twice {{ tcp sequence }} drop
                 tcp sport {KEPT} tcp flags == ack tcp ackseq != @acknowledged add @acknowledged {{ tcp ackseq }} drop
             }}
             chain o {{
                 type filter hook output priority 0;
                 tcp sport {NEAR} tcp flags == ack tcp ackseq != @acknowledged add @acknowledged {{ tcp ackseq }} drop
             }}
         }}"
    ))
}

fn play(places: &Places) -> Result<()> {
    let Line { red, blue, middle } = &places.routed;
    for port in [LOST, KEPT, TWICE, NEAR] {
        let (to, address) = if port == NEAR { (middle, "10.0.1.254") } else { (blue, "10.0.2.1") };
        let (mut client, mut server) = connect(red, to, &format!("{address}:{port}"))?;
        let before = Snmp::read(red)?.get("TcpRetransSegs");
        client.write_all(&PAYLOAD)?;
        // Nobody reads before: the receiver has the buffer, too.
        until("TCP sends again", || Ok(Snmp::read(red)?.get("TcpRetransSegs") > before))?;
        let mut received = [0; PAYLOAD.len()];
        server.read_exact(&mut received)?;
        ensure!(received == PAYLOAD);
    }
    Ok(())
}

const TCP_TAKEN: &str = "
    blue tcp_v4_rcv veth0
";

/// The packets with data: the first one, and the second that it led to.
fn data(seen: &Seen, port: u16) -> [&Series<'static>; 2] {
    let is_data = |series: &&&Series<'static>| series[0].get("/packet/len").as_u64() == Some(1066);
    let sent = seen.sent_to(port);
    let data: Vec<_> = sent.iter().filter(is_data).collect();
    let [first] = data[..] else { panic!("{}", seen.describe(port)) };
    let [second] = seen.children(first)[..] else { panic!("{}", seen.describe(port)) };
    [first, second]
}

fn sent_again() -> String {
    SENT.replacen("ip_output -", "ip_output - [retransmission]", 1)
}

fn assert_second(second: &[&Event]) {
    assert_story(second, [&sent_again(), ROUTED, ARRIVED, TCP_TAKEN]);
}

#[test]
fn what_tcp_sends_again_in_the_same_buffer_is_another_packet() -> Result<()> {
    let seen = seen("again")?;
    let [first, second] = data(&seen, LOST);
    assert_story(
        first,
        [
            SENT,
            "middle netif_rx left
             middle netif_receive_skb left
             middle ip_rcv left
             middle ip_forward left",
        ],
    );
    assert_second(second);
    assert_eq!(forms(first), forms(second));
    Ok(())
}

#[test]
fn what_tcp_sends_again_while_the_receiver_has_the_buffer_is_another_packet() -> Result<()> {
    let seen = seen("again")?;
    let [first, second] = data(&seen, KEPT);
    assert_story(first, [SENT, ROUTED, ARRIVED, TCP_TAKEN]);
    assert_second(second);
    assert_eq!(forms(first), forms(second));
    Ok(())
}

/// The first time TCP probes for the loss, the second time its timer has run out: that is another function of the kernel.
#[test]
fn what_tcp_sends_a_third_time_is_a_third_packet() -> Result<()> {
    let seen = seen("again")?;
    let [_, second] = data(&seen, TWICE);
    let [third] = seen.children(second)[..] else { panic!("{}", seen.describe(TWICE)) };
    assert_second(third);
    Ok(())
}

/// Nobody on the way takes a buffer of its own: the receiver has the sender's.
#[test]
fn what_tcp_sends_again_is_another_packet_though_the_receiver_has_the_senders_buffer() -> Result<()> {
    let seen = seen("again")?;
    let [first, second] = data(&seen, NEAR);
    let arrived = [ARRIVED, TCP_TAKEN].concat().replace("blue", "middle").replace("veth0", "left");
    assert_story(first, [SENT, &arrived]);
    assert_story(second, [&sent_again(), &arrived]);
    Ok(())
}
