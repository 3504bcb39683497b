// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Datagrams that are too large for a device: taken apart in both of the kernel's ways, and put together again.
//!
//! Where the fragments are there already, one behind the other, as the kernel makes them for a socket or keeps them when a router has put
//! a datagram together, the kernel only gives them headers. Else it makes new ones.

use anyhow::{Context as _, Result};
use tracer_tests::{Event, Line, PacketSocket, Series, run};

use super::{
    ARRIVED, Places, ROUTED, SELDOM, SENT, Scene, Seen, TAKEN, assert_story, deliver, for_ipv6, lines, receive,
    receiver, seen, sender, side,
};

const LISTED: u16 = 7100;
const MADE: u16 = 7101;
const FORWARDED: u16 = 7102;
const NARROWED: u16 = 7103;
const SHARED: u16 = 7104;
const REVERSED: u16 = 7105;

/// Takes three packets of 1,500 bytes.
const LARGE: [u8; 4000] = [b'x'; 4000];

pub(super) const SCENES: [Scene; 3] = [
    Scene { name: "fragments", prepare: |_| Ok(()), play: routed },
    Scene { name: "defragment", prepare: |_| Ok(()), play: tracked },
    Scene { name: "shared", prepare: prepare_shared, play: shared },
];

/// Through a router that looks at each fragment alone.
fn routed(places: &Places) -> Result<()> {
    let Line { red, blue, .. } = &places.routed;
    deliver(red, blue, &format!("10.0.2.1:{LISTED}"), &LARGE)?;
    deliver(red, blue, &format!("[fd00:2::1]:{LISTED}"), &LARGE)?;
    deliver(red, blue, &format!("10.0.2.2:{MADE}"), &LARGE[..1400])?;
    let server = receiver(blue, &format!("10.0.2.1:{REVERSED}"))?;
    let socket = PacketSocket::open(red, "veth0")?;
    fragments(REVERSED).iter().rev().try_for_each(|frame| socket.send(frame))?;
    receive(&server, &LARGE[..PARTS * PART - 8])
}

/// Through a router that puts datagrams together, to look at their ports.
fn tracked(places: &Places) -> Result<()> {
    let Line { red, blue, .. } = &places.tracked;
    deliver(red, blue, &format!("10.0.2.1:{FORWARDED}"), &LARGE)?;
    deliver(red, blue, &format!("[fd00:2::1]:{FORWARDED}"), &LARGE)?;
    deliver(red, blue, &format!("10.0.2.2:{NARROWED}"), &LARGE)
}

/// A rule sends each datagram twice. The fragments behind it are then in use by both, and the kernel makes new ones.
fn prepare_shared(places: &Places) -> Result<()> {
    run("modprobe", ["-a", "nft_dup_ipv4", "nft_dup_ipv6"])?;
    let chain = |to: &str| {
        format!("{{ chain c {{ type filter hook postrouting priority 0; udp dport {SHARED} dup to {to}; }}; }}\n")
    };
    let rules = format!("table ip shared {}table ip6 shared {}", chain("10.0.1.254"), chain("fd00:1::fe"));
    places.routed.red.filter(&rules)
}

fn shared(places: &Places) -> Result<()> {
    for address in ["10.0.2.1", "[fd00:2::1]"] {
        let address = format!("{address}:{SHARED}");
        let server = receiver(&places.routed.blue, &address)?;
        sender(&places.routed.red, &address)?.send(&LARGE)?;
        receive(&server, &LARGE).context("the first")?;
        receive(&server, &LARGE).context("the second")?;
    }
    Ok(())
}

const PARTS: usize = 3;
/// Bytes of each fragment's payload.
const PART: usize = 800;

/// The fragments of a datagram from an address that is recorded, as frames from red to the router.
fn fragments(port: u16) -> Vec<Vec<u8>> {
    let length = PARTS * PART;
    let mut datagram = [port.to_be_bytes(), port.to_be_bytes(), (length as u16).to_be_bytes(), [0, 0]].concat();
    datagram.extend(&LARGE[..length - 8]);
    let fragment = |(number, payload): (usize, &[u8])| {
        let is_last = number + 1 == PARTS;
        let offset = (number * PART / 8) as u16 | if is_last { 0 } else { 0x2000 };
        let (total, offset) = ((20 + PART as u16).to_be_bytes(), offset.to_be_bytes());
        let mut header = vec![0x45, 0, total[0], total[1], 0x12, 0x34, offset[0], offset[1], 64, 17, 0, 0];
        header.extend([10, 0, 1, SELDOM, 10, 0, 2, 1]);
        let words = header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        let sum = words.sum::<u32>();
        let sum = !((sum >> 16) + (sum & 0xffff)) as u16;
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        [&[2, 0, 0, 0, 0, 0x11, 2, 0, 0, 0, 0, 1, 8, 0], &header[..], payload].concat()
    };
    datagram.chunks(PART).enumerate().map(fragment).collect()
}

const REASSEMBLED: &str = "
    - inet_frag_reasm_finish - [reassembly]
    - inet_frag_reasm_finish - [reassembly]
";

/// A fragment's way from where it is made.
const FRAGMENT: &str = "
    red net_dev_start_xmit veth0 [fragment]
";

/// That a datagram of three fragments, which red makes, goes by way of a router that does not care.
fn check_routed(seen: &Seen, first: &[&Event], others: &[&Series<'static>], start: &str, words: fn(&str) -> String) {
    assert_story(first, [start, &words(&[ROUTED, ARRIVED, REASSEMBLED, TAKEN].concat())]);
    assert_eq!(others.len(), 2);
    for fragment in others {
        assert_story(fragment, [FRAGMENT, &words(&[ROUTED, ARRIVED].concat())]);
    }
    seen.assert_took_in(first, others);
}

/// Lengths of the packets of a series, one after the other.
fn lengths(series: &[&Event]) -> Vec<u64> {
    let mut lengths: Vec<u64> = series.iter().filter_map(|event| event.get("/packet/len").as_u64()).collect();
    lengths.dedup();
    lengths
}

#[test]
fn follows_the_fragments_that_a_socket_makes() -> Result<()> {
    let seen = seen("fragments")?;
    let [ipv4, ipv6] = seen.all(LISTED);
    check_routed(&seen, ipv4, &seen.children(ipv4), SENT, str::to_owned);
    assert_eq!(lengths(ipv4), [4042, 1514, 4042]);
    check_routed(&seen, ipv6, &seen.children(ipv6), &for_ipv6(SENT), for_ipv6);
    assert_eq!(lengths(ipv6), [4062, 1510, 4062]);
    Ok(())
}

#[test]
fn follows_the_fragments_that_a_router_makes() -> Result<()> {
    let seen = seen("fragments")?;
    let [datagram] = seen.all(MADE);
    let until_taken_apart = lines(ROUTED);
    let until_taken_apart = until_taken_apart[..until_taken_apart.len() - 1].join("\n");
    assert_story(datagram, [SENT, &until_taken_apart]);
    let [first, second] = seen.children(datagram)[..] else { panic!("{}", seen.describe(MADE)) };
    let start = "middle net_dev_start_xmit right [fragment]\n";
    assert_story(first, [start, ARRIVED, "- inet_frag_reasm_finish - [reassembly]", TAKEN]);
    assert_story(second, [start, ARRIVED]);
    seen.assert_took_in(first, &[second]);
    assert_eq!((lengths(first), lengths(second)), (vec![1010, 1442], vec![466]));
    Ok(())
}

#[test]
fn follows_fragments_that_arrive_in_reverse() -> Result<()> {
    let seen = seen("fragments")?;
    let is_one = |series: &&Series<'static>| series[0].packet().get(26..30) == Some(&[10, 0, 1, SELDOM]);
    let sent: Vec<_> = seen.0.values().filter(is_one).collect();
    let [third, second, first] = sent[..] else { panic!("{sent:?}") };
    let start = "red net_dev_start_xmit veth0\n";
    for later in [third, second] {
        assert_story(later, [start, ROUTED, ARRIVED]);
    }
    assert_story(first, [start, ROUTED, ARRIVED, REASSEMBLED, TAKEN]);
    seen.assert_took_in(first, &[third, second]);
    Ok(())
}

/// A router that puts datagrams together, up to where it is about to send it.
const DEFRAGMENTED: [&str; 3] = [
    "middle netif_rx left
     middle netif_receive_skb left
     middle ip_rcv left
     ",
    REASSEMBLED,
    "middle ip_forward left
     middle ip_output left
     ",
];

#[test]
fn follows_a_datagram_that_a_router_puts_together_and_takes_apart() -> Result<()> {
    let seen = seen("defragment")?;
    let [before, together, behind] = DEFRAGMENTED;
    let again = "middle net_dev_start_xmit right\n";
    let [ipv4, ipv6] = seen.all(FORWARDED);
    for (datagram, words) in [(ipv4, str::to_owned as fn(&str) -> String), (ipv6, for_ipv6)] {
        let story = [SENT, before, together, behind, again, ARRIVED, REASSEMBLED, TAKEN].concat();
        assert_story(datagram, [&words(&story)]);
        // The others go on where they were before.
        let others = seen.children(datagram);
        assert_eq!(others.len(), 2);
        for fragment in &others {
            assert_story(fragment, [FRAGMENT, &words(&[before, again, ARRIVED].concat())]);
        }
        seen.assert_took_in(datagram, &[&others[..], &others[..]].concat());
    }
    Ok(())
}

#[test]
fn follows_a_datagram_that_a_router_puts_together_and_takes_apart_otherwise() -> Result<()> {
    let seen = seen("defragment")?;
    let [before, together, behind] = DEFRAGMENTED;
    let [datagram] = seen.all(NARROWED);
    assert_story(datagram, [SENT, before, together, behind]);
    let (old, new): (Vec<_>, Vec<_>) =
        seen.children(datagram).into_iter().partition(|fragment| side(fragment[0]) == "red");
    assert_eq!((old.len(), new.len()), (2, 5), "{}", seen.describe(NARROWED));
    for fragment in &old {
        assert_story(fragment, [FRAGMENT, before]);
    }
    seen.assert_took_in(datagram, &old);
    let start = "middle net_dev_start_xmit right [fragment]\n";
    assert_story(new[0], [start, ARRIVED, REASSEMBLED, REASSEMBLED, TAKEN]);
    for fragment in &new[1..] {
        assert_story(fragment, [start, ARRIVED]);
    }
    seen.assert_took_in(new[0], &new[1..]);
    Ok(())
}

#[test]
fn follows_a_datagram_and_its_copy_whose_fragments_are_the_same() -> Result<()> {
    let seen = seen("shared")?;
    let [ipv4, ipv6] = seen.all(SHARED);
    for (datagram, words) in [(ipv4, str::to_owned as fn(&str) -> String), (ipv6, for_ipv6)] {
        let (copies, fragments): (Vec<_>, Vec<_>) = seen
            .children(datagram)
            .into_iter()
            .partition(|child| child[0].link().is_some_and(|link| link.kind == "copy"));
        // The copy is sent first, and is gone when the other one is taken apart.
        check_routed(&seen, datagram, &fragments, &words(SENT), words);
        let [copy] = copies[..] else { panic!("{}", seen.describe(SHARED)) };
        assert_story(copy, [&words("red ip_output veth0 [copy]")]);
        let fragments = seen.children(copy);
        check_routed(&seen, fragments[0], &fragments[1..], FRAGMENT, words);
    }
    Ok(())
}
