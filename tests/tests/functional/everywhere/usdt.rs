// SPDX-License-Identifier: Apache-2.0 OR MIT
//! USDT probes: of a program made for it, and of Open vSwitch.
//!
//! Cost: 3 s a session, 8 s for Open vSwitch; seven sessions.

use std::io;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use serde_json::Value;
use tracer_core::collector::{self, Collector, Decode, DecodeError, Hook, Needs};
use tracer_core::event::json::EventJson;
use tracer_core::kernel::Kernel;
use tracer_core::probe::ProbeSpec;
use tracer_core::session::{Session, Sink};
use tracer_tests::{Bridged, HitCounter, OvsBuild, Process, Tracer, run, until};

use crate::verifier::{matches, options};

/// See `tests/programs/usdt.c`.
const PROGRAM: &str = env!("USDT_PROGRAM");

pub(crate) fn program() -> Result<Process> {
    let process = Process::start(&mut Command::new(PROGRAM))?;
    process.stdout_line("`begun`", |line| line.trim_end() == "begun")?;
    Ok(process)
}

/// Has the program pass its probes, if somebody looks at them, and ends it.
fn pass(process: Process, said: &str) -> Result<()> {
    process.signal(libc::SIGUSR1)?;
    process.stdout_line(said, |line| line.trim_end() == said)?;
    process.signal(libc::SIGTERM)?;
    ensure!(process.wait()?.code() == 128 + libc::SIGTERM);
    Ok(())
}

/// What the hook has written, an event after the other.
static RECORDED: Mutex<Vec<Recorded>> = Mutex::new(Vec::new());

/// `struct usdt_arguments` of the hook.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Recorded {
    which: u64,
    readable: u64,
    arguments: Vec<u64>,
    memory: [u8; 16],
}

struct Keep;

impl Decode for Keep {
    fn decode(&mut self, kind: u8, bytes: &[u8], _: &mut EventJson) -> Result<(), DecodeError> {
        let short = || DecodeError::Short { kind, length: bytes.len() };
        let (memory, words) = bytes.split_last_chunk().map(|(words, memory)| (*memory, words)).ok_or_else(short)?;
        let words: Vec<u64> =
            words.chunks_exact(8).filter_map(|word| Some(u64::from_ne_bytes(word.try_into().ok()?))).collect();
        let [which, readable, arguments @ ..] = words.as_slice() else { return Err(short()) };
        let recorded = Recorded { which: *which, readable: *readable, arguments: arguments.to_vec(), memory };
        RECORDED.lock().unwrap_or_else(PoisonError::into_inner).push(recorded);
        Ok(())
    }
}

/// Only counted.
struct Nowhere;

impl Sink for Nowhere {
    fn event(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Records with the hook of `tests/ebpf/usdt_ns.bpf.c`, whose collector brings probes as `start` says.
fn record(start: collector::Start, traffic: impl FnOnce() -> Result<()>) -> Result<Vec<Recorded>> {
    let object = include_bytes!(concat!(env!("OUT_DIR"), "/usdt_ns.bpf.o"));
    let own = collector::find(&collector::all()?, "ns")?;
    let collector: &'static Collector = Box::leak(Box::new(Collector {
        name: own.name,
        about: own.about,
        sections: own.sections,
        hook: Hook { number: own.hook.number, object },
        subjects: own.subjects,
        arguments: Vec::new,
        start,
    }));
    RECORDED.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let arguments = matches(&[collector], &[])?;
    let kernel = Kernel::new("/");
    let mut session = Session::open(&kernel, options(&[collector], &arguments, &[])?)?;
    ensure!(session.warnings().is_empty(), "{:?}", session.warnings());
    let mut done = Ok(());
    let summary = session.run(&mut Nowhere, None, &|| (), |_| done = traffic())?;
    done?;
    ensure!(summary.losses.is_empty(), "{:?}", summary.losses);
    Ok(std::mem::take(&mut *RECORDED.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn own_number(needs: &mut Needs) -> Result<(), tracer_core::error::Error> {
    needs.constant("own_number", [collector::find(&collector::all()?, "ns")?.hook.number]);
    Ok(())
}

/// A probe that the hook knows by this variable.
fn own_probe(needs: &mut Needs, probe: ProbeSpec, variable: &'static str) {
    needs.recognise(probe.clone(), variable);
    needs.probe(probe);
}

#[test]
fn a_hook_reads_arguments_from_wherever_they_are() -> Result<()> {
    let process = program()?;
    let recorded = record(
        |_, _, needs| {
            own_number(needs)?;
            own_probe(needs, ProbeSpec::usdt("usdt", "tracer_test", "forms"), "first_mark");
            own_probe(needs, ProbeSpec::usdt("usdt", "tracer_test", "twice"), "second_mark");
            Ok(Box::new(Keep))
        },
        || pass(process, "passed"),
    )?;
    let of = |which| recorded.iter().filter(move |recorded| recorded.which == which);
    let forms: Vec<_> = of(1).collect();
    assert_eq!(forms.len(), 5, "{recorded:?}");
    let expected: [u64; 12] = [
        0x1122_3344_5566_7788,
        0x5566_7788,
        -2_i64 as u64,
        0x7788,
        0x88,
        0x88_u8.cast_signed() as u64,
        0x6666_6666,
        0x34,
        0x8234_5678_1234_5678,
        0x8234_u16.cast_signed() as u64,
        -9_i64 as u64,
        7,
    ];
    for form in forms {
        assert_eq!((form.readable, &*form.arguments), (0xfff, &expected[..]));
    }
    let twice: Vec<_> = of(2).map(|recorded| (recorded.readable, recorded.arguments[0])).collect();
    assert_eq!(twice, [(1, 1), (1, 2)].repeat(5));
    Ok(())
}

#[test]
fn a_program_that_ends_is_told_and_its_events_are_kept() -> Result<()> {
    let process = program()?;
    let id = process.id();
    let recording =
        Tracer::collect(["-p", "usdt:usdt:tracer_test:forms", "-p", "usdt:usdt:tracer_test:twice"]).start()?;
    pass(process, "passed")?;
    recording
        .process
        .stderr_line("the end of the process", |line| line.contains(&format!("process {id} (`usdt`) has ended")))?;
    // It runs the same file.
    let again = program()?;
    let second = again.id();
    pass(again, "passed")?;
    let recorded = recording.stop(libc::SIGINT)?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    let events = recorded.events()?;
    assert_eq!(
        events.counts(),
        [("tracer_test:forms", 10), ("tracer_test:twice", 20)].into(),
        "{}",
        recorded.ended.stderr
    );
    let processes: Vec<u64> =
        events.at("tracer_test:forms").filter_map(|event| event.get("/userspace/pid").as_u64()).collect();
    assert_eq!(processes, [[u64::from(id); 5], [u64::from(second); 5]].concat());
    assert_eq!(recorded.summary()?, (30, 0));
    Ok(())
}

#[test]
fn by_its_id_only_one_process_is_looked_at() -> Result<()> {
    let (one, other) = (program()?, program()?);
    let probe = format!("usdt:{}:tracer_test:forms", one.id());
    let recorded = Tracer::collect(["-p", &probe]).during(|_| {
        pass(one, "passed")?;
        pass(other, "nobody looks")
    })?;
    assert_eq!(recorded.events()?.counts(), [("tracer_test:forms", 5)].into());
    Ok(())
}

#[test]
fn what_is_wrong_with_a_usdt_probe_is_said() -> Result<()> {
    let _process = program()?;
    let sleeping = Process::start(Command::new("sleep").arg("1000"))?;
    for (probe, words) in [
        ("usdt:usdtt:tracer_test:forms", ["no such process runs", "did you mean `usdt`?"]),
        ("usdt:usdt:tracer_test:form", ["no such USDT probe", "did you mean `usdt:usdt:tracer_test:forms`"]),
        (&format!("usdt:{}:a:b", sleeping.id()), ["has no USDT probes", "--enable-usdt-probes"]),
    ] {
        let ended = Tracer::run(["collect", "-p", probe])?;
        assert_eq!(ended.code(), 1, "{}", ended.stderr);
        assert!(words.iter().all(|words| ended.stderr.contains(words)), "{probe}: {}", ended.stderr);
    }
    Ok(())
}

#[test]
fn inspect_lists_usdt_probes() -> Result<()> {
    let process = program()?;
    let text = Tracer::output(["inspect", "probes", "--format", "json", "usdt:usdt:tracer_test:*"])?;
    let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let probes: Vec<&str> = lines.iter().filter_map(|line| line["probe"].as_str()).collect();
    assert_eq!(probes, ["usdt:usdt:tracer_test:forms", "usdt:usdt:tracer_test:twice"]);
    assert_eq!(lines[0]["path"], PROGRAM);
    assert_eq!(lines[0]["processes"], serde_json::json!([process.id()]));
    assert!(lines[0]["arguments"].as_str().is_some_and(|arguments| arguments.starts_with("8@%rax 4@%eax ")), "{text}");
    assert_eq!(lines[0]["probeable"], true);
    Ok(())
}

/// Where the kernel has what it takes, the program forbids preemption while it runs. When libbpf does not find these functions, it leaves
/// them out without a word.
fn keeps_its_cpu() -> Result<()> {
    let symbols = std::fs::read_to_string("/proc/kallsyms")?;
    if symbols.lines().any(|line| line.split_whitespace().nth(2) == Some("bpf_res_spin_lock")) {
        let code = run("bpftool", ["prog", "dump", "xlated", "name", "usdt_probe"])?;
        for function in ["bpf_preempt_disable#", "bpf_preempt_enable#"] {
            ensure!(code.contains(&format!("call {function}")), "{code}");
        }
    }
    Ok(())
}

#[test]
fn open_vswitch_is_seen_to_handle_upcalls() -> Result<()> {
    let bridged = Bridged::new(OvsBuild::Usdt, "usdt")?;
    // Each with the functions of the kernel that are on the other side of it.
    let probes: [(&str, &[&str]); 3] = [
        ("dpif_recv:recv_upcall", &["queue_userspace_packet"]),
        ("dpif_netlink_operate__:op_flow_put", &["ovs_flow_cmd_new", "ovs_flow_cmd_set"]),
        ("dpif_netlink_operate__:op_flow_execute", &["ovs_packet_cmd_execute"]),
    ];
    let arguments = probes.iter().flat_map(|(probe, _)| ["-p".to_owned(), format!("usdt:ovs-vswitchd:{probe}")]);
    // Nothing but the pings is an upcall, and nobody revalidates flows while one begins or ends to count.
    bridged.without_ipv6()?;
    bridged.ovs.switch().signal(libc::SIGSTOP)?;
    let recording = Tracer::collect(arguments).start()?;
    keeps_its_cpu()?;
    let counter = HitCounter::new(&probes.map(|(_, functions)| functions).concat(), &[])?;
    let before = counter.read()?;
    bridged.ovs.switch().signal(libc::SIGCONT)?;
    bridged.red.ping("10.0.0.2", 3)?;
    bridged.ovs.switch().signal(libc::SIGSTOP)?;
    let counted = counter.read()?;
    let recorded = recording.stop(libc::SIGINT)?;
    bridged.ovs.switch().signal(libc::SIGCONT)?;
    assert_eq!(recorded.ended.code(), 0, "{}", recorded.ended.stderr);
    let events = recorded.events()?;
    let counts = events.counts();
    for (probe, functions) in probes {
        let hits = functions.iter().map(|function| counted[*function] - before[*function]).sum();
        assert!(hits >= 2, "a request and its reply: {counted:?}");
        assert_eq!(counts.get(probe), Some(&hits), "{counts:?}, {counted:?}\n{}", recorded.ended.stderr);
    }
    let id = bridged.ovs.switch().id();
    for event in events.hits() {
        assert_eq!(*event.get("/userspace/probe_type"), "usdt");
        assert_eq!(*event.get("/userspace/path"), *bridged.ovs.switch_path().display().to_string());
        assert_eq!(*event.get("/userspace/pid"), id);
        assert_eq!(event.get("/userspace/tid"), event.get("/common/task/tgid"));
        assert!(event.get("/userspace/ip").as_u64().is_some_and(|ip| ip > 0));
        // Revalidators put flows, too.
        let comm = event.get("/common/task/comm").as_str().unwrap_or_default();
        assert!(comm.starts_with("handler") || event.symbol().ends_with("op_flow_put"), "{event:?}");
        assert!(event.get("/kernel").is_null());
    }
    Ok(())
}

#[test]
fn a_hook_reads_what_open_vswitch_has_received() -> Result<()> {
    let bridged = Bridged::new(OvsBuild::Usdt, "args")?;
    let recorded = record(
        |_, _, needs| {
            own_number(needs)?;
            own_probe(needs, ProbeSpec::usdt("ovs-vswitchd", "dpif_recv", "recv_upcall"), "first_mark");
            own_probe(
                needs,
                ProbeSpec::usdt("ovs-vswitchd", "dpif_netlink_operate__", "op_flow_execute"),
                "second_mark",
            );
            Ok(Box::new(Keep))
        },
        || {
            bridged.red.ping("10.0.0.2", 1)?;
            until("the reply's flow is there", || Ok(bridged.ovs.appctl("dpctl/dump-flows")?.lines().count() >= 2))
        },
    )?;
    let echo = |recorded: &&Recorded, which| {
        recorded.which == which && recorded.arguments[3] == 98 && recorded.memory[12..14] == [8, 0]
    };
    let received: Vec<_> = recorded.iter().filter(|recorded| echo(recorded, 1)).collect();
    let executed: Vec<_> = recorded.iter().filter(|recorded| echo(recorded, 2)).collect();
    assert_eq!((received.len(), executed.len()), (2, 2), "{recorded:?}");
    for (number, (received, executed)) in received.iter().zip(&executed).enumerate() {
        assert_eq!((received.readable, executed.readable), (0b11_1111, 0b1_1111));
        assert_eq!(received.arguments[1], 0, "a miss");
        assert_eq!(received.arguments[2], executed.arguments[2], "the same packet");
        let to = if number == 0 { 2 } else { 1 };
        for recorded in [received, executed] {
            assert_eq!(recorded.memory[..6], [2, 0, 0, 0, 0, to], "{recorded:?}");
        }
        // A `struct nlattr` is 4 bytes long, and a key holds many of them.
        assert!((50..1000).contains(&received.arguments[5]), "{received:?}");
    }
    Ok(())
}
