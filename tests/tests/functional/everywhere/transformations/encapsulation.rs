// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets in packets, and encrypted ones.

use anyhow::Result;
use tracer_tests::run;

use super::{ARRIVED, Places, SENT, Scene, TAKEN, assert_story, deliver, describe, for_ipv6, forms, seen};

const VXLAN: u16 = 7300;
const GENEVE: u16 = 7301;
const GRE: u16 = 7302;
const IPIP: u16 = 7303;
const IP6GRE: u16 = 7304;
const IPSEC: u16 = 7305;

/// The protocol's number in IPv4.
const ESP: u8 = 50;

/// Devices on both sides, for which `OWN` and `OTHER` stand for the ends of addresses.
const TUNNELS: [(u16, &str); 5] = [
    (VXLAN, "vxlan id 1 local 10.0.0.OWN remote 10.0.0.OTHER dstport 4789"),
    (GENEVE, "geneve id 1 remote 10.0.0.OTHER dstport 6081"),
    (GRE, "gre local 10.0.0.OWN remote 10.0.0.OTHER"),
    (IPIP, "ipip local 10.0.0.OWN remote 10.0.0.OTHER"),
    (IP6GRE, "ip6gre local fd00::OWN remote fd00::OTHER"),
];

pub(super) const SCENES: [Scene; 2] = [
    Scene { name: "tunnels", prepare: prepare_tunnels, play: tunnels },
    Scene { name: "IPsec", prepare: prepare_ipsec, play: ipsec },
];

fn prepare_tunnels(places: &Places) -> Result<()> {
    run("modprobe", ["-a", "vxlan", "geneve", "ip_gre", "ipip", "ip6_gre"])?;
    for (namespace, own, other) in [(&places.pair.red, "1", "2"), (&places.pair.blue, "2", "1")] {
        for (port, tunnel) in TUNNELS {
            let tunnel = tunnel.replace("OWN", own).replace("OTHER", other);
            let number = port - VXLAN;
            namespace.configure(&format!(
                "link add t{number} type {tunnel}\nlink set t{number} up\naddress add 10.1.{number}.{own}/24 dev t{number}\n"
            ))?;
            // Those with Ethernet inside.
            if port <= GENEVE {
                namespace.configure(&format!(
                    "link set t{number} address 02:00:00:00:01:0{own}\n\
                     neighbour add 10.1.{number}.{other} lladdr 02:00:00:00:01:0{other} dev t{number} nud permanent\n"
                ))?;
            }
        }
    }
    Ok(())
}

fn tunnels(places: &Places) -> Result<()> {
    TUNNELS.iter().enumerate().try_for_each(|(number, (port, _))| {
        deliver(&places.pair.red, &places.pair.blue, &format!("10.1.{number}.2:{port}"), b"inside a tunnel")
    })
}

fn prepare_ipsec(places: &Places) -> Result<()> {
    run("modprobe", ["-a", "esp4", "xfrm_user"])?;
    let mut states = String::new();
    for (from, to) in [(1, 2), (2, 1)] {
        states += &format!(
            "xfrm state add src 10.0.0.{from} dst 10.0.0.{to} proto esp spi 0x{from} mode transport \
             aead rfc4106(gcm(aes)) 0x000102030405060708090a0b0c0d0e0f10111213 128\n"
        );
    }
    for (namespace, own, other) in [(&places.pair.red, 1, 2), (&places.pair.blue, 2, 1)] {
        let mut policies = String::new();
        for (from, to, direction) in [(own, other, "out"), (other, own, "in")] {
            policies += &format!(
                "xfrm policy add src 10.0.0.{from} dst 10.0.0.{to} proto udp dport {IPSEC} dir {direction} \
                 tmpl src 10.0.0.{from} dst 10.0.0.{to} proto esp mode transport\n"
            );
        }
        namespace.configure(&(states.clone() + &policies))?;
    }
    Ok(())
}

fn ipsec(places: &Places) -> Result<()> {
    deliver(&places.pair.red, &places.pair.blue, &format!("10.0.0.2:{IPSEC}"), b"for blue only")
}

/// Checks the way of a packet through tunnel `number`: what is seen of it outside, between the tunnel's devices, and what it is inside.
fn check(port: u16, outside: &str, outer_form: Option<&str>) -> Result<()> {
    let seen = seen("tunnels")?;
    let [packet] = seen.all(port);
    let number = port - VXLAN;
    let sent = format!("red ip_output -\nred net_dev_start_xmit t{number}\n");
    let arrived = format!(
        "blue napi_gro_receive_entry t{number}
         blue netif_receive_skb t{number}
         blue ip_local_deliver t{number}
         blue udp_rcv t{number}"
    );
    assert_story(packet, [&sent, &outside.replace('#', &number.to_string()), &arrived]);
    let inner = forms(packet)[0].clone();
    let expected: Vec<String> = match outer_form {
        // Its source port is whatever the tunnel takes.
        Some(port) => {
            let outer = forms(packet)[1].clone();
            assert!(outer.ends_with(port), "{outer}");
            vec![inner.clone(), outer, inner]
        }
        None => vec![inner],
    };
    assert_eq!(forms(packet), expected);
    Ok(())
}

const OVER_UDP: &str = "
    red ip_output t#
    red net_dev_start_xmit veth0
    blue netif_rx veth0
    blue netif_receive_skb veth0
    blue ip_rcv veth0
    blue ip_local_deliver veth0
    blue udp_rcv veth0
";

const OVER_IP: &str = "
    red ip_output t#
    red net_dev_start_xmit veth0
    blue netif_rx veth0
    blue netif_receive_skb veth0
    blue ip_rcv veth0
    blue ip_local_deliver veth0
";

#[test]
fn follows_a_packet_into_vxlan_and_out_of_it() -> Result<()> {
    check(VXLAN, OVER_UDP, Some(":4789"))
}

#[test]
fn follows_a_packet_into_geneve_and_out_of_it() -> Result<()> {
    check(GENEVE, OVER_UDP, Some(":6081"))
}

#[test]
fn follows_a_packet_into_gre_and_out_of_it() -> Result<()> {
    check(GRE, OVER_IP, None)
}

#[test]
fn follows_a_packet_into_ipip_and_out_of_it() -> Result<()> {
    check(IPIP, OVER_IP, None)
}

#[test]
fn follows_a_packet_into_gre_over_ipv6_and_out_of_it() -> Result<()> {
    check(IP6GRE, &for_ipv6(OVER_IP), None)
}

#[test]
fn follows_a_packet_that_is_encrypted_and_decrypted() -> Result<()> {
    let seen = seen("IPsec")?;
    let [packet] = seen.all(IPSEC);
    // Encrypted it comes in, decrypted it is handed in once more.
    assert_story(packet, ["red xfrm4_output -\n", SENT, ARRIVED, "blue ip_local_deliver veth0\n", TAKEN]);
    // What is in between can't be read.
    assert_eq!(packet[2].packet()[23], ESP, "{}", describe(packet));
    let inside = forms(packet);
    assert!(!inside.is_empty() && inside.iter().all(|form| form.ends_with(&format!(":{IPSEC}"))), "{inside:?}");
    // Decrypted it can be, although the Ethernet header stands in front of what was encrypted.
    assert!(packet[packet.len() - 2..].iter().all(|event| event.flow().is_some()), "{}", describe(packet));
    Ok(())
}
