// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets on their way through the rules of nftables: each decision, with the rule's handle and its text. What is compared with: the rules
//! and their counters as nft tells them, and a count of the kernel's own of the function that is probed.
//!
//! Cost: two topologies and one session for all scenes, 15 s; one session for chosen verdicts, 5 s.

mod switching;

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tracer_tests::{Event, Events, HitCounter, Line, Namespace, Recording, Topology, Tracer, run, until};

/// The rules of blue. Each rule that matches has a counter in front of what it decides.
const SCENES: &str = r#"
table inet scenes {
    set blocked { type inet_service; elements = { 7101 }; }
    map ways { type inet_service : verdict; elements = { 7102 : jump jumped, 7103 : goto gone }; }
    chain jumped {
        udp dport 7102 counter return
        udp dport 7104 counter drop
        udp dport 7105 counter accept
    }
    chain gone { udp dport 7103 counter continue; }
    chain input {
        type filter hook input priority 5; policy drop;
        udp dport @blocked counter drop
        udp dport 7100 counter queue num 5
        udp dport vmap @ways
        udp dport { 7104, 7105 } counter jump jumped
        udp dport 7106 counter accept comment "} # handle 9 {"
        udp dport { 7120, 7121, 7130 } counter accept
    }
    chain later { type filter hook input priority 10; udp dport 7120 counter accept comment "first"; }
}
table ip four { chain pre { type filter hook prerouting priority -150; udp dport 7111 counter drop; }; }
table netdev wire { chain first {
    type filter hook ingress device "veth0" priority -7;
    udp dport 7108 counter drop
    udp dport 7112 counter fwd to "veth0"
}; }
"#;

/// A table that is deleted and comes back under its name, with the same handles of chains and rules.
const FICKLE: &str = "table inet fickle { chain c { type filter hook input priority 11; udp dport 7121 counter accept comment \"TEXT\"; }; }";

/// What is decided about a packet to this port: table, chain, verdict, target, and the rule, where it is one. Of tables without a rule that
/// matches, only `scenes` is looked at.
const WALKS: &[(u16, &[&str])] = &[
    (7100, &["scenes input queue: udp dport 7100 counter queue to 5"]),
    (7101, &["scenes input drop: udp dport @blocked counter drop"]),
    (
        7102,
        &[
            "scenes input jump jumped: udp dport vmap @ways",
            "scenes jumped return: udp dport 7102 counter return",
            "scenes input continue (end)",
            "scenes input drop (policy)",
        ],
    ),
    (
        7103,
        &[
            "scenes input goto gone: udp dport vmap @ways",
            "scenes gone continue: udp dport 7103 counter continue",
            "scenes gone continue (end)",
            "scenes input drop (policy)",
        ],
    ),
    (
        7104,
        &[
            "scenes input jump jumped: udp dport { 7104, 7105 } counter jump jumped",
            "scenes jumped drop: udp dport 7104 counter drop",
        ],
    ),
    (
        7105,
        &[
            "scenes input jump jumped: udp dport { 7104, 7105 } counter jump jumped",
            "scenes jumped accept: udp dport 7105 counter accept",
            "scenes later continue (end)",
            "scenes later accept (policy)",
        ],
    ),
    (
        7106,
        &[
            "scenes input accept: udp dport 7106 counter accept comment \"} # handle 9 {\"",
            "scenes later continue (end)",
            "scenes later accept (policy)",
        ],
    ),
    (7107, &["scenes input continue (end)", "scenes input drop (policy)"]),
    (7108, &["wire first drop: udp dport 7108 counter drop"]),
    (7109, &["bridged forward drop: udp dport 7109 counter drop"]),
    (7110, &["filter INPUT drop: udp dport 7110  counter drop"]),
    (7111, &["four pre drop: udp dport 7111 counter drop"]),
    (
        7130,
        &[
            "scenes input accept: udp dport { 7120, 7121, 7130 } counter accept",
            "scenes later continue (end)",
            "scenes later accept (policy)",
            "many c continue: udp dport 7130 counter continue comment \"the first\"",
            "many c accept: udp dport 7130 counter accept comment \"the last\"",
        ],
    ),
];

/// Where the scenes are played.
struct Bed {
    topology: Topology,
    bridged: Line,
}

struct Observed {
    events: Events,
    /// What nft says in the end of blue and of the bridge.
    rulesets: [Value; 2],
    hits: BTreeMap<String, u64>,
    /// As sorted, in words.
    sorted: String,
    stderr: String,
}

static OBSERVED: LazyLock<Observed> = LazyLock::new(|| observe().expect("the scenes are recorded"));

fn send(from: &Namespace, to: &str, port: u16) -> Result<()> {
    from.enter(|| {
        let socket = UdpSocket::bind(if to.contains(':') { "[::]:0" } else { "0.0.0.0:0" })?;
        socket.send_to(b"scene", (to, port))?;
        Ok(())
    })
}

impl Bed {
    fn new() -> Result<Self> {
        run("modprobe", ["-a", "bridge", "nft_queue", "nft_fwd_netdev"])?;
        let bed = Self { topology: Topology::new()?, bridged: Line::joined("nft")? };
        let many: String = (0..998).map(|number| format!("udp dport {} counter drop\n", 8000 + number)).collect();
        let many = format!(
            "table inet many {{ chain c {{ type filter hook input priority 20\n\
             udp dport 7130 counter continue comment \"the first\"\n{many}\
             udp dport 7130 counter accept comment \"the last\"\n}}; }}"
        );
        let blue = &bed.topology.blue;
        blue.filter(&format!("{SCENES}\n{}\n{many}\n", FICKLE.replace("TEXT", "one")))?;
        blue.run("iptables-nft", "-A INPUT -p udp --dport 7110 -m comment --comment made -j DROP".split(' '))?;
        let Line { red, middle, blue } = &bed.bridged;
        middle.configure(
            "link add br0 type bridge\nlink set left master br0\nlink set right master br0\nlink set br0 up\n",
        )?;
        red.configure("address add 10.0.3.1/24 dev veth0\nneighbour add 10.0.3.2 lladdr 02:00:00:00:00:02 dev veth0 nud permanent\n")?;
        blue.configure("address add 10.0.3.2/24 dev veth0\n")?;
        middle.filter(
            "table bridge bridged { chain forward { type filter hook forward priority 0; udp dport 7109 counter drop; }; }\n",
        )?;
        Ok(bed)
    }

    fn send(&self, port: u16) -> Result<()> {
        match port {
            7109 => send(&self.bridged.red, "10.0.3.2", port),
            _ => send(&self.topology.red, "10.0.0.2", port),
        }
    }
}

/// Waits until something stands in the file of events.
fn until_written(recording: &Recording, text: &str) -> Result<()> {
    let path = recording.file("events.json");
    until(text, || Ok(fs::read_to_string(&path)?.contains(text)))
}

fn observe() -> Result<Observed> {
    let bed = Bed::new()?;
    let blue = &bed.topology.blue;
    let counter = HitCounter::new(&["__nft_trace_packet", "nft_trace_notify"], &[])?;
    let arguments = ["-c", "nft,skb,skb-tracking,skb-drop,dev,ns", "--nft-verdicts", "all", "--allow-system-changes"];
    let mut hits = BTreeMap::new();
    let before = blue.run("nft", ["-s", "-a", "list", "ruleset"])?;
    let recorded = Tracer::collect(arguments).during(|recording| {
        assert_eq!(blue.run("nft", ["-s", "-a", "list", "ruleset"])?, before, "rules are as they were");
        for (port, _) in WALKS {
            bed.send(*port)?;
        }
        send(&bed.topology.red, "fd00::2", 7106)?;
        bed.send(7112)?;
        // Replaced, with the same words but for the comment.
        bed.send(7120)?;
        until_written(recording, r#"comment \"first\""#)?;
        for comment in ["second", "third"] {
            blue.filter(&format!(
                "flush chain inet scenes later\nadd rule inet scenes later udp dport 7120 counter drop comment \"{comment}\"\n"
            ))?;
            bed.send(7120)?;
            until_written(recording, &format!(r#"comment \"{comment}\""#))?;
        }
        bed.send(7121)?;
        until_written(recording, r#"comment \"one\""#)?;
        blue.filter(&format!("delete table inet fickle\n{}\n", FICKLE.replace("TEXT", "two")))?;
        bed.send(7121)?;
        until_written(recording, r#"comment \"two\""#)?;
        hits = counter.read()?;
        Ok(())
    })?;
    let ruleset = |namespace: &Namespace| -> Result<Value> {
        Ok(serde_json::from_str(&namespace.run("nft", ["-j", "-a", "list", "ruleset"])?)?)
    };
    let rulesets = [ruleset(blue)?, ruleset(&bed.bridged.middle)?];
    let sorted = Tracer::output(["sort".as_ref(), recorded.path().as_os_str()])?;
    Ok(Observed { events: recorded.events()?, rulesets, hits, sorted, stderr: recorded.ended.stderr.clone() })
}

fn text<'a>(event: &'a Event, path: &str) -> &'a str {
    event.get(path).as_str().unwrap_or_default()
}

/// Of a packet from red: the port that it is for.
fn port(event: &Event) -> Option<u16> {
    let flow = event.flow()?;
    flow.starts_with("udp").then(|| flow.rsplit(':').next()?.parse().ok())?
}

/// A decision in the words of [`WALKS`].
fn decision(event: &Event) -> String {
    let mut words = format!(
        "{} {} {}",
        text(event, "/nft/table_name"),
        text(event, "/nft/chain_name"),
        text(event, "/nft/verdict")
    );
    if let Some(target) = event.get("/nft/verdict_chain_name").as_str() {
        words += &format!(" {target}");
    }
    match event.get("/nft/rule_handle").as_u64() {
        _ if *event.get("/nft/policy") == true => words + " (policy)",
        None => words + " (end)",
        Some(_) => format!("{words}: {}", text(event, "/nft/rule")),
    }
}

fn decisions(events: &Events) -> impl Iterator<Item = &Event> {
    events.at("__nft_trace_packet").filter(|event| event.0.get("nft").is_some())
}

/// What is decided about packets of one version of IP to a port, in order.
fn walk(events: &Events, version: &str, wanted: u16) -> Vec<String> {
    let of_interest =
        |event: &&Event| event.get("/nft/rule_handle").is_u64() || text(event, "/nft/table_name") == "scenes";
    let is_his =
        |event: &&Event| event.flow().is_some_and(|flow| flow.starts_with(version)) && port(event) == Some(wanted);
    let mut events: Vec<&Event> = decisions(events).filter(of_interest).filter(is_his).collect();
    events.sort_by_key(|event| event.timestamp());
    events.into_iter().map(decision).collect()
}

#[test]
fn the_way_of_each_packet_through_the_rules_is_whole_and_in_order() {
    let Observed { events, stderr, .. } = &*OBSERVED;
    for (port, expected) in WALKS {
        assert_eq!(walk(events, "udp4", *port), *expected, "port {port}; {stderr}");
    }
    let (_, expected) = WALKS.iter().find(|(port, _)| *port == 7106).unwrap();
    assert_eq!(walk(events, "udp6", 7106), *expected, "in the same table");
}

#[test]
fn rules_that_are_replaced_keep_their_handles_and_words() {
    let events = &OBSERVED.events;
    let of = |wanted: u16, table: &str, chain: &str| -> Vec<(String, u64, u64)> {
        let mut all: Vec<&Event> = decisions(events)
            .filter(|event| port(event) == Some(wanted) && text(event, "/nft/table_name") == table)
            .filter(|event| text(event, "/nft/chain_name") == chain && event.get("/nft/rule_handle").is_u64())
            .collect();
        all.sort_by_key(|event| event.timestamp());
        let number = |event: &Event, path: &str| event.get(path).as_u64().unwrap_or_default();
        let rule =
            |event: &&Event| (decision(event), number(event, "/nft/table_handle"), number(event, "/nft/rule_handle"));
        all.iter().map(rule).collect()
    };
    let later = of(7120, "scenes", "later");
    let words: Vec<&str> = later.iter().map(|(words, ..)| &**words).collect();
    assert_eq!(
        words,
        [
            "scenes later accept: udp dport 7120 counter accept comment \"first\"",
            "scenes later drop: udp dport 7120 counter drop comment \"second\"",
            "scenes later drop: udp dport 7120 counter drop comment \"third\"",
        ]
    );
    assert!(later[0].2 < later[1].2 && later[1].2 < later[2].2, "{later:?}");
    let fickle = of(7121, "fickle", "c");
    let words: Vec<&str> = fickle.iter().map(|(words, ..)| &**words).collect();
    let expected =
        ["one", "two"].map(|comment| format!("fickle c accept: udp dport 7121 counter accept comment \"{comment}\""));
    assert_eq!(words, expected);
    assert_eq!(fickle[0].2, fickle[1].2, "the handle of a rule in another table");
    assert_ne!(fickle[0].1, fickle[1].1);
}

#[test]
fn handles_and_numbers_are_those_of_nft() -> Result<()> {
    let Observed { events, rulesets, .. } = &*OBSERVED;
    let mut compared = 0;
    for ruleset in rulesets {
        let objects = ruleset["nftables"].as_array().context("a list")?;
        let find = |kind: &str, family: &str, table: &str, name: &str| {
            let mut all = objects.iter().filter_map(|object| object.get(kind));
            all.find(|object| {
                object["family"] == family && object["name"] == name && (kind == "table" || object["table"] == table)
            })
        };
        for rule in objects.iter().filter_map(|object| object.get("rule")) {
            let word = |key: &str| rule[key].as_str().unwrap_or_default();
            let (family, table) = (word("family"), word("table"));
            let known = find("table", family, table, table).context("its table")?;
            let chain = find("chain", family, table, word("chain")).context("its chain")?;
            let told: Vec<&Event> = decisions(events)
                .filter(|event| {
                    text(event, "/nft/family") == family && event.get("/nft/table_handle") == &known["handle"]
                })
                .filter(|event| text(event, "/nft/table_name") == table)
                .filter(|event| event.get("/nft/rule_handle") == &rule["handle"])
                .collect();
            for event in &told {
                assert_eq!(event.get("/nft/chain_handle"), &chain["handle"], "{event:?}");
                assert_eq!(text(event, "/nft/chain_name"), word("chain"), "{event:?}");
            }
            let counter = rule["expr"].as_array().into_iter().flatten().find_map(|part| part.get("counter"));
            if let Some(counter) = counter {
                assert_eq!(counter["packets"], told.len(), "{rule}");
                compared += told.len();
            }
        }
    }
    assert!(compared > 20, "{compared}");
    Ok(())
}

#[test]
fn every_decision_is_seen_and_nobody_else_is_told() {
    let Observed { events, hits, .. } = &*OBSERVED;
    assert_eq!(hits["__nft_trace_packet"], decisions(events).count() as u64);
    assert_eq!(hits["nft_trace_notify"], 0, "what `nft monitor trace` shows");
}

#[test]
fn base_chains_are_told_and_who_made_the_rules() {
    let events = &OBSERVED.events;
    let base = |wanted: u16, table: &str| {
        let event =
            decisions(events).find(|event| port(event) == Some(wanted) && text(event, "/nft/table_name") == table);
        let event = event.unwrap_or_else(|| panic!("no event of {wanted} in {table}"));
        let part = |path: &str| text(event, path).to_owned();
        (part("/nft/family"), part("/nft/hook"), event.get("/nft/priority").as_i64(), part("/nft/made_by"))
    };
    let expected = |family: &str, hook: &str, priority, maker: &str| {
        (family.to_owned(), hook.to_owned(), Some(priority), maker.to_owned())
    };
    assert_eq!(base(7104, "scenes"), expected("inet", "input", 5, ""));
    assert_eq!(base(7108, "wire"), expected("netdev", "ingress", -7, ""));
    assert_eq!(base(7109, "bridged"), expected("bridge", "forward", 0, ""));
    assert_eq!(base(7111, "four"), expected("ip", "prerouting", -150, ""));
    let iptables = decisions(events).find(|event| port(event) == Some(7110) && event.get("/nft/rule_handle").is_u64());
    assert_eq!(iptables.map(|event| text(event, "/nft/made_by")), Some("iptables-nft"));
}

#[test]
fn a_packet_that_was_taken_is_not_looked_at() {
    let stolen: Vec<&Event> =
        decisions(&OBSERVED.events).filter(|event| text(event, "/nft/verdict") == "stolen").collect();
    let [event] = stolen[..] else { panic!("{stolen:?}") };
    assert_eq!(text(event, "/nft/rule"), "udp dport 7112 counter fwd to \"veth0\"");
    for section in ["packet", "skb", "skb-tracking", "dev"] {
        assert!(event.0.get(section).is_none(), "{section}: {event:?}");
    }
}

#[test]
fn decisions_belong_to_the_series_of_their_packet() {
    let series = OBSERVED.events.series();
    for (wanted, walk) in WALKS {
        let of_port = |event: &&&Event| port(event) == Some(*wanted) && event.0.get("nft").is_some();
        let found: Vec<_> = series.values().filter(|series| series.iter().any(|event| of_port(&event))).collect();
        let ours = found.iter().filter(|series| series.iter().filter(of_port).count() >= walk.len());
        assert!(ours.count() >= 1, "port {wanted}: {found:?}");
        for series in found {
            let numbers: Vec<_> = series.iter().filter_map(|event| event.sequence()).collect();
            assert_eq!(numbers, (0..series.len() as u64).collect::<Vec<_>>(), "port {wanted}");
        }
    }
}

#[test]
fn verdicts_name_the_rule() {
    let Observed { sorted, events, .. } = &*OBSERVED;
    let handle = |wanted: u16| {
        let drop = decisions(events).find(|event| port(event) == Some(wanted) && text(event, "/nft/verdict") == "drop");
        drop.and_then(|event| event.get("/nft/rule_handle").as_u64()).unwrap_or_default()
    };
    for expected in [
        format!(
            "⇒ dropped by nft inet scenes jumped rule {} \"udp dport 7104 counter drop\" (NETFILTER_DROP) at ",
            handle(7104)
        ),
        format!(
            "⇒ dropped by nft ip filter INPUT rule {} \"udp dport 7110  counter drop\" (iptables-nft)",
            handle(7110)
        ),
        format!("⇒ dropped by nft bridge bridged forward rule {} \"udp dport 7109 counter drop\"", handle(7109)),
        "⇒ dropped by nft inet scenes input policy (NETFILTER_DROP) at ".to_owned(),
    ] {
        assert!(sorted.contains(&expected), "no {expected} in {sorted}");
    }
}

#[test]
fn a_rule_that_traces_is_enough_and_only_chosen_verdicts_are_events() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let (red, blue) = (&topology.red, &topology.blue);
    blue.filter(
        "table inet own { chain unused { meta nftrace set 1; }; chain jumped { udp dport 7201 drop; }; \
         chain input { type filter hook input priority 0; udp dport 7200 accept; jump jumped; }; }\n",
    )?;
    let before = run("nft", ["list", "ruleset"])?;
    let recorded = Tracer::collect([""; 0]).profile("nft-dropmon").during(|_| {
        assert_eq!(run("nft", ["list", "ruleset"])?, before);
        for port in [7200, 7201, 7202, 7201] {
            send(red, "10.0.0.2", port)?;
        }
        Ok(())
    })?;
    let stderr = &recorded.ended.stderr;
    assert!(!stderr.contains("there will be no events"), "{stderr}");
    let events = recorded.events()?;
    let told: Vec<_> = events.hits().map(|event| (port(event), decision(event))).collect();
    let drop = (Some(7201), "own jumped drop: udp dport 7201 drop".to_owned());
    assert_eq!(told, [drop.clone(), drop], "{stderr}");
    Ok(())
}
