// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What happens to packets in functions and tracepoints of the kernel, as far as that says how they end.
//!
//! All of it can be wrong on some kernel, so nothing depends on it but words: the events themselves stay as they are.

use std::borrow::Cow;

use super::clues::{DropClue, Fate, Stage};

/// What a place says.
#[derive(Clone, Copy, Debug)]
enum Says {
    /// The packet is handed to this.
    Delivered(&'static str),
    Transmitted,
    /// It was, some time ago.
    Sent,
    Dropped,
    Consumed,
    Passing,
    Aside,
}

/// Names, with `*` for any characters, and what they say: the first that fits counts.
const PLACES: &[(&str, Says)] = &[
    // Sockets and protocols that packets are for. What is dropped behind, is dropped.
    ("skb:skb_copy_datagram_iovec", Says::Delivered("the reader of a socket")),
    ("__udp_enqueue_schedule_skb", Says::Delivered("a UDP socket")),
    ("udp_queue_rcv_skb", Says::Delivered("a UDP socket")),
    ("udp_queue_rcv_one_skb", Says::Delivered("a UDP socket")),
    ("udpv6_queue_rcv_skb", Says::Delivered("a UDP socket")),
    ("udpv6_queue_rcv_one_skb", Says::Delivered("a UDP socket")),
    ("tcp_queue_rcv", Says::Delivered("a TCP socket")),
    ("tcp_data_queue", Says::Delivered("a TCP socket")),
    ("tcp_rcv_established", Says::Delivered("a TCP socket")),
    ("tcp_rcv_state_process", Says::Delivered("a TCP socket")),
    ("raw_rcv", Says::Delivered("a raw socket")),
    ("raw_rcv_skb", Says::Delivered("a raw socket")),
    ("rawv6_rcv", Says::Delivered("a raw socket")),
    // It looks for a socket.
    ("ping_rcv", Says::Delivered("ICMP")),
    ("ping_queue_rcv_skb", Says::Delivered("a ping socket")),
    ("__ping_queue_rcv_skb", Says::Delivered("a ping socket")),
    ("packet_rcv", Says::Delivered("a packet socket")),
    ("packet_rcv_spkt", Says::Delivered("a packet socket")),
    ("tpacket_rcv", Says::Delivered("a packet socket")),
    ("sock_queue_rcv_skb*", Says::Delivered("a socket")),
    ("__sock_queue_rcv_skb", Says::Delivered("a socket")),
    ("icmp_rcv", Says::Delivered("ICMP")),
    ("icmpv6_rcv", Says::Delivered("ICMPv6")),
    ("ndisc_rcv", Says::Delivered("neighbour discovery")),
    ("arp_process", Says::Delivered("ARP")),
    ("igmp_rcv", Says::Delivered("IGMP")),
    ("net:net_dev_start_xmit", Says::Transmitted),
    ("net:net_dev_xmit", Says::Sent),
    ("skb:kfree_skb", Says::Dropped),
    ("qdisc:qdisc_drop", Says::Dropped),
    ("skb:consume_skb", Says::Consumed),
    // Clearing away, and looking on.
    ("*free*", Says::Aside),
    ("*consume*", Says::Aside),
    ("*release*", Says::Aside),
    ("*timestamp*", Says::Aside),
    ("*tstamp*", Says::Aside),
    // Devices, in and out.
    ("net:netif_*", Says::Passing),
    ("net:napi_*", Says::Passing),
    ("net:net_dev_queue", Says::Passing),
    ("__dev_queue_xmit", Says::Passing),
    ("dev_queue_xmit", Says::Passing),
    // Of drivers: the packet is still where it is handed over.
    ("*xmit*", Says::Aside),
    // Names of the kernel are alike: what receives, hands on or sends has one of these in it.
    ("*_rcv*", Says::Passing),
    ("*receive*", Says::Passing),
    ("*deliver*", Says::Passing),
    ("*forward*", Says::Passing),
    ("*_input*", Says::Passing),
    ("*_output*", Says::Passing),
    ("*local_out*", Says::Passing),
    ("netif_rx*", Says::Passing),
    ("skb_scrub_packet", Says::Passing),
];

/// What is known about `symbol`: how packets end there, or else that they don't.
pub(super) fn what_happens(symbol: &str) -> (Option<Fate<'static>>, Stage) {
    let says = PLACES.iter().find(|(pattern, _)| fits(pattern, symbol)).map(|(_, says)| *says);
    match says {
        Some(Says::Delivered(to)) => (Some(Fate::Delivered { to: Cow::Borrowed(to) }), Stage::Somewhere),
        Some(Says::Transmitted) => (Some(Fate::Transmitted), Stage::Somewhere),
        Some(Says::Sent) => (Some(Fate::Transmitted), Stage::Aside),
        Some(Says::Dropped) => (Some(Fate::Dropped(DropClue::default())), Stage::Aside),
        Some(Says::Consumed) => (Some(Fate::Consumed), Stage::Aside),
        Some(Says::Passing) => (None, Stage::Passing),
        Some(Says::Aside) => (None, Stage::Aside),
        None => (None, Stage::Somewhere),
    }
}

/// Whether `symbol` has the parts of `pattern` that are between its `*`.
fn fits(pattern: &str, symbol: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| symbol.strip_prefix(first)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    match last {
        None => rest.is_empty(),
        Some(part) => part.is_empty() || rest.is_empty() || symbol.ends_with(part),
    }
}

#[cfg(test)]
mod tests {
    use super::{Fate, PLACES, Stage, fits, what_happens};

    fn delivered_to(symbol: &str) -> Option<String> {
        match what_happens(symbol).0 {
            Some(Fate::Delivered { to }) => Some(to.into_owned()),
            _ => None,
        }
    }

    #[test]
    fn knows_where_packets_end_and_where_they_go_on() {
        assert_eq!(delivered_to("udp_queue_rcv_skb").as_deref(), Some("a UDP socket"));
        assert_eq!(delivered_to("sock_queue_rcv_skb_reason").as_deref(), Some("a socket"));
        assert_eq!(delivered_to("udp_rcv"), None);
        assert_eq!(what_happens("net:net_dev_start_xmit").0, Some(Fate::Transmitted));
        assert_eq!(what_happens("skb:consume_skb").0, Some(Fate::Consumed));
        for passing in ["net:netif_receive_skb", "ip_rcv_core", "ip6_output", "__dev_queue_xmit", "tcp_v4_rcv"] {
            assert_eq!(what_happens(passing), (None, Stage::Passing), "{passing}");
        }
        for aside in ["skb_release_data", "kfree_skbmem", "veth_xmit", "skb_consume_udp", "sock_wfree"] {
            assert_eq!(what_happens(aside), (None, Stage::Aside), "{aside}");
        }
        assert_eq!(what_happens("skb_to_sgvec"), (None, Stage::Somewhere));
    }

    #[test]
    fn no_place_is_hidden_by_one_before_it() {
        for (index, (pattern, _)) in PLACES.iter().enumerate() {
            let name = pattern.replace('*', "");
            let found = PLACES.iter().position(|(earlier, _)| fits(earlier, &name));
            assert_eq!(found, Some(index), "{pattern}");
        }
    }

    #[test]
    fn patterns_fit_what_they_should() {
        assert!(fits("a*", "a") && fits("a*", "ab") && fits("*a", "ba") && fits("*a*", "bab") && fits("a", "a"));
        assert!(!fits("a", "ab") && !fits("*a", "ab") && !fits("a*", "ba") && !fits("a*c", "abd"));
        assert!(fits("*ab", "abab"));
    }
}
