// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `tracer inspect` says is what `tracer collect` finds.
//!
//! Cost: 1 to 3 s a run of the program; ten runs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::{Ended, Process, Tracer, run};

fn lines(text: &str) -> Result<Vec<Value>> {
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn probes(patterns: &[&str]) -> Result<Vec<Value>> {
    lines(&Tracer::output(["inspect", "probes", "--format", "json"].iter().chain(patterns))?)
}

/// Nobody, who loses all capabilities by that.
fn as_nobody(arguments: &[&str]) -> Result<Ended> {
    Process::start(Tracer::command(arguments)?.uid(65534).gid(65534))?.wait()
}

fn kernel() -> Result<Value> {
    Ok(serde_json::from_str(&Tracer::output(["inspect", "kernel", "--format", "json"])?)?)
}

/// A list of objects by the names in them.
fn by_name(list: &Value) -> BTreeMap<&str, &Value> {
    list.as_array().into_iter().flatten().filter_map(|entry| Some((entry["name"].as_str()?, entry))).collect()
}

fn is_packet_probe(place: &Value) -> bool {
    place["probeable"] == true && !place["packet"].is_null()
}

#[test]
fn collect_attaches_exactly_what_inspect_says_has_a_packet_and_can_be_probed() -> Result<()> {
    for pattern in ["k:ip_*", "k:dst_*", "k:tcp_v4_*", "tp:net:*"] {
        let said = probes(&[pattern])?.iter().filter(|place| is_packet_probe(place)).count();
        ensure!(said > 0, "{pattern}");
        let recorded = Tracer::collect(["-p", pattern, "--cmd", "true"]).finish()?;
        let stderr = &recorded.ended.stderr;
        assert!(stderr.contains(&format!("ready: {said} of {said} probes attached")), "{pattern}: {said}: {stderr}");
    }
    Ok(())
}

#[test]
fn collect_refuses_what_inspect_says_can_not_be_probed_for_the_same_reason() -> Result<()> {
    let all = probes(&["k:*"])?;
    // One function for each reason, the ones with numbers and names in them taken together.
    let mut reasons: BTreeMap<&str, &Value> = BTreeMap::new();
    for place in all.iter().filter(|place| place["probeable"] == false) {
        let why = place["why_not"].as_str().context("no reason is given")?;
        let kind = if why.starts_with("this kernel only has") {
            "suffixed"
        } else if why.contains("functions of this kernel have this name") {
            "ambiguous"
        } else {
            why
        };
        reasons.entry(kind).or_insert(place);
    }
    ensure!(reasons.len() >= 4, "{:?}", reasons.keys());
    for place in reasons.values() {
        let (target, why) =
            (place["target"].as_str().unwrap_or_default(), place["why_not"].as_str().unwrap_or_default());
        let ended = Tracer::run(["collect", "-p", target, "--cmd", "true"])?;
        assert_eq!(ended.code(), 4, "{target}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(&format!("error: `kprobe:{target}` can't be probed: {why}\n")),
            "{}",
            ended.stderr
        );
    }
    Ok(())
}

#[test]
fn shows_prototype_packet_and_collectors() -> Result<()> {
    run("modprobe", ["openvswitch"])?;
    let places =
        probes(&["kr:ip_rcv", "k:tcp_v4_send_synack", "tp:net:net_dev_start_xmit", "ovs_vport_receive", "do_exit"])?;
    let find = |probe: &str| places.iter().find(|place| place["probe"] == probe).context(probe.to_owned());
    let returned = find("kretprobe:ip_rcv")?;
    assert_eq!(
        returned["prototype"],
        "int ip_rcv(struct sk_buff *skb, struct net_device *dev, struct packet_type *pt, struct net_device *orig_dev)"
    );
    let place = serde_json::json!({
        "argument": 1, "name": "skb", "indirect": false, "stack_offset": null, "from_entry": true
    });
    assert_eq!(returned["packet"], place);
    let on_stack = find("kprobe:tcp_v4_send_synack")?;
    assert_eq!((&on_stack["packet"]["argument"], &on_stack["packet"]["stack_offset"]), (&7.into(), &8.into()));
    let tracepoint = find("raw_tracepoint:net:net_dev_start_xmit")?;
    assert_eq!(
        tracepoint["prototype"],
        "void net_dev_start_xmit(const struct sk_buff *skb, const struct net_device *dev)"
    );
    assert_eq!(find("kprobe:ovs_vport_receive")?["module"], "openvswitch");
    let without = find("kprobe:do_exit")?;
    assert_eq!((&without["packet"], &without["no_packet"]), (&Value::Null, &"it takes none".into()));
    assert_eq!(without["collectors"], serde_json::json!([]));
    for collector in ["dev", "ns", "skb", "skb-tracking"] {
        assert!(returned["collectors"].as_array().is_some_and(|all| all.contains(&collector.into())), "{returned}");
    }
    Ok(())
}

#[test]
fn shows_everything_with_a_packet_and_says_to_nobody_what_it_could_not_see() -> Result<()> {
    let all = probes(&[])?;
    let functions = all.iter().filter(|place| place["type"] == "kprobe" && is_packet_probe(place)).count();
    // The kernels have 1493, 1645 and 1709 in vmlinux alone.
    assert!((1_450..2_500).contains(&functions), "{functions}");
    assert!(all.iter().all(|place| !place["packet"].is_null()));
    let unprivileged = as_nobody(&["inspect", "probes", "--format", "json"])?;
    assert_eq!(unprivileged.code(), 0, "{}", unprivileged.stderr);
    assert!(
        unprivileged.stderr.starts_with(
            "warning: tracefs: `/sys/kernel/tracing` can't be read: Permission denied (os error 13); the groups of tracepoints"
        ),
        "{}",
        unprivileged.stderr
    );
    assert!(lines(&unprivileged.stdout)?.len() >= functions);
    Ok(())
}

#[test]
fn says_what_the_kernel_offers() -> Result<()> {
    run("modprobe", ["-a", "openvswitch", "nf_tables", "ip_tables", "ip6_tables"])?;
    let kernel = kernel()?;
    assert_eq!(kernel["release"], fs::read_to_string("/proc/sys/kernel/osrelease")?.trim());
    assert_eq!((&kernel["privileges"]["sufficient"], &kernel["lockdown"]), (&true.into(), &"none".into()));
    for (name, source) in by_name(&kernel["sources"]) {
        assert_eq!(source["readable"], true, "{name}: {source}");
    }
    let symbols = fs::read_to_string("/proc/kallsyms")?;
    let has = |name: &str| symbols.lines().any(|line| line.split_whitespace().nth(2) == Some(name));
    let features = by_name(&kernel["features"]["found"]);
    let expected = [
        ("kprobe.multi", has("register_fprobe_ips")),
        ("kprobe.session", has("bpf_session_cookie")),
        ("kprobe cookies", true),
        // Came together, in 6.10.
        ("raw tracepoint cookies", has("bpf_session_cookie")),
        ("fentry", true),
        ("ring buffer", true),
        ("missed counters", has("bpf_session_cookie")),
        ("direct reads", has("bpf_rdonly_cast")),
        ("fetch atomics", true),
    ];
    assert_eq!(features.len(), expected.len(), "{features:?}");
    for (name, available) in expected {
        assert_eq!(features[name]["available"], available, "{name}");
    }
    let modules = by_name(&kernel["modules"]);
    assert_eq!((&modules["openvswitch"]["loaded"], &modules["nf_tables"]["loaded"]), (&true.into(), &true.into()));
    for (name, state) in by_name(&kernel["collectors"]) {
        assert_eq!(state["available"], true, "{name}: {state}");
    }
    Ok(())
}

#[test]
fn says_to_nobody_what_is_missing() -> Result<()> {
    let told = as_nobody(&["inspect", "kernel"])?;
    assert_eq!(told.code(), 0, "{}", told.stderr);
    for words in ["it lacks ", "symbols, their addresses hidden", "`/sys/kernel/tracing` can't be read", "no eBPF"] {
        assert!(told.stdout.contains(words), "`{words}` is not in:\n{}", told.stdout);
    }
    Ok(())
}

#[test]
fn knows_the_option_of_retis() -> Result<()> {
    let told = Tracer::output(["inspect", "-p", "tp:net:netif_rx"])?;
    assert!(told.starts_with("raw_tracepoint:net:netif_rx\n  void netif_rx(struct sk_buff *skb)\n"), "{told}");
    Ok(())
}
