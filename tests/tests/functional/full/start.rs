// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said when collection can't begin, and what is enough for it to begin.
//!
//! Cost: 1 to 2 s a run of the program; about thirty runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::{Process, Setting, Topology, Tracer, run};

/// A function, its return, and a tracepoint: every way of attaching.
const PROBES: [&str; 6] = ["-p", "k:ip_rcv", "-p", "kr:ip_rcv", "-p", "tp:net:netif_rx"];

/// Exit code and stderr of `tracer collect`, started by `wrapper`, whose arguments stand in front. Without the line about what
/// an older kernel can't do, which has tests of its own.
fn said(wrapper: &[String], arguments: &[&str]) -> Result<String> {
    let collect = Tracer::command(["collect"].iter().chain(arguments).chain(&["--cmd", "true"]))?;
    let mut command = match wrapper {
        [] => collect,
        [program, before @ ..] => {
            let mut outer = Command::new(program);
            outer.args(before).arg(collect.get_program()).args(collect.get_args());
            outer
        }
    };
    let ended = Process::start(&mut command)?.wait()?;
    let lines = ended.stderr.lines().filter(|line| !line.starts_with("this kernel "));
    Ok(format!("exit {}\n{}", ended.code(), lines.map(|line| format!("{line}\n")).collect::<String>()))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// In a mount namespace of its own, after a shell command.
fn after(command: &str) -> Vec<String> {
    words(&["unshare", "--mount", "--propagation", "private", "sh", "-c", &format!("{command} && exec \"$0\" \"$@\"")])
}

/// As nobody, with these capabilities.
fn nobody(capabilities: &[&str]) -> Vec<String> {
    let mut list = "-all".to_owned();
    for capability in capabilities {
        list += &format!(",+{}", capability.trim_start_matches("CAP_").to_lowercase());
    }
    let own = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    words(&[&own[..], &[&format!("--inh-caps={list}"), &format!("--ambient-caps={list}")]].concat())
}

/// Whether many functions can be attached to at once: told by a symbol, where the program tries it out.
fn has_kprobe_multi() -> Result<bool> {
    let symbols = fs::read_to_string("/proc/kallsyms")?;
    Ok(symbols.lines().any(|line| line.split_whitespace().nth(2) == Some("register_fprobe_ips")))
}

/// The capabilities that the program says are enough.
fn named_as_enough() -> Result<Vec<String>> {
    let refused = said(&nobody(&[]), &PROBES)?;
    ensure!(
        refused.starts_with("exit 3\nerror: the kernel does not let this process load eBPF programs: "),
        "{refused}"
    );
    let hint = refused.lines().find_map(|line| line.strip_prefix("hint: run as root, or with "));
    let hint = hint.with_context(|| format!("no capabilities are named in:\n{refused}"))?;
    Ok(hint.replace(" and ", ", ").split(", ").map(str::to_owned).collect())
}

#[test]
fn runs_with_exactly_the_capabilities_that_it_says_are_enough() -> Result<()> {
    let enough = named_as_enough()?;
    let enough: Vec<&str> = enough.iter().map(String::as_str).collect();
    let told = said(&nobody(&enough), &[&PROBES[..], &["-p", "tp:net:netif_receive_*", "-p", "k:icmp_*"]].concat())?;
    assert!(told.starts_with("exit 0\nready: "), "without a warning: {told}");
    Ok(())
}

#[test]
fn collectors_that_need_the_types_of_modules_say_what_else_they_take() -> Result<()> {
    run("modprobe", ["-a", "openvswitch", "nf_tables", "ip_tables"])?;
    let enough = named_as_enough()?;
    let enough: Vec<&str> = enough.iter().map(String::as_str).collect();
    for collector in ["ovs", "nft", "iptables"] {
        let told = said(&nobody(&enough), &["-c", collector])?;
        if enough.contains(&"CAP_SYS_ADMIN") {
            assert!(told.starts_with("exit 0\n"), "{told}");
        } else {
            assert!(
                told.starts_with("exit 3\nerror: programs are shown the types of the kernel's modules only"),
                "{told}"
            );
            assert!(told.contains("hint: run as root, or with CAP_SYS_ADMIN"), "{told}");
        }
    }
    Ok(())
}

#[test]
fn names_the_capability_that_is_missing() -> Result<()> {
    let enough = named_as_enough()?;
    let wildcard = [&PROBES[..], &["-p", "tp:net:netif_receive_*"]].concat();
    for missing in &enough {
        let others: Vec<&str> = enough.iter().filter(|other| *other != missing).map(String::as_str).collect();
        let told = said(&nobody(&others), &wildcard)?;
        match missing.as_str() {
            "CAP_SYSLOG" => {
                assert!(told.starts_with("exit 0\n"), "{told}");
                let warning = "warning: the kernel hides the addresses of its symbols (CAP_SYSLOG is missing): stacks";
                assert!(told.contains(warning), "{told}");
            }
            "CAP_DAC_READ_SEARCH" => {
                assert!(
                    told.starts_with("exit 3\nerror: `raw_tracepoint:net:netif_receive_*` needs tracefs"),
                    "{told}"
                );
                assert!(told.contains("CAP_DAC_READ_SEARCH"), "{told}");
            }
            _ => {
                let error = format!(
                    "exit 3\nerror: the kernel does not let this process load eBPF programs: {missing} is missing\nhint: "
                );
                assert!(told.starts_with(&error), "{missing}: {told}");
            }
        }
    }
    Ok(())
}

#[test]
fn says_what_single_kprobes_take() -> Result<()> {
    if has_kprobe_multi()? {
        // Attaching at once takes no more than loading: the test before this one has seen that.
        assert!(!named_as_enough()?.contains(&"CAP_SYS_ADMIN".to_owned()));
        return Ok(());
    }
    let own = ["CAP_BPF", "CAP_PERFMON", "CAP_SYSLOG", "CAP_DAC_READ_SEARCH"];
    assert_eq!(
        said(&nobody(&own), &PROBES)?,
        "exit 3\n\
         error: `kprobe:ip_rcv` can't be probed: the kernel does not permit it to this process\n\
         hint: run as root, or with CAP_SYS_ADMIN, CAP_SYSLOG and CAP_DAC_READ_SEARCH\n"
    );
    // The reason: perf is closed to all but the greatest capability.
    let _open = Setting::change("/proc/sys/kernel/perf_event_paranoid", "2")?;
    assert_eq!(named_as_enough()?, own);
    assert!(said(&nobody(&own), &PROBES)?.starts_with("exit 0\nready: "));
    Ok(())
}

#[test]
fn says_that_a_user_namespace_is_not_enough() -> Result<()> {
    assert_eq!(
        said(&words(&["unshare", "--user", "--map-root-user"]), &PROBES)?,
        "exit 3\n\
         error: the kernel does not let this process load eBPF programs: in a user namespace, as of a container, no \
         capability counts for that\n\
         hint: run it outside, as the host's root\n"
    );
    Ok(())
}

#[test]
fn says_that_the_kernel_has_no_types() -> Result<()> {
    assert_eq!(
        said(&after("mount -t tmpfs none /sys/kernel/btf"), &PROBES)?,
        "exit 4\n\
         error: no kernel type information at `/sys/kernel/btf/vmlinux`: No such file or directory (os error 2)\n\
         hint: tracer needs a kernel built with CONFIG_DEBUG_INFO_BTF, as distributions' kernels are\n"
    );
    Ok(())
}

#[test]
fn says_that_tracefs_is_not_mounted_when_that_matters() -> Result<()> {
    let without = after("umount -R /sys/kernel/tracing && umount -R /sys/kernel/debug");
    assert_eq!(
        said(&without, &["-p", "tp:net:netif_*"])?,
        "exit 4\n\
         error: `raw_tracepoint:net:netif_*` needs tracefs, to know the groups of tracepoints: it is not mounted at \
         `/sys/kernel/tracing`\n\
         hint: mount it with `mount -t tracefs tracefs /sys/kernel/tracing`, or name the tracepoints\n"
    );
    Ok(())
}

#[test]
fn says_that_the_symbols_can_not_be_read_and_goes_on() -> Result<()> {
    let told = said(&after("mount --bind /dev/null /proc/kallsyms"), &PROBES)?;
    assert!(
        told.starts_with("exit 0\nwarning: the kernel's symbols at `/proc/kallsyms`: there are none\nready: 3 of 3"),
        "{told}"
    );
    Ok(())
}

#[test]
fn knows_the_functions_although_their_addresses_are_hidden() -> Result<()> {
    let _hidden = Setting::change("/proc/sys/kernel/kptr_restrict", "2")?;
    let told = said(&[], &PROBES)?;
    assert!(
        told.starts_with(
            "exit 0\nwarning: the kernel hides the addresses of its symbols (kernel.kptr_restrict is 2): stacks are shown as \
             numbers\nready: 3 of 3"
        ),
        "{told}"
    );
    assert_eq!(
        said(&[], &["-p", "tcp_v4_rvc"])?.lines().nth(1),
        Some("error: `kprobe:tcp_v4_rvc` can't be probed: this kernel has no such function")
    );
    Ok(())
}

#[test]
fn offers_what_was_meant() -> Result<()> {
    let function = said(&[], &["-p", "tcp_v4_rvc"])?;
    assert!(function.contains("hint: did you mean `tcp_v4_rcv` or "), "{function}");
    let tracepoint = said(&[], &["-p", "tp:net:netif_rxx"])?;
    assert!(
        tracepoint.starts_with(
            "exit 4\nerror: `raw_tracepoint:net:netif_rxx` can't be probed: this kernel has no such tracepoint\n\
             hint: did you mean `net:netif_rx` or "
        ),
        "{tracepoint}"
    );
    Ok(())
}

#[test]
fn refuses_to_be_silent_while_ftrace_is_off() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let _off = Setting::change("/proc/sys/kernel/ftrace_enabled", "0")?;
    assert_eq!(
        said(&[], &PROBES)?,
        "exit 4\n\
         error: `kprobe:ip_rcv` would see nothing: ftrace is switched off (kernel.ftrace_enabled is 0)\n\
         hint: switch it on with `sysctl kernel.ftrace_enabled=1`\n"
    );
    assert_eq!(
        said(&[], &["-c", "skb-tracking"])?.lines().nth(1),
        Some("error: packets can't be tracked: ftrace is switched off (kernel.ftrace_enabled is 0)")
    );
    // What does not need it works.
    let recorded = Tracer::collect([""; 0]).profile("generic").during(|_| topology.red.ping("10.0.0.2", 3))?;
    let told = &recorded.ended.stderr;
    assert!(told.contains("warning: collector `skb-tracking` is off: "), "{told}");
    assert!(told.contains(" probes are left out, because they would see nothing: ftrace is switched off"), "{told}");
    assert_eq!(recorded.events()?.at("net:net_dev_start_xmit").count(), 6, "{told}");
    Ok(())
}

#[test]
fn refuses_to_be_silent_while_kprobes_are_off() -> Result<()> {
    let _off = Setting::change("/sys/kernel/debug/kprobes/enabled", "0")?;
    let told = said(&[], &PROBES)?;
    if has_kprobe_multi()? {
        // It rests on something else.
        assert!(told.starts_with("exit 0\nready: 3 of 3"), "{told}");
    } else {
        assert_eq!(
            told,
            "exit 4\n\
             error: `kprobe:ip_rcv` would see nothing: kprobes are switched off (`/sys/kernel/debug/kprobes/enabled` is 0)\n\
             hint: switch them on with `echo 1 >/sys/kernel/debug/kprobes/enabled`\n"
        );
    }
    Ok(())
}

#[test]
fn says_what_can_not_be_written() -> Result<()> {
    assert_eq!(
        said(&[], &["-o", "/nowhere/events.json"])?,
        "exit 1\n\
         error: cannot write `/nowhere/events.json`\n\
         caused by: No such file or directory (os error 2)\n\
         hint: the folder must exist\n"
    );
    ensure!(!Path::new("/nowhere").exists());
    assert_eq!(
        said(&nobody(&[]), &["-o", "/etc/events.json"])?,
        "exit 3\n\
         error: cannot write `/etc/events.json`\n\
         caused by: Permission denied (os error 13)\n"
    );
    Ok(())
}
