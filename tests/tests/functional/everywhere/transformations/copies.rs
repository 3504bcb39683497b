// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Copies are packets of their own, which know what they are copies of.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use tracer_tests::{HitCounter, Line, Topology, run, until};

use super::{
    ARRIVED, Places, ROUTED, SENT, Scene, TAKEN, assert_story, calling, deliver, receive, receiver, seen, sender,
};

const DUPLICATED: u16 = 7400;
const UNICAST: u16 = 7401;
const MACSEC: u16 = 7402;
const REDUNDANT: u16 = 7403;

pub(super) const SCENES: [Scene; 4] = [
    Scene { name: "duplicated", prepare: prepare_duplicated, play: duplicated },
    Scene { name: "unicast", prepare: prepare_unicast, play: unicast },
    Scene { name: "MACsec", prepare: prepare_macsec, play: macsec },
    Scene { name: "redundant", prepare: prepare_redundant, play: redundant },
];

/// A rule on a router sends packets twice: `__pskb_copy_fclone`.
fn prepare_duplicated(places: &Places) -> Result<()> {
    run("modprobe", ["nft_dup_ipv4"])?;
    places.routed.middle.filter(&format!(
        "table ip duplicated {{
             chain c {{ type filter hook forward priority 0; udp dport {DUPLICATED} dup to 10.0.2.1; }};
         }}"
    ))
}

fn duplicated(places: &Places) -> Result<()> {
    let address = format!("10.0.2.1:{DUPLICATED}");
    let server = receiver(&places.routed.blue, &address)?;
    calling(&["__pskb_copy_fclone"], || {
        sender(&places.routed.red, &address)?.send(b"twice")?;
        receive(&server, b"twice").context("the first")?;
        receive(&server, b"twice").context("the second")
    })
}

/// A bridge that sends multicasts to each member by its own address: `skb_copy`, on 7.x `__pskb_copy_fclone`.
fn prepare_unicast(places: &Places) -> Result<()> {
    let middle = &places.bridged.middle;
    // It waits for an answer to its own query before it trusts what it knows of members.
    middle.configure(
        "link set bridge type bridge mcast_query_response_interval 1\n\
         link set bridge type bridge mcast_querier 1\n",
    )?;
    middle.run("bridge", ["link", "set", "dev", "right", "mcast_to_unicast", "on"])?;
    for host in [&places.bridged.red, &places.bridged.blue] {
        host.configure("route add 224.0.0.0/4 dev veth0\n")?;
    }
    Ok(())
}

fn unicast(places: &Places) -> Result<()> {
    let Line { red, blue, .. } = &places.bridged;
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let server = receiver(blue, &format!("{group}:{UNICAST}"))?;
    blue.enter(|| Ok(server.join_multicast_v4(&group, &Ipv4Addr::new(10, 0, 0, 2))?))?;
    let copies = HitCounter::new(&["skb_copy", "__pskb_copy_fclone"], &[])?;
    let before = copies.read()?;
    // To a port that is not recorded.
    let unrecorded = sender(red, &format!("{group}:9000"))?;
    until("the bridge sends to the member", || {
        unrecorded.send(b"is anybody there")?;
        Ok(copies.read()? != before)
    })?;
    sender(red, &format!("{group}:{UNICAST}"))?.send(b"to a member")?;
    receive(&server, b"to a member")
}

/// MACsec wants room behind the packet: up to 6.6 `skb_copy_expand`.
fn prepare_macsec(places: &Places) -> Result<()> {
    run("modprobe", ["macsec"])?;
    for (namespace, own, other) in [(&places.pair.red, 1, 2), (&places.pair.blue, 2, 1)] {
        let key = "0102030405060708090a0b0c0d0e0f";
        namespace.configure(&format!(
            "link add link veth0 macsec0 type macsec encrypt on\n\
             macsec add macsec0 tx sa 0 pn 1 on key 0{own} 0{own}{key}\n\
             macsec add macsec0 rx port 1 address 02:00:00:00:00:0{other}\n\
             macsec add macsec0 rx port 1 address 02:00:00:00:00:0{other} sa 0 pn 1 on key 0{other} 0{other}{key}\n\
             link set macsec0 up\n\
             address add 10.0.1.{own}/24 dev macsec0\n\
             neighbour add 10.0.1.{other} lladdr 02:00:00:00:00:0{other} dev macsec0 nud permanent\n"
        ))?;
    }
    Ok(())
}

fn macsec(places: &Places) -> Result<()> {
    deliver(&places.pair.red, &places.pair.blue, &format!("10.0.1.2:{MACSEC}"), b"for blue only")
}

/// PRP sends each packet by two ways, in copies with room for a trailer: `skb_copy_expand`. 6.1 has none.
fn prepare_redundant(places: &Places) -> Result<()> {
    let Some(Topology { red, blue }) = &places.redundant else { return Ok(()) };
    let ends = ["link", "add", "second", "netns", red.name(), "type", "veth", "peer", "name", "second", "netns"];
    run("ip", ends.into_iter().chain([blue.name()]))?;
    for (namespace, own) in [(red, 1), (blue, 2)] {
        namespace.configure(&format!(
            "link set second up\n\
             link add prp type hsr slave1 veth0 slave2 second proto 1\n\
             link set prp up\n\
             address add 10.0.1.{own}/24 dev prp\n"
        ))?;
    }
    Ok(())
}

fn redundant(places: &Places) -> Result<()> {
    let Some(Topology { red, blue }) = &places.redundant else { return Ok(()) };
    calling(&["skb_copy_expand"], || deliver(red, blue, &format!("10.0.1.2:{REDUNDANT}"), b"by two ways"))
}

#[test]
fn a_rule_that_sends_packets_twice_makes_a_copy() -> Result<()> {
    let seen = seen("duplicated")?;
    let [packet] = seen.all(DUPLICATED);
    assert_story(packet, [SENT, ROUTED, ARRIVED, TAKEN]);
    let [copy] = seen.children(packet)[..] else { panic!("{}", seen.describe(DUPLICATED)) };
    assert_story(
        copy,
        [
            "middle ip_output right [copy]
          middle net_dev_start_xmit right
          ",
            ARRIVED,
            TAKEN,
        ],
    );
    Ok(())
}

#[test]
fn a_multicast_to_a_member_of_a_bridge_is_a_copy() -> Result<()> {
    let seen = seen("unicast")?;
    let [packet] = seen.all(UNICAST);
    assert_story(packet, [SENT, "middle netif_rx left\nmiddle netif_receive_skb left"]);
    let [copy] = seen.children(packet)[..] else { panic!("{}", seen.describe(UNICAST)) };
    assert_story(copy, ["middle net_dev_start_xmit right [copy]\n", ARRIVED, TAKEN]);
    Ok(())
}

const ENCRYPTED: &str = "
    blue netif_rx veth0
    blue netif_receive_skb veth0
    blue napi_gro_receive_entry macsec0
    blue netif_receive_skb macsec0
    blue ip_local_deliver macsec0
    blue udp_rcv macsec0
";

#[test]
fn follows_a_packet_through_macsec() -> Result<()> {
    let seen = seen("MACsec")?;
    let [packet] = seen.all(MACSEC);
    let sent = "red ip_output -\nred net_dev_start_xmit macsec0\n";
    let copies = seen.children(packet);
    // Since 6.7 it makes room in the packet itself; before, it copies the packet where there is too little.
    if let [copy] = copies[..]
        && !std::fs::read_to_string("/proc/kallsyms")?.contains(" skb_ensure_writable_head_tail\n")
    {
        assert_story(packet, [sent]);
        assert_story(copy, ["red net_dev_start_xmit veth0 [copy]", ENCRYPTED]);
    } else {
        assert!(copies.is_empty(), "{}", seen.describe(MACSEC));
        assert_story(packet, [sent, "red net_dev_start_xmit veth0", ENCRYPTED]);
    }
    Ok(())
}

#[test]
fn a_packet_that_goes_two_ways_has_two_copies() -> Result<()> {
    if let Err(error) = run("modprobe", ["hsr"]) {
        // Debian's 6.1 has no such device, the others do.
        assert_eq!(std::env::var("TRACER_VM_KERNEL").as_deref(), Ok("6.1"), "{error:#}");
        return Ok(());
    }
    let seen = seen("redundant")?;
    let [packet] = seen.all(REDUNDANT);
    assert_story(packet, ["red ip_output -\nred net_dev_start_xmit prp\n"]);
    let copies = seen.children(packet);
    let mut handed_on = 0;
    for (copy, device) in copies.iter().zip(["veth0", "second"]) {
        assert_story(
            copy,
            [&format!(
                "red net_dev_start_xmit {device} [copy]
                 blue netif_rx {device}
                 blue netif_receive_skb {device}"
            )],
        );
        // PRP keeps what it got and hands a copy on: of what comes first, before 7.x also of what comes second.
        let received = seen.children(copy);
        assert!(received.len() <= 1, "{}", seen.describe(REDUNDANT));
        for packet in &received {
            assert_story(
                packet,
                ["blue netif_rx prp [copy]
                  blue netif_receive_skb prp
                  blue ip_rcv prp
                  blue ip_local_deliver prp
                  blue udp_rcv prp"],
            );
        }
        handed_on += received.len();
    }
    assert!(handed_on >= 1, "{}", seen.describe(REDUNDANT));
    assert_eq!(copies.len(), 2, "{}", seen.describe(REDUNDANT));
    Ok(())
}
