// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From one namespace to the next: routers, bridges, VLANs, traffic control, XDP, and who looks on.

use std::collections::BTreeSet;

use anyhow::Result;
use tracer_tests::{Event, Line, Namespace, PacketSocket, Series, Topology, Xdp, run};

use super::{
    ARRIVED, ROUTED, SENT, Scene, Seen, TAKEN, assert_at_side, assert_story, calling, deliver, describe, for_ipv6,
    forms, lines, receive, receiver, seen, side, words,
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

pub(super) fn scenes() -> Result<Vec<Scene>> {
    Ok(vec![
        routed()?,
        watched()?,
        flooded()?,
        vlan_device()?,
        replaced()?,
        vlan_action()?,
        mirred()?,
        xdp(Xdp::Native)?,
        xdp(Xdp::Generic)?,
    ])
}

fn routed() -> Result<Scene> {
    let line = Line::routed("route")?;
    Ok(Scene::new("routed", line, |line| {
        deliver(&line.red, &line.blue, &format!("10.0.2.1:{ROUTED_PORT}"), b"routed")?;
        deliver(&line.red, &line.blue, &format!("[fd00:2::1]:{ROUTED_PORT}"), b"routed")
    }))
}

fn watched() -> Result<Scene> {
    let line = Line::routed("watch")?;
    // Nobody reads them: they hold a clone of every packet.
    let taps = [PacketSocket::open(&line.middle, "left")?, PacketSocket::open(&line.middle, "right")?];
    Ok(Scene::new("watched", (line, taps), |(line, _)| {
        deliver(&line.red, &line.blue, &format!("10.0.2.1:{WATCHED}"), b"watched")
    }))
}

/// A third host, whose `veth0` is joined to a device of another namespace.
fn third_host(name: &str, other: &Namespace, device: &str) -> Result<Namespace> {
    let namespace = Namespace::new(name.to_owned())?;
    namespace.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
    other.configure(&format!("link add {device} type veth peer name veth0 netns {name}\nlink set {device} up\n"))?;
    namespace.configure("link set veth0 address 02:00:00:00:00:03\nlink set lo up\nlink set veth0 up\n")?;
    Ok(namespace)
}

fn flooded() -> Result<Scene> {
    let line = Line::joined("flood")?;
    let green = third_host("flood-green", &line.middle, "third")?;
    line.middle.configure(
        "link add bridge type bridge\nlink set left master bridge\nlink set right master bridge\n\
         link set third master bridge\nlink set bridge up\n",
    )?;
    for (host, number) in [(&line.red, 1), (&line.blue, 2), (&green, 3)] {
        host.configure(&format!("address add 10.0.0.{number}/24 broadcast 10.0.0.255 dev veth0\n"))?;
    }
    Ok(Scene::new("flooded", (line, green), |(line, green)| {
        let address = format!("10.0.0.255:{FLOODED}");
        let receivers = [receiver(&line.blue, &address)?, receiver(green, &address)?];
        let socket = line.red.enter(|| Ok(std::net::UdpSocket::bind("0.0.0.0:0")?))?;
        socket.set_broadcast(true)?;
        socket.send_to(b"flooded", &address)?;
        receivers.iter().try_for_each(|receiver| receive(receiver, b"flooded"))
    }))
}

fn vlan_device() -> Result<Scene> {
    let topology = Topology::new()?;
    for namespace in [&topology.red, &topology.blue] {
        namespace.run("ethtool", ["-K", "veth0", "txvlan", "off", "rxvlan", "off"])?;
    }
    Ok(Scene::new("VLAN device", topology, |topology| {
        deliver(&topology.red, &topology.blue, &format!("10.0.100.2:{VLAN_DEVICE}"), b"tagged")
    }))
}

/// A VLAN again, and somebody who has a clone of the packet when its tag is taken out: the packet gets a head of its own.
fn replaced() -> Result<Scene> {
    let topology = Topology::new()?;
    for namespace in [&topology.red, &topology.blue] {
        namespace.run("ethtool", ["-K", "veth0", "txvlan", "off", "rxvlan", "off"])?;
    }
    let taps = [PacketSocket::open(&topology.red, "veth0")?, PacketSocket::open(&topology.blue, "veth0")?];
    Ok(Scene::new("replaced", (topology, taps), |(topology, _)| {
        calling("pskb_expand_head", || {
            deliver(&topology.red, &topology.blue, &format!("10.0.100.2:{REPLACED}"), b"tagged")
        })
    }))
}

fn vlan_action() -> Result<Scene> {
    run("modprobe", ["-a", "sch_ingress", "cls_matchall", "cls_flower", "act_vlan", "act_mirred"])?;
    let topology = Topology::ipv4_only()?;
    for (namespace, hook, action) in [(&topology.red, "egress", "push id 7"), (&topology.blue, "ingress", "pop")] {
        namespace.run("ethtool", ["-K", "veth0", "txvlan", "off", "rxvlan", "off"])?;
        namespace.shape(&format!(
            "qdisc add dev veth0 clsact\nfilter add dev veth0 {hook} matchall action vlan {action}\n"
        ))?;
    }
    Ok(Scene::new("VLAN action", topology, |topology| {
        deliver(&topology.red, &topology.blue, &format!("10.0.0.2:{VLAN_ACTION}"), b"tagged")
    }))
}

/// Without a bridge or a router: traffic control takes packets from one device to the next.
fn mirred() -> Result<Scene> {
    let line = Line::joined("mirred")?;
    let green = third_host("mirred-green", &line.middle, "third")?;
    green.configure("address add 10.0.0.3/24 dev veth0\n")?;
    for (host, own, other) in [(&line.red, 1, 2), (&line.blue, 2, 1)] {
        host.configure(&format!(
            "address add 10.0.0.{own}/24 dev veth0\n\
             neighbour add 10.0.0.{other} lladdr 02:00:00:00:00:0{other} dev veth0 nud permanent\n"
        ))?;
    }
    line.middle.shape(
        &format!(
            "qdisc add dev left clsact\n\
         filter add dev left ingress protocol ip flower ip_proto udp dst_port {REDIRECTED} \
             action mirred egress redirect dev right\n\
         filter add dev left ingress protocol ip flower ip_proto udp dst_port {MIRRORED} \
             action mirred egress mirror dev third action mirred egress redirect dev right\n"
        )
        .replace("             ", ""),
    )?;
    Ok(Scene::new("mirred", (line, green), |(line, _)| {
        deliver(&line.red, &line.blue, &format!("10.0.0.2:{REDIRECTED}"), b"redirected")?;
        deliver(&line.red, &line.blue, &format!("10.0.0.2:{MIRRORED}"), b"mirrored")
    }))
}

fn xdp(mode: Xdp) -> Result<Scene> {
    let (name, port) = match mode {
        Xdp::Native => ("native XDP", NATIVE_XDP),
        Xdp::Generic => ("generic XDP", GENERIC_XDP),
    };
    let line = Line::routed(if mode == Xdp::Native { "native" } else { "generic" })?;
    mode.pass(&line.middle, "left")?;
    mode.pass(&line.blue, "veth0")?;
    Ok(Scene::new(name, line, move |line| {
        deliver(&line.red, &line.blue, &format!("10.0.2.1:{port}"), b"passed by XDP")
    }))
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
