// SPDX-License-Identifier: Apache-2.0 OR MIT
//! On 5.10: it starts, shows packets, and says what it can't do there.
//!
//! Cost: one topology and one session a test, 3 s, and for hundreds of functions half a minute; eight tests.

use anyhow::Result;
use serde_json::Value;
use tracer_tests::{Event, Snmp, Topology, Tracer, run, until, until_detached, until_kprobes};

use crate::everywhere::usdt;
use crate::full::all_probes;

#[test]
fn the_default_probes_show_a_ping_on_both_sides() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recorded = Tracer::collect([""; 0]).during(|_| topology.red.ping("10.0.0.2", 10))?;
    let events = recorded.events()?;
    let series = events.series();
    let pings: Vec<_> = series.values().filter(|series| series[0].flow().is_some()).collect();
    assert_eq!(pings.len(), 20, "{}", recorded.ended.stderr);
    for series in pings {
        let symbols: Vec<&str> = series.iter().map(|event| event.symbol()).collect();
        let is_reply = series[0].flow().is_some_and(|flow| flow.contains(" reply "));
        // The raw socket of `ping` has got a copy; nobody else wants the reply.
        let expected = ["net:net_dev_start_xmit", "net:netif_receive_skb", "skb:kfree_skb"];
        assert_eq!(symbols, expected[..if is_reply { 3 } else { 2 }]);
        assert_ne!(series[0].namespace(), series[1].namespace());
        assert_ne!(series[0].namespace(), "");
        if is_reply {
            assert_eq!(*series[2].get("/skb-drop/drop_reason"), "NOT_SPECIFIED", "it gives none");
            let location = series[2].get("/skb-drop/location").as_str().unwrap_or_default();
            assert!(location.starts_with("icmp_rcv+0x"), "{location}");
        }
    }
    let stderr = &recorded.ended.stderr;
    let before_ready = stderr.lines().take_while(|line| !line.starts_with("ready")).collect::<String>();
    assert!(before_ready.contains("this kernel gives no reasons for drops"), "{stderr}");
    assert_eq!(stderr.matches("no reasons for drops").count(), 1, "{stderr}");
    Ok(())
}

#[test]
fn dropmon_shows_drops_with_their_places() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recorded = Tracer::collect([""; 0]).profile("dropmon").during(|_| {
        let socket = topology.red.enter(|| Ok(std::net::UdpSocket::bind("10.0.0.1:7000")?))?;
        socket.send_to(b"to nobody", "10.0.0.2:7099")?;
        until("the datagram is refused", || Ok(Snmp::read(&topology.red)?.get("IcmpInDestUnreachs") == 1))
    })?;
    let events = recorded.events()?;
    assert!(events.hits().all(|event| event.symbol() == "skb:kfree_skb"), "{events:?}");
    let of_datagram = |event: &&Event| event.flow().as_deref() == Some("udp4 10.0.0.1:7000 > 10.0.0.2:7099");
    let event = events.hits().find(of_datagram).expect("the datagram was dropped");
    let location = event.get("/skb-drop/location").as_str().unwrap_or_default();
    assert!(location.starts_with("__udp4_lib_rcv+0x"), "{event:?}");
    assert!(event.get("/kernel/stack_trace").to_string().contains(location), "{event:?}");
    Ok(())
}

#[test]
fn inspect_says_what_the_kernel_lacks() -> Result<()> {
    let kernel: Value = serde_json::from_str(&Tracer::output(["inspect", "kernel", "--format", "json"])?)?;
    let features = kernel["features"]["found"].as_array().cloned().unwrap_or_default();
    let available = |name: &str| {
        let feature = features.iter().find(|feature| feature["name"] == name);
        feature.and_then(|feature| feature["available"].as_bool())
    };
    for name in [
        "kprobe.multi",
        "kprobe.session",
        "kprobe cookies",
        "raw tracepoint cookies",
        "missed counters",
        "fetch atomics",
    ] {
        assert_eq!(available(name), Some(false), "{name}: {kernel}");
    }
    for name in ["fentry", "ring buffer"] {
        assert_eq!(available(name), Some(true), "{name}: {kernel}");
    }
    let needed = kernel["privileges"]["needed"].to_string();
    assert!(needed.contains("CAP_SYS_RESOURCE"), "memory is counted against a limit: {needed}");
    for collector in kernel["collectors"].as_array().into_iter().flatten() {
        // It does not describe its modules.
        let needs_a_module = ["iptables", "nft", "ovs"].iter().any(|name| collector["name"] == *name);
        assert_eq!(collector["available"], !needs_a_module, "{collector}");
    }
    let drops = kernel["collectors"].as_array().into_iter().flatten().find(|one| one["name"] == "skb-drop");
    assert_eq!(drops.map(|drops| &drops["limits"][0]), Some(&Value::from("gives no reasons for drops")), "{kernel}");
    let probes = Tracer::output(["inspect", "probes", "kr:icmp_rcv", "tp:net:netif_rx"])?;
    assert!(probes.contains("kretprobe:icmp_rcv\n  int icmp_rcv(struct sk_buff *skb)\n"), "{probes}");
    Ok(())
}

#[test]
fn kprobes_and_return_probes_show_a_ping_and_what_is_missing_is_said() -> Result<()> {
    let topology = Topology::new()?;
    let probes =
        ["k:ip_output", "tp:net:netif_rx", "k:ip_rcv", "kr:ip_rcv", "k:icmp_rcv", "kr:icmp_rcv", "k:ip6_input"];
    let arguments = probes.iter().flat_map(|probe| ["-p", probe]);
    let recorded = Tracer::collect(arguments).during(|_| {
        topology.red.ping("10.0.0.2", 10)?;
        topology.red.ping("fd00::2", 10)
    })?;
    let events = recorded.events()?;
    let mut pings = 0;
    for series in
        events.series().values().filter(|series| series[0].flow().is_some_and(|flow| flow.starts_with("icmp4")))
    {
        pings += 1;
        let seen: Vec<(&str, &str)> = series.iter().map(|event| (event.probe_type(), event.symbol())).collect();
        let expected = [
            ("kprobe", "ip_output"),
            ("raw_tracepoint", "net:netif_rx"),
            ("kprobe", "ip_rcv"),
            ("kprobe", "icmp_rcv"),
            ("kretprobe", "icmp_rcv"),
            ("kretprobe", "ip_rcv"),
        ];
        assert_eq!(seen, expected);
        let numbers: Vec<Option<u64>> = series.iter().map(|event| event.sequence()).collect();
        assert_eq!(numbers, (0..6).map(Some).collect::<Vec<_>>());
    }
    assert_eq!(pings, 20, "{}", recorded.ended.stderr);
    assert_eq!(events.at("ip6_input").filter(|event| event.flow().is_some()).count(), 20);
    let stderr = &recorded.ended.stderr;
    let before_ready = stderr.lines().take_while(|line| !line.starts_with("ready")).collect::<String>();
    for limit in ["does not count the hits", "attaches to functions one by one", "tells returns apart by their order"] {
        assert!(before_ready.contains(limit), "{stderr}");
        assert_eq!(stderr.matches(limit).count(), 1, "{stderr}");
    }
    Ok(())
}

#[test]
fn a_flood_is_thinned_out_to_whole_packets() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let arguments = ["-p", "ip_output", "-p", "tp:net:netif_rx", "-p", "ip_rcv", "-p", "kr:icmp_rcv"];
    let recorded = Tracer::collect(arguments.into_iter().chain(["--max-events-per-second", "500"]))
        .during(|_| topology.red.ping("10.0.0.2", 10_000))?;
    let events = recorded.events()?;
    let mut times: Vec<u64> = events.hits().map(|event| event.timestamp()).collect();
    times.sort_unstable();
    assert!(times.windows(551).all(|times| times[550] - times[0] > 1_000_000_000), "551 events within a second");
    let pings: Vec<_> = events.series().into_values().filter(|series| series[0].flow().is_some()).collect();
    assert!(pings.len() > 20, "{}", recorded.ended.stderr);
    for series in &pings {
        let symbols: Vec<&str> = series.iter().map(|event| event.symbol()).collect();
        assert_eq!(symbols, ["ip_output", "net:netif_rx", "ip_rcv", "icmp_rcv"]);
    }
    let left_out = events.losses().iter().filter(|((cause, _), _)| cause == "sampled_out").map(|(_, n)| n).sum::<u64>();
    assert_eq!(left_out, 4 * (20_000 - pings.len() as u64), "{}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn only_the_privilege_to_read_the_counters_is_kept() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recording = Tracer::collect(["-p", "ip_rcv"]).start()?;
    let effective = || -> Result<Vec<u64>> {
        let sets = recording.process.threads()?.into_iter().map(|status| {
            let set = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
            Ok(u64::from_str_radix(set.trim(), 16)?)
        });
        sets.collect()
    };
    const BPF: u64 = 1 << 39;
    until("all threads have given up their privileges", || Ok(effective()?.iter().all(|set| set & !BPF == 0)))?;
    assert_eq!(effective()?.iter().filter(|set| **set != 0).count(), 1, "one thread reads them");
    topology.red.ping("10.0.0.2", 50)?;
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.summary()?, (100, 0), "{}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn the_profile_generic_shows_pings_and_sorts_them() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recorded = Tracer::collect([""; 0]).profile("generic").during(|_| topology.red.ping("10.0.0.2", 50))?;
    let events = recorded.events()?;
    assert_eq!(recorded.summary()?.1, 0, "{}", recorded.ended.stderr);
    for symbol in ["ip_output", "net:net_dev_start_xmit", "net:netif_rx", "ip_rcv", "ip_local_deliver", "icmp_rcv"] {
        assert_eq!(events.at(symbol).count(), 100, "{symbol}: {}", recorded.ended.stderr);
    }
    let pings = events.series().into_values().filter(|series| series[0].flow().is_some()).count();
    assert_eq!(pings, 100);
    let text = Tracer::output(["sort".as_ref(), recorded.path().as_os_str()])?;
    assert_eq!(text.lines().filter(|line| line.contains("[k] icmp_rcv")).count(), 100);
    // Of the replies.
    assert_eq!(text.lines().filter(|line| line.contains("drop (NOT_SPECIFIED) at icmp_rcv+")).count(), 50);
    Ok(())
}

#[test]
fn hundreds_of_functions_and_another_program_beside_them() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let beside = Tracer::collect(["-p", "ip_rcv", "-p", "tp:net:netif_rx"]).start()?;
    let recording = Tracer::collect(["-p", "k:ip_*", "-p", "k:icmp_*", "-p", "k:arp_*"]).start()?;
    topology.red.ping("10.0.0.2", 100)?;
    recording.process.signal(libc::SIGINT)?;
    recording.process.stderr_line("a summary", |line| line.contains(" events, "))?;
    // All but what was attached beside it.
    until_kprobes(1)?;
    let recorded = recording.wait()?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    let counts = recorded.events()?;
    for symbol in ["ip_rcv", "ip_local_deliver", "icmp_rcv", "ip_output"] {
        assert_eq!(counts.at(symbol).count(), 200, "{symbol}: {}", recorded.ended.stderr);
    }
    let recorded = beside.stop(libc::SIGINT)?;
    assert_eq!(recorded.summary()?, (400, 0), "{}", recorded.ended.stderr);
    until_detached()
}

#[test]
fn ctrl_c_while_attaching_ends_it_at_once() -> Result<()> {
    all_probes::ctrl_c_while_attaching()
}

#[test]
fn a_signal_ends_it_while_it_detaches() -> Result<()> {
    all_probes::signal_while_detaching()
}

#[test]
fn connections_are_shown_but_not_their_lives() -> Result<()> {
    run("modprobe", ["-a", "nf_conntrack", "nft_ct", "nft_nat"])?;
    let topology = Topology::ipv4_only()?;
    topology.blue.filter(
        "table ip t {
             chain to { type nat hook prerouting priority -100; udp dport 7000 dnat to 10.0.0.2:7001; }
             chain in { type filter hook input priority 0; udp dport 7001 ct mark set 0x2a; }
         }",
    )?;
    let receiver = topology.blue.enter(|| Ok(std::net::UdpSocket::bind("10.0.0.2:7001")?))?;
    let sender = topology.red.enter(|| Ok(std::net::UdpSocket::bind("10.0.0.1:7002")?))?;
    receiver.set_read_timeout(Some(tracer_tests::PATIENCE))?;
    sender.set_read_timeout(Some(tracer_tests::PATIENCE))?;
    let mut table = String::new();
    let recorded = Tracer::collect(["-c", "ct,skb", "-p", "ip_local_deliver", "-p", "udp_rcv", "-p", "ip_output"])
        .during(|_| {
            let mut buffer = [0; 8];
            sender.send_to(b"there", "10.0.0.2:7000")?;
            let (_, from) = receiver.recv_from(&mut buffer)?;
            receiver.send_to(b"back", from)?;
            sender.recv_from(&mut buffer)?;
            table = topology.blue.run("cat", ["/proc/net/nf_conntrack"])?;
            Ok(())
        })?;
    let original = "src=10.0.0.1 dst=10.0.0.2 sport=7002 dport=7000 src=10.0.0.2 dst=10.0.0.1 sport=7001 dport=7002 ";
    assert!(table.contains(original) && table.contains(" mark=42 "), "{table}");
    let events = recorded.events()?;
    let states: Vec<(&str, &str)> = events
        .hits()
        .filter(|event| *event.get("/ct/orig/proto/udp/dport") == 7000)
        .map(|event| {
            assert_eq!(*event.get("/ct/reply/proto/udp/sport"), 7001, "{event:?}");
            (event.symbol(), event.get("/ct/state").as_str().unwrap_or_default())
        })
        .collect();
    assert_eq!(states, [("ip_local_deliver", "new"), ("udp_rcv", "new"), ("ip_output", "reply")]);
    let last = events.at("ip_output").find(|event| !event.get("/ct").is_null()).expect("it was there");
    assert_eq!(*last.get("/ct/mark"), 42);
    let ended = Tracer::run(["collect", "-c", "ct", "--ct-events", "-p", "ip_rcv"])?;
    assert_eq!(ended.code(), 4, "{}", ended.stderr);
    assert!(ended.stderr.contains("`--ct-events` needs the type information (BTF) of the module"), "{}", ended.stderr);
    Ok(())
}

#[test]
fn usdt_probes_are_refused_with_the_reason() -> Result<()> {
    let _program = usdt::program()?;
    let ended = Tracer::run(["collect", "-p", "usdt:usdt:tracer_test:forms"])?;
    assert_eq!(ended.code(), 4, "{}", ended.stderr);
    assert!(ended.stderr.contains("does not tell programs at which USDT probe they are"), "{}", ended.stderr);
    Ok(())
}
