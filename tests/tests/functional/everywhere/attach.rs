// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which probes can be had, and what is said about the others.
//!
//! Cost: 1 to 2 s a run of the program; nine runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};
use tracer_tests::{Process, Tracer};

/// The functions of the kernel itself: name and at how many addresses.
fn functions() -> Result<BTreeMap<String, u32>> {
    let mut functions = BTreeMap::new();
    for line in fs::read_to_string("/proc/kallsyms")?.lines() {
        if let [_, "t" | "T", name] = line.split_whitespace().collect::<Vec<_>>()[..] {
            *functions.entry(name.to_owned()).or_default() += 1;
        }
    }
    Ok(functions)
}

fn traceable() -> Result<BTreeSet<String>> {
    let list = fs::read_to_string("/sys/kernel/tracing/available_filter_functions")?;
    Ok(list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Exit code 4 and these words.
fn refuses(probe: &str, words: &[&str]) -> Result<()> {
    let ended = Tracer::run(["collect", "-p", "ip_rcv", "-p", probe, "--cmd", "true"])?;
    assert_eq!(ended.code(), 4, "{probe}: {}", ended.stderr);
    for words in words {
        assert!(ended.stderr.contains(words), "`{words}` is not in:\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("ready"), "{}", ended.stderr);
    Ok(())
}

#[test]
fn refuses_a_named_function_that_does_not_exist() -> Result<()> {
    refuses("no_such_function", &["no_such_function", "this kernel has no such function"])
}

#[test]
fn refuses_a_named_tracepoint_that_does_not_exist() -> Result<()> {
    refuses(
        "tp:net:no_such_tracepoint",
        &["raw_tracepoint:net:no_such_tracepoint", "this kernel has no such tracepoint"],
    )
}

#[test]
fn refuses_a_wildcard_that_fits_nothing() -> Result<()> {
    refuses("no_such_*", &["no_such_*"])
}

#[test]
fn says_that_a_name_is_ambiguous() -> Result<()> {
    let traceable = traceable()?;
    let functions = functions()?;
    let twice = functions.iter().find(|(name, count)| **count > 1 && traceable.contains(*name));
    let (name, count) = twice.context("every function has a name of its own")?;
    refuses(name, &[name, &format!("{count} functions of this kernel have this name")])
}

#[test]
fn says_that_only_a_version_made_by_the_compiler_exists() -> Result<()> {
    let functions = functions()?;
    let only_suffixed = functions.keys().find_map(|name| {
        let plain = name.split_once(".constprop.")?.0;
        (plain.starts_with("ip") && !functions.contains_key(plain)).then_some((plain, name))
    });
    let (plain, suffixed) = only_suffixed.context("the compiler has not specialised any function")?;
    refuses(plain, &[plain, suffixed, "arguments may differ"])
}

#[test]
fn says_that_a_function_can_not_be_probed() -> Result<()> {
    // Part of the entry from interrupts, where no kernel lets anybody probe.
    refuses("irqentry_enter", &["irqentry_enter", "the kernel does not let it be probed"])
}

#[test]
fn a_wildcard_leaves_out_what_can_not_be_probed() -> Result<()> {
    // Among them the initialisers of the kernel, functions without a packet, and on some kernels names that occur twice.
    let recorded = Tracer::collect(["-p", "k:ip_*", "-p", "k:dst_*", "--cmd", "true"]).finish()?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    Ok(())
}

#[test]
fn takes_a_function_without_a_packet_and_says_so() -> Result<()> {
    let recorded = Tracer::collect(["-p", "k:do_exit", "--cmd", "true; true | true"]).finish()?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    assert!(recorded.ended.stderr.contains("`do_exit` takes no packet"), "{}", recorded.ended.stderr);
    let events = recorded.events()?;
    assert!(events.at("do_exit").count() > 0, "events without a packet are events too");
    assert!(events.at("do_exit").all(|event| event.0.get("packet").is_none()), "{events:?}");
    Ok(())
}

#[test]
fn refuses_a_collector_that_does_not_exist() -> Result<()> {
    let ended = Tracer::run(["collect", "-c", "skbb"])?;
    assert_eq!(ended.code(), 2, "{}", ended.stderr);
    for words in ["there is no collector `skbb`", "did you mean `skb`"] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    Ok(())
}

#[test]
fn refuses_a_file_that_can_not_be_written() -> Result<()> {
    let ended = Tracer::run(["collect", "-o", "/nowhere/events.json", "--cmd", "true"])?;
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("/nowhere/events.json"), "{}", ended.stderr);
    Ok(())
}

#[test]
fn says_that_it_needs_to_be_root() -> Result<()> {
    let mut command = Tracer::command(["collect", "--cmd", "true"])?;
    // Nobody, who loses all capabilities by that.
    let ended = Process::start(command.uid(65534).gid(65534))?.wait()?;
    assert_eq!(ended.code(), 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("root"), "{}", ended.stderr);
    Ok(())
}
