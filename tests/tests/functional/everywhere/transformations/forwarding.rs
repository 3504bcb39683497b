// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From one namespace to the next: routers, bridges, VLANs, traffic control, XDP, and who looks on.

use std::collections::BTreeSet;

use anyhow::Result;
use tracer_tests::{Event, Line, PacketSocket, Series, Topology, Xdp, run};

use super::{
    ARRIVED, Places, ROUTED, SENT, Scene, Seen, TAKEN, assert_at_side, assert_story, calling, deliver, describe,
    for_ipv6, forms, lines, receive, receiver, seen, side, words,
};

const ROUTED_PORT: u16 = 7000;
const WATCHED: u16 = 7001;
const FLOODED: u16 = 7002;
const VLAN_DEVICE: u16 = 7003;
const VLAN_ACTION: u16 = 7004;
const REDIRECTED: u16 = 7005;
const MIRRORED: u16 = 7006;
const NATIVE_XDP: u16 = 7007;
const GENERIC_XDP: u16 = 7008;
const REPLACED: u16 = 7009;

pub(super) const SCENES: [Scene; 9] = [
    Scene { name: "routed", prepare: |_| Ok(()), play: routed },
    Scene { name: "watched", prepare: |_| Ok(()), play: watched },
    Scene { name: "flooded", prepare: |_| Ok(()), play: flooded },
    Scene { name: "VLAN device", prepare: |_| Ok(()), play: vlan_device },
    Scene { name: "replaced", prepare: |_| Ok(()), play: replaced },
    Scene { name: "VLAN action", prepare: prepare_vlan_action, play: vlan_action },
    Scene { name: "mirred", prepare: prepare_mirred, play: mirred },
    Scene { name: "native XDP", prepare: |_| Ok(()), play: |places| xdp(places, Xdp::Native, NATIVE_XDP) },
    Scene { name: "generic XDP", prepare: |_| Ok(()), play: |places| xdp(places, Xdp::Generic, GENERIC_XDP) },
];

fn routed(places: &Places) -> Result<()> {
    let Line { red, blue, .. } = &places.routed;
    deliver(red, blue, &format!("10.0.2.1:{ROUTED_PORT}"), b"routed")?;
    deliver(red, blue, &format!("[fd00:2::1]:{ROUTED_PORT}"), b"routed")
}

fn watched(places: &Places) -> Result<()> {
    let Line { red, middle, blue } = &places.routed;
    // Nobody reads them: they hold a clone of every packet.
    let _taps = [PacketSocket::open(middle, "left")?, PacketSocket::open(middle, "right")?];
    deliver(red, blue, &format!("10.0.2.1:{WATCHED}"), b"watched")
}

fn flooded(places: &Places) -> Result<()> {
    let address = format!("10.0.0.255:{FLOODED}");
    let receivers = [receiver(&places.bridged.blue, &address)?, receiver(&places.green, &address)?];
    let socket = places.bridged.red.enter(|| Ok(std::net::UdpSocket::bind("0.0.0.0:0")?))?;
    socket.set_broadcast(true)?;
    socket.send_to(b"flooded", &address)?;
    receivers.iter().try_for_each(|receiver| receive(receiver, b"flooded"))
}

fn vlan_device(places: &Places) -> Result<()> {
    deliver(&places.pair.red, &places.pair.blue, &format!("10.0.100.2:{VLAN_DEVICE}"), b"tagged")
}

/// A VLAN again, and somebody who has a clone of the packet when its tag is taken out: the packet gets a head of its own.
fn replaced(places: &Places) -> Result<()> {
    let Topology { red, blue } = &places.pair;
    let _taps = [PacketSocket::open(red, "veth0")?, PacketSocket::open(blue, "veth0")?];
    calling(&["pskb_expand_head"], || deliver(red, blue, &format!("10.0.100.2:{REPLACED}"), b"tagged"))
}

fn prepare_vlan_action(places: &Places) -> Result<()> {
    run("modprobe", ["-a", "sch_ingress", "cls_flower", "act_vlan"])?;
    places.pair.red.shape(&format!(
        "qdisc add dev veth0 clsact\n\
         filter add dev veth0 egress protocol ip flower ip_proto udp dst_port {VLAN_ACTION} action vlan push id 7\n"
    ))?;
    places.pair.blue.shape(
        "qdisc add dev veth0 clsact\n\
         filter add dev veth0 ingress protocol 802.1q flower vlan_id 7 action vlan pop\n",
    )
}

fn vlan_action(places: &Places) -> Result<()> {
    deliver(&places.pair.red, &places.pair.blue, &format!("10.0.0.2:{VLAN_ACTION}"), b"tagged")
}

/// In front of the bridge, which does not see these packets: traffic control takes them from one device to the next.
fn prepare_mirred(places: &Places) -> Result<()> {
    run("modprobe", ["-a", "sch_ingress", "cls_flower", "act_mirred"])?;
    let filter = "filter add dev left ingress protocol ip flower ip_proto udp";
    let redirect = "action mirred egress redirect dev right";
    places.bridged.middle.shape(&format!(
        "qdisc add dev left clsact\n\
         {filter} dst_port {REDIRECTED} {redirect}\n\
         {filter} dst_port {MIRRORED} action mirred egress mirror dev third {redirect}\n"
    ))
}

fn mirred(places: &Places) -> Result<()> {
    let Line { red, blue, .. } = &places.bridged;
    deliver(red, blue, &format!("10.0.0.2:{REDIRECTED}"), b"redirected")?;
    deliver(red, blue, &format!("10.0.0.2:{MIRRORED}"), b"mirrored")
}

fn xdp(places: &Places, mode: Xdp, port: u16) -> Result<()> {
    let Line { red, middle, blue } = &places.routed;
    let devices = [(middle, "left"), (blue, "veth0")];
    devices.iter().try_for_each(|(namespace, device)| mode.pass(namespace, device))?;
    deliver(red, blue, &format!("10.0.2.1:{port}"), b"passed by XDP")?;
    devices.iter().try_for_each(|(namespace, device)| mode.remove(namespace, device))
}

#[test]
fn follows_a_packet_through_a_router() -> Result<()> {
    let seen = seen("routed")?;
    let [ipv4, ipv6] = seen.all(ROUTED_PORT);
    assert_story(ipv4, [SENT, ROUTED, ARRIVED, TAKEN]);
    assert_story(ipv6, [&for_ipv6(&[SENT, ROUTED, ARRIVED, TAKEN].concat())]);
    Ok(())
}

#[test]
fn follows_a_packet_and_its_clones() -> Result<()> {
    let seen = seen("watched")?;
    let [packet] = seen.all(WATCHED);
    assert_story(
        packet,
        [
            SENT,
            "middle netif_rx left
             middle netif_receive_skb left
             middle packet_rcv left
             middle ip_rcv left
             middle ip_forward left
             middle ip_output left
             middle packet_rcv right
             middle net_dev_start_xmit right
             ",
            ARRIVED,
            TAKEN,
        ],
    );
    assert_eq!(forms(packet).len(), 1);
    Ok(())
}

#[test]
fn follows_a_packet_that_a_bridge_floods() -> Result<()> {
    let seen = seen("flooded")?;
    let [packet] = seen.all(FLOODED);
    let received = |side: &str| {
        format!(
            "{side} netif_rx veth0
             {side} netif_receive_skb veth0
             {side} ip_rcv veth0
             {side} ip_local_deliver veth0
             {side} udp_rcv veth0"
        )
    };
    // The sender belongs to those who are meant.
    let sent = format!("red ip_mc_output -\n{}\nred net_dev_start_xmit veth0", received("red"));
    assert_at_side(packet, "red", &sent);
    assert_at_side(packet, "blue", &received("blue"));
    assert_at_side(packet, "green", &received("green"));
    let at_bridge: BTreeSet<String> =
        packet.iter().filter(|event| side(event) == "middle").map(|event| words(event)).collect();
    let expected = [
        "middle ip_rcv bridge",
        "middle net_dev_start_xmit right",
        "middle net_dev_start_xmit third",
        "middle netif_receive_skb bridge",
        "middle netif_receive_skb left",
        "middle netif_rx left",
    ];
    assert_eq!(at_bridge.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{}", describe(packet));
    assert_eq!(forms(packet).len(), 1);
    Ok(())
}

#[test]
fn follows_a_packet_whose_tag_a_vlan_device_adds_and_removes() -> Result<()> {
    let seen = seen("VLAN device")?;
    let [packet] = seen.all(VLAN_DEVICE);
    assert_story(
        packet,
        ["red ip_output -
          red net_dev_start_xmit vlan100
          red net_dev_start_xmit veth0
          blue netif_rx veth0
          blue netif_receive_skb veth0
          blue ip_rcv vlan100
          blue ip_local_deliver vlan100
          blue udp_rcv vlan100"],
    );
    assert_eq!(tagged(packet), [false, false, true, true, true, false, false, false]);
    Ok(())
}

#[test]
fn follows_a_packet_whose_head_is_replaced_and_its_clones() -> Result<()> {
    let seen = seen("replaced")?;
    let [packet] = seen.all(REPLACED);
    assert_story(
        packet,
        ["red ip_output -
          red net_dev_start_xmit vlan100
          red packet_rcv veth0
          red net_dev_start_xmit veth0
          blue netif_rx veth0
          blue netif_receive_skb veth0
          blue packet_rcv veth0
          blue ip_rcv vlan100
          blue ip_local_deliver vlan100
          blue udp_rcv vlan100"],
    );
    assert_eq!(forms(packet).len(), 1);
    Ok(())
}

#[test]
fn follows_a_packet_whose_tag_traffic_control_adds_and_removes() -> Result<()> {
    let seen = seen("VLAN action")?;
    let [packet] = seen.all(VLAN_ACTION);
    assert_story(packet, [SENT, ARRIVED, TAKEN]);
    assert_eq!(tagged(packet), [false, true, true, true, false, false, false]);
    Ok(())
}

/// At which events the packet's bytes have a VLAN tag.
fn tagged(packet: &[&Event]) -> Vec<bool> {
    packet.iter().map(|event| event.packet()[12..14] == [0x81, 0]).collect()
}

#[test]
fn follows_a_packet_that_traffic_control_redirects() -> Result<()> {
    let seen = seen("mirred")?;
    let [packet] = seen.all(REDIRECTED);
    assert_story(
        packet,
        [
            SENT,
            "middle netif_rx left
             middle netif_receive_skb left
             middle net_dev_start_xmit right
             ",
            ARRIVED,
            TAKEN,
        ],
    );
    Ok(())
}

#[test]
fn follows_a_packet_that_traffic_control_mirrors_on_both_ways() -> Result<()> {
    let seen = seen("mirred")?;
    let [packet] = seen.all(MIRRORED);
    assert_at_side(packet, "red", SENT);
    assert_at_side(
        packet,
        "middle",
        "middle netif_rx left
         middle netif_receive_skb left
         middle net_dev_start_xmit third
         middle net_dev_start_xmit right",
    );
    // For green it is another one's packet.
    assert_at_side(packet, "green", "green netif_rx veth0\ngreen netif_receive_skb veth0\ngreen ip_rcv veth0");
    assert_at_side(packet, "blue", &[ARRIVED, TAKEN].concat());
    Ok(())
}

/// A packet and its copies, one after the other, each of which is the only one. XDP makes one where it may not write to a packet, or
/// wants room in front of it; when that is depends on the kernel.
fn with_copies(seen: &Seen, packet: &Series<'static>) -> Vec<&'static Event> {
    let mut all = packet.clone();
    let mut last = packet;
    while let [copy] = seen.children(last)[..] {
        assert_eq!(copy[0].link().map(|link| link.kind).as_deref(), Some("copy"));
        all.extend(copy);
        last = copy;
    }
    assert!(seen.children(last).is_empty(), "{}", describe(&all));
    all
}

#[track_caller]
fn assert_passes_xdp(seen: &Seen, packet: &Series<'static>, expected: &[&str]) {
    let all = with_copies(seen, packet);
    let events: Vec<String> = all.iter().map(|event| words(event).replace(" [copy]", "")).collect();
    assert_eq!(events, lines(&expected.concat()), "\n{}", describe(&all));
    assert_eq!(forms(&all).len(), 1, "{}", describe(&all));
}

#[test]
fn follows_a_packet_through_xdp_of_a_driver() -> Result<()> {
    let seen = seen("native XDP")?;
    let [packet] = seen.all(NATIVE_XDP);
    let passed = "
        middle napi_gro_receive_entry left
        middle netif_receive_skb left
        middle ip_forward left
        middle ip_output left
        middle net_dev_start_xmit right
        blue napi_gro_receive_entry veth0
        blue netif_receive_skb veth0
        blue ip_local_deliver veth0
    ";
    assert_passes_xdp(&seen, packet, &[SENT, passed, TAKEN]);
    Ok(())
}

#[test]
fn follows_a_packet_through_generic_xdp() -> Result<()> {
    let seen = seen("generic XDP")?;
    let [packet] = seen.all(GENERIC_XDP);
    assert_passes_xdp(&seen, packet, &[SENT, ROUTED, ARRIVED, TAKEN]);
    Ok(())
}
