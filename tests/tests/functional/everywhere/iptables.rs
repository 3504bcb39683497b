// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which table and chain of iptables-legacy drop packets.
//!
//! Cost: one topology, one session and a refused one, 6 s.

use std::net::UdpSocket;

use anyhow::{Context as _, Result};
use tracer_tests::{Event, Namespace, Topology, Tracer, run};

/// What `iptables-legacy` and `ip6tables-legacy` are told: two chains drop, one refuses, one is left to its policy.
const RULES: [(&str, &str); 9] = [
    ("iptables-legacy", "-N inner"),
    ("iptables-legacy", "-A inner -p udp --dport 7302 -j DROP"),
    ("iptables-legacy", "-A INPUT -p udp --dport 7301 -j DROP"),
    ("iptables-legacy", "-A INPUT -p udp -j inner"),
    ("iptables-legacy", "-A INPUT -p udp --dport 7303 -j REJECT"),
    ("iptables-legacy", "-A INPUT -p udp --dport 7304 -j ACCEPT"),
    ("iptables-legacy", "-t raw -A PREROUTING -p udp --dport 7305 -j DROP"),
    ("iptables-legacy", "-P INPUT DROP"),
    ("ip6tables-legacy", "-A INPUT -p udp --dport 7307 -j DROP"),
];

/// What becomes of datagrams to these ports.
const FATES: [(u16, Option<&str>); 7] = [
    (7301, Some("ip filter INPUT")),
    (7302, Some("ip filter INPUT")),
    (7303, Some("ip filter INPUT")),
    (7304, None),
    (7305, Some("ip raw PREROUTING")),
    (7306, Some("ip filter INPUT")),
    (7307, Some("ip6 filter INPUT")),
];

const MODULES: [&str; 5] = ["iptable_raw", "iptable_filter", "ip6table_filter", "ip_tables", "ip6_tables"];

fn send(from: &Namespace, port: u16) -> Result<()> {
    from.enter(|| {
        let (own, to) = if port == 7307 { ("[::]:0", "fd00::2") } else { ("0.0.0.0:0", "10.0.0.2") };
        UdpSocket::bind(own)?.send_to(b"legacy", (to, port))?;
        Ok(())
    })
}

/// Who drops, and the port that the packet is for.
fn drop(event: &Event) -> Option<(u16, String)> {
    let part = |name: &str| event.get(&format!("/iptables/{name}")).as_str();
    let by = [part("family")?, part("table")?, part("chain")?].join(" ");
    assert_eq!(part("verdict"), Some("drop"));
    let flow = event.flow()?;
    Some((flow.rsplit_once(':')?.1.parse().ok()?, by))
}

#[test]
fn drops_of_iptables_legacy_have_their_table_and_chain() -> Result<()> {
    let topology = Topology::new()?;
    for (program, rule) in RULES {
        topology.blue.run(program, rule.split(' '))?;
    }
    let arguments = ["-c", "iptables,skb,skb-drop,skb-tracking,dev,ns", "-f", "udp dst portrange 7301-7307"];
    let recorded =
        Tracer::collect(arguments).during(|_| FATES.iter().try_for_each(|(port, _)| send(&topology.red, *port)))?;
    assert!(!recorded.ended.stderr.contains("warning"), "{}", recorded.ended.stderr);

    let events = recorded.events()?;
    let told: Vec<_> = events.hits().filter_map(drop).collect();
    let expected: Vec<_> = FATES.into_iter().filter_map(|(port, by)| Some((port, by?.to_owned()))).collect();
    assert_eq!(told, expected, "{}", recorded.ended.stderr);
    let sorted = Tracer::output(["sort", recorded.path().to_str().context("text")?])?;
    for (table, count) in [("ip filter INPUT", 4), ("ip raw PREROUTING", 1), ("ip6 filter INPUT", 1)] {
        let verdict = format!("⇒ dropped by iptables-legacy {table} (NETFILTER_DROP) at nf_hook_slow+");
        assert_eq!(sorted.matches(&verdict).count(), count, "{verdict}\n{sorted}");
    }

    std::mem::drop(topology);
    for module in MODULES {
        run("modprobe", ["-r", module])?;
    }
    let refused = Tracer::run(["collect", "-c", "iptables", "--cmd", "true"])?;
    assert_eq!(refused.code(), 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("so there are no rules of iptables-legacy"), "{}", refused.stderr);
    Ok(())
}
