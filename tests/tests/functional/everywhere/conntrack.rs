// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collector `ct` on a router that tracks connections, compared with what `conntrack` says of the same ones.
//!
//! Cost: one line of three namespaces and one session for all traffic, 15 s; one more session, 5 s.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context as _, Result, ensure};
use nfq::Queue;
use serde_json::Value;
use tracer_tests::{Event, Events, Line, Namespace, Process, Recorded, Setting, Topology, Tracer, python, run, until};

/// Of UDP, with an open socket on the other side.
const OPEN: u16 = 7000;
/// Nobody listens there.
const CLOSED: u16 = 7001;
/// Not tracked, dropped, marked and labelled, translated, soon forgotten.
const UNTRACKED: u16 = 7002;
const DROPPED: u16 = 7003;
const MARKED: u16 = 7004;
const TRANSLATED: u16 = 7005;
const FORGOTTEN: u16 = 7006;
/// The router holds two packets of one flow until it has both.
const CLASHING: u16 = 7007;
/// Zones 1 to 3 are those of packets from the ports behind this one.
const ZONED: u16 = 7010;
/// Of TCP: a server, and where the router hands connections to it.
const SERVER: u16 = 8000;
const HANDED: u16 = 8080;
/// The server closes, and the next connection comes from the same port.
const AGAIN: u16 = 8001;
const FTP: u16 = 21;
const FTP_DATA: u16 = 2021;

const RULES: &str = r#"
table inet t {
    ct helper ftp { type "ftp" protocol tcp; }
    chain first {
        type filter hook prerouting priority -300
        udp dport 7002 notrack
        ct zone set udp sport map { 7011 : 1, 7012 : 2, 7013 : 3 }
    }
    chain help { type filter hook prerouting priority 0; tcp dport 21 ct helper set "ftp"; }
    chain forward {
        type filter hook forward priority 0
        udp dport 7003 drop
        udp dport 7007 queue num 7
        udp dport 7004 ct mark set 0x2a ct label set 5
        udp dport 7004 ct label set 70
    }
    chain to { type nat hook prerouting priority -100; tcp dport 8080 dnat ip to 10.0.2.1:8000; }
    chain from { type nat hook postrouting priority 100; udp dport 7005 snat ip to 10.0.2.254:4000; }
}
"#;

struct Recording {
    recorded: Recorded,
    events: Events,
    /// What `conntrack -L` said before all was flushed.
    table: Vec<String>,
    /// What `conntrack -E` said.
    said: String,
}

static RECORDING: LazyLock<Recording> = LazyLock::new(|| record().expect("the traffic is recorded"));

fn record() -> Result<Recording> {
    run(
        "modprobe",
        [
            "-a",
            "nf_conntrack",
            "nf_conntrack_netlink",
            "nf_conntrack_ftp",
            "nft_ct",
            "nft_nat",
            "nft_queue",
            "sctp",
            "ip_gre",
        ],
    )?;
    let line = Line::routed("ct")?;
    line.middle.filter(RULES)?;
    line.middle.sysctl("netfilter/nf_conntrack_tcp_loose", "0")?;
    // Nothing is forgotten by itself, however busy the machine is.
    for timeout in ["udp_timeout", "udp_timeout_stream", "icmp_timeout", "icmpv6_timeout", "gre_timeout"] {
        line.middle.sysctl(&format!("netfilter/nf_conntrack_{timeout}"), "600")?;
    }
    let (mut table, mut said) = (Vec::new(), String::new());
    let recorded = Tracer::collect(["--ct-events"]).profile("ct").during(|_| {
        let listener =
            line.middle.enter(|| Process::start(Command::new("conntrack").args(["-E", "-o", "extended"])))?;
        // What it prints first is about this.
        until("conntrack listens", || {
            line.middle.run(
                "conntrack",
                ["-I", "-p", "udp", "-s", "192.0.2.1", "-d", "192.0.2.2", "--sport", "1", "--dport", "1", "-t", "99"],
            )?;
            line.middle.run("conntrack", ["-D", "-s", "192.0.2.1"])?;
            Ok(listener.stdout_so_far().contains("[DESTROY]"))
        })?;
        traffic(&line)?;
        table = line.middle.run("conntrack", ["-L", "-o", "extended"])?.lines().map(str::to_owned).collect();
        line.middle.run("conntrack", ["-F"])?;
        until("the table is empty", || Ok(line.middle.run("conntrack", ["-C"])?.trim() == "0"))?;
        let flushed = table.len();
        until("all is said", || Ok(listener.stdout_so_far().matches("[DESTROY]").count() > flushed))?;
        listener.signal(libc::SIGINT)?;
        said = listener.wait()?.stdout;
        Ok(())
    })?;
    let events = recorded.events()?;
    Ok(Recording { recorded, events, table, said })
}

fn traffic(line: &Line) -> Result<()> {
    let udp = |namespace: &Namespace, address: &str, port: u16| -> Result<UdpSocket> {
        namespace.enter(|| Ok(UdpSocket::bind((address, port))?))
    };
    let server = udp(&line.blue, "10.0.2.1", OPEN)?;
    server.set_read_timeout(Some(tracer_tests::PATIENCE))?;
    let client = udp(&line.red, "10.0.1.1", OPEN)?;
    client.set_read_timeout(Some(tracer_tests::PATIENCE))?;
    let mut buffer = [0; 64];
    for _ in 0..2 {
        client.send_to(b"there", ("10.0.2.1", OPEN))?;
        let (_, from) = server.recv_from(&mut buffer)?;
        server.send_to(b"back", from)?;
        client.recv_from(&mut buffer)?;
    }
    for port in [UNTRACKED, DROPPED, MARKED, CLOSED] {
        client.send_to(b"one way", ("10.0.2.1", port))?;
    }
    let translated = udp(&line.blue, "10.0.2.1", TRANSLATED)?;
    client.send_to(b"there", ("10.0.2.1", TRANSLATED))?;
    let (_, from) = translated.recv_from(&mut buffer)?;
    ensure!(from.to_string() == "10.0.2.254:4000", "it came from {from}");
    translated.send_to(b"back", from)?;
    client.recv_from(&mut buffer)?;
    for zone in 1..=3 {
        udp(&line.red, "10.0.1.1", ZONED + zone)?.send_to(b"zone", ("10.0.2.1", ZONED))?;
    }
    line.red.ping("10.0.2.1", 2)?;
    line.red.ping("fd00:2::1", 2)?;
    clash(line, &client)?;
    tcp(line)?;
    again(line)?;
    ftp(line)?;
    sctp(line)?;
    line.red.run("ip", ["tunnel", "add", "t1", "mode", "gre", "local", "10.0.1.1", "remote", "10.0.2.1"])?;
    line.red.configure("link set t1 up\naddress add 10.64.0.1/24 dev t1\n")?;
    udp(&line.red, "10.64.0.1", 0)?.send_to(b"in a tunnel", "10.64.0.2:9")?;
    // The last one, with a time that is up at once.
    line.middle.sysctl("netfilter/nf_conntrack_udp_timeout", "1")?;
    client.send_to(b"one way", ("10.0.2.1", FORGOTTEN))?;
    let is_there = || -> Result<bool> {
        let table = line.middle.run("conntrack", ["-L", "-p", "udp"])?;
        Ok(table.contains(&format!("dport={FORGOTTEN}")))
    };
    until("the connection is forgotten", || Ok(!is_there()?))
}

/// Two packets begin the same connection, because neither is confirmed before the other has come.
fn clash(line: &Line, client: &UdpSocket) -> Result<()> {
    let mut queue = line.middle.enter(|| {
        let mut queue = Queue::open()?;
        queue.bind(7)?;
        queue.set_nonblocking(true);
        Ok(queue)
    })?;
    let mut held = Vec::new();
    for _ in 0..2 {
        client.send_to(b"one way", ("10.0.2.1", CLASHING))?;
    }
    until("the router holds both", || {
        held.extend(queue.recv().ok());
        Ok(held.len() == 2)
    })?;
    for mut packet in held {
        packet.set_verdict(nfq::Verdict::Accept);
        queue.verdict(packet)?;
    }
    Ok(())
}

/// Twice the same ports; the first connection is over when the second begins, but its entry is still there.
fn again(line: &Line) -> Result<()> {
    let listener = line.blue.enter(|| Ok(TcpListener::bind(("10.0.2.1", AGAIN))?))?;
    let client = format!("TCP:10.0.2.1:{AGAIN},sourceport=5555,reuseaddr");
    for _ in 0..2 {
        std::thread::scope(|scope| {
            let client = scope.spawn(|| line.red.run("socat", ["-u", &client, "STDOUT"]));
            let (mut server, _) = listener.accept()?;
            server.write_all(b"bye")?;
            drop(server);
            let said = client.join().expect("it does not panic")?;
            ensure!(said == "bye", "{said}");
            Ok(())
        })?;
        until("both sides have closed it", || {
            let table = line.middle.run("conntrack", ["-L", "-p", "tcp"])?;
            Ok(table.lines().any(|line| line.contains("TIME_WAIT") && line.contains(&format!("dport={AGAIN}"))))
        })?;
    }
    Ok(())
}

/// A connection to the server that the router hands on, whose entry is deleted before the last bytes; and one that is refused.
fn tcp(line: &Line) -> Result<()> {
    let listener = line.blue.enter(|| Ok(TcpListener::bind(("10.0.2.1", SERVER))?))?;
    let mut client = line.red.enter(|| Ok(TcpStream::connect(("10.0.1.254", HANDED))?))?;
    let (mut server, _) = listener.accept()?;
    let mut buffer = [0; 5];
    client.write_all(b"there")?;
    server.read_exact(&mut buffer)?;
    server.write_all(b"back!")?;
    client.read_exact(&mut buffer)?;
    let mut plain = line.red.enter(|| Ok(TcpStream::connect(("10.0.2.1", SERVER))?))?;
    let (mut server, _) = listener.accept()?;
    line.middle.run("conntrack", ["-D", "-p", "tcp", "--orig-port-src", &plain.local_addr()?.port().to_string()])?;
    plain.write_all(b"fits?")?;
    server.read_exact(&mut buffer)?;
    let refused = line.red.enter(|| Ok(TcpStream::connect(("10.0.2.1", CLOSED)).is_err()))?;
    ensure!(refused, "somebody listens at {CLOSED}");
    // Open until the end: else entries are removed in their own time.
    std::mem::forget((client, plain, server, listener));
    Ok(())
}

/// As much of FTP as it takes for the router to expect a transfer.
fn ftp(line: &Line) -> Result<()> {
    let (control, data) =
        line.blue.enter(|| Ok((TcpListener::bind(("10.0.2.1", FTP))?, TcpListener::bind(("10.0.2.1", FTP_DATA))?)))?;
    let mut client = line.red.enter(|| Ok(TcpStream::connect(("10.0.2.1", FTP))?))?;
    let (mut server, _) = control.accept()?;
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(tracer_tests::PATIENCE))?;
    }
    let mut buffer = [0; 64];
    // Before its first line, nobody knows where the next one begins.
    server.write_all(b"220 here\r\n")?;
    ensure!(client.read(&mut buffer)? > 0, "a greeting");
    client.write_all(b"PASV\r\n")?;
    ensure!(server.read(&mut buffer)? == 6, "a command");
    let [high, low] = FTP_DATA.to_be_bytes();
    // In one piece: the router reads packets, not streams.
    server.write_all(format!("227 Entering Passive Mode (10,0,2,1,{high},{low})\r\n").as_bytes())?;
    ensure!(client.read(&mut buffer)? > 0, "an answer");
    let transfer = line.red.enter(|| Ok(TcpStream::connect(("10.0.2.1", FTP_DATA))?))?;
    std::mem::forget((client, server, control, data.accept()?, transfer));
    Ok(())
}

fn sctp(line: &Line) -> Result<()> {
    let socat = |namespace: &Namespace, arguments: [&str; 2]| {
        namespace.enter(|| Process::start(Command::new("socat").arg("-d").arg("-d").args(["-u"]).args(arguments)))
    };
    let server = socat(&line.blue, ["SCTP-LISTEN:9000", "STDOUT"])?;
    server.stderr_line("`listening on`", |line| line.contains("listening on"))?;
    line.red.run("sh", ["-c", "echo over sctp | socat -u STDIN SCTP:10.0.2.1:9000"])?;
    server.stdout_line("what was sent", |line| line.contains("over sctp"))?;
    server.wait()?;
    Ok(())
}

/// A connection of an event in the words of `conntrack`: what tells it from others.
fn words(connection: &Value) -> String {
    let direction = |tuple: &Value| {
        let (ip, proto) = (&tuple["ip"], &tuple["proto"]);
        let mut words = format!("src={} dst={}", text(&ip["src"]), text(&ip["dst"]));
        for name in ["tcp", "udp", "sctp"] {
            if let Some(ports) = proto.get(name) {
                words += &format!(" sport={} dport={}", ports["sport"], ports["dport"]);
            }
        }
        if let Some(icmp) = proto.get("icmp") {
            words += &format!(" type={} code={} id={}", icmp["type"], icmp["code"], icmp["id"]);
        }
        if let Some(key) = tuple.get("key") {
            let hex = |name: &str| key[name].as_u64().unwrap_or(u64::MAX);
            words += &format!(" srckey={:#x} dstkey={:#x}", hex("src"), hex("dst"));
        }
        words
    };
    format!("{} {}", direction(&connection["orig"]), direction(&connection["reply"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The same of a line of `conntrack`.
fn words_of_line(line: &str) -> String {
    const KEYS: [&str; 9] = ["src", "dst", "sport", "dport", "type", "code", "id", "srckey", "dstkey"];
    let is_of_tuple = |word: &&str| word.split_once('=').is_some_and(|(key, _)| KEYS.contains(&key));
    line.split_whitespace().filter(is_of_tuple).collect::<Vec<_>>().join(" ")
}

fn value_in<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// The connection that an event is about.
fn connection(event: &Event) -> Option<&Value> {
    event.0.get("ct").or_else(|| event.0.pointer("/ct-ext/connection"))
}

impl Recording {
    /// The states of UDP packets to or from a port of blue, in order, as their connection was found.
    fn states(&self, protocol: &str, port: u16) -> Vec<&str> {
        let is_of = |event: &&Event| {
            event.probe_type() == "kretprobe"
                && event.symbol() == "nf_conntrack_in"
                && *event.get(&format!("/ct/orig/proto/{protocol}/dport")) == port
        };
        self.events.at("nf_conntrack_in").filter(is_of).map(|event| text(event.get("/ct/state"))).collect()
    }

    /// What became of entries: in which way and why, with the connection.
    fn lives(&self) -> impl Iterator<Item = (&str, Option<&str>, String, &Event)> {
        self.events.hits().filter_map(|event| {
            let name = event.0.pointer("/ct-ext/event")?.as_str()?;
            let why = event.0.pointer("/ct-ext/why").and_then(Value::as_str);
            Some((name, why, words(connection(event)?), event))
        })
    }

    /// Why entries were destroyed whose words hold this.
    fn why(&self, part: &str) -> Vec<&str> {
        let wanted = self.lives().filter(|(name, _, words, _)| *name == "destroyed" && words.contains(part));
        wanted.map(|(_, why, ..)| why.unwrap_or("?")).collect()
    }
}

#[test]
fn connections_are_what_conntrack_says() -> Result<()> {
    let recording = &*RECORDING;
    ensure!(recording.table.len() > 12, "{:?}", recording.table);
    for line in &recording.table {
        let words = words_of_line(line);
        let of_it = |event: &&Event| connection(event).is_some_and(|connection| self::words(connection) == words);
        // As it was flushed.
        let last = recording.events.hits().filter(of_it).last().with_context(|| format!("no event of {line}"))?;
        let connection = connection(last).context("it has a connection")?;
        let status = connection["ct_status"].as_u64().context("a number")?;
        assert_eq!(line.contains("[UNREPLIED]"), status & 2 == 0, "{line}: {last:?}");
        assert_eq!(line.contains("[ASSURED]"), status & 4 != 0, "{line}: {last:?}");
        assert_eq!(value_in(line, "mark").unwrap_or("0"), connection["mark"].to_string(), "{line}");
        assert_eq!(value_in(line, "zone").unwrap_or("0"), connection["zone_id"].to_string(), "{line}");
        if let Some(state) = connection["proto_state"].as_str() {
            assert!(line.split_whitespace().any(|word| word == state), "{line}: {state}");
        }
        let number = line.split_whitespace().nth(3).unwrap_or_default();
        let known = ["1", "6", "17", "132"].contains(&number);
        assert_eq!(known, connection["orig"].get("protonum").is_none(), "{line}: {last:?}");
        if !known {
            assert_eq!(connection["orig"]["protonum"].to_string(), number);
        }
        if known || number == "58" {
            assert!(connection["orig"].get("proto").is_some(), "{last:?}");
        }
    }
    Ok(())
}

#[test]
fn packets_are_new_established_reply_or_related() {
    let recording = &*RECORDING;
    assert_eq!(recording.states("udp", OPEN), ["new", "reply", "established", "reply"]);
    assert_eq!(recording.states("udp", CLOSED), ["new", "related_reply"], "the answer is an error of ICMP");
    assert_eq!(recording.states("tcp", FTP_DATA)[..3], ["related", "reply", "established"]);
    assert_eq!(recording.states("tcp", HANDED)[..3], ["new", "reply", "established"]);
    let icmp6: Vec<&str> = recording
        .events
        .at("nf_conntrack_in")
        .filter(|event| *event.get("/ct/orig/protonum") == 58)
        .map(|event| text(event.get("/ct/state")))
        .collect();
    assert_eq!(icmp6, ["new", "reply", "established", "reply"]);
}

#[test]
fn a_transfer_names_the_connection_that_it_came_out_of() {
    let transfers: Vec<_> =
        RECORDING.events.hits().filter(|event| *event.get("/ct/orig/proto/tcp/dport") == FTP_DATA).collect();
    assert!(!transfers.is_empty());
    for event in transfers {
        assert_eq!(*event.get("/ct/parent/orig/proto/tcp/dport"), FTP, "{event:?}");
        assert!(event.get("/ct/parent/state").is_null());
        assert_eq!(event.get("/ct/ct_status").as_u64().unwrap_or(0) & 1, 1, "it was expected");
    }
}

#[test]
fn packets_without_a_connection_are_untracked_or_invalid() {
    let states = |flow: &str| -> BTreeSet<(String, String)> {
        let series = RECORDING.events.series();
        let of_flow = series.values().filter(|series| series.iter().any(|event| event.flow().as_deref() == Some(flow)));
        of_flow
            .flatten()
            .filter(|event| event.namespace().ends_with("middle"))
            .filter_map(|event| {
                Some((event.symbol().to_owned(), event.0.pointer("/ct-ext/state")?.as_str()?.to_owned()))
            })
            .collect()
    };
    let untracked = states(&format!("udp4 10.0.1.1:{OPEN} > 10.0.2.1:{UNTRACKED}"));
    let places: Vec<&str> = untracked.iter().map(|(symbol, _)| &**symbol).collect();
    assert!(untracked.iter().all(|(_, state)| state == "untracked"), "{untracked:?}");
    for place in ["ip_forward", "ip_output", "nf_conntrack_in"] {
        assert!(places.contains(&place), "{places:?}");
    }
    // The one after its entry was deleted.
    let invalid: Vec<&Event> =
        RECORDING.events.hits().filter(|event| *event.get("/ct-ext/state") == "invalid").collect();
    assert!(!invalid.is_empty());
    for event in invalid {
        assert_eq!((event.symbol(), event.probe_type()), ("nf_conntrack_in", "kretprobe"), "known nowhere else");
        assert!(event.0.get("ct").is_none());
    }
}

#[test]
fn translation_is_shown_as_what_is_rewritten_to_what() -> Result<()> {
    let printed = Tracer::output(["print", RECORDING.recorded.path().to_str().context("text")?])?;
    assert!(printed.contains(&format!(" dnat 10.0.1.254:{HANDED} -> 10.0.2.1:{SERVER} zone 0")), "{printed}");
    assert!(printed.contains(&format!(" snat 10.0.1.1:{OPEN} -> 10.0.2.254:4000 zone 0")), "{printed}");
    assert!(printed.contains("|SRC_NAT|"), "{printed}");
    let line = printed.lines().find(|line| line.contains(" dnat ")).context("a line")?;
    assert!(line.contains("ct_state ") && line.contains(" tcp ("), "{line}");
    assert!(!printed.contains(&format!("{OPEN} -> 10.0.2.1:{OPEN}")), "only what is rewritten: {printed}");
    Ok(())
}

#[test]
fn each_connection_has_its_own_zone_mark_and_labels() {
    for zone in 1..=3_u16 {
        let of_zone = |event: &&Event| *event.get("/ct/orig/proto/udp/sport") == ZONED + zone;
        let zones: Vec<_> = RECORDING.events.hits().filter(of_zone).map(|event| event.get("/ct/zone_id")).collect();
        assert!(zones.len() >= 4 && zones.iter().all(|found| **found == zone), "{zone}: {zones:?}");
    }
    let of_port = |event: &&Event| *event.get("/ct/orig/proto/udp/dport") == MARKED;
    let marked: Vec<_> = RECORDING.events.hits().filter(of_port).collect();
    let at = |symbol: &str| marked.iter().find(|event| event.symbol() == symbol).expect("it was there");
    assert_eq!(*at("nf_conntrack_in").get("/ct/mark"), 0, "the rule comes later");
    let confirmed = at("__nf_conntrack_confirm");
    assert_eq!(*confirmed.get("/ct/mark"), 0x2a);
    assert_eq!(*confirmed.get("/ct/labels/lo"), 1_u64 << 5);
    assert_eq!(*confirmed.get("/ct/labels/hi"), 1_u64 << (70 - 64));
}

#[test]
fn entries_are_confirmed_and_destroyed_when_conntrack_says_so() {
    let recording = &*RECORDING;
    let said = |kind: &str| -> Vec<String> {
        let mut said: Vec<_> = recording.said.lines().filter(|line| line.contains(kind)).map(words_of_line).collect();
        said.retain(|words| !words.contains("192.0.2.1"));
        said.sort();
        said
    };
    let told = |kind: &str| -> Vec<String> {
        let in_table = |why: Option<&str>| !matches!(why, Some("unconfirmed" | "invalid" | "clash"));
        let mut told: Vec<_> = recording
            .lives()
            .filter(|(name, why, ..)| *name == kind && in_table(*why))
            .map(|(_, _, words, _)| words)
            .filter(|words| !words.contains("192.0.2.1"))
            .collect();
        told.sort();
        told
    };
    assert!(said("[NEW]").len() > 12, "{}", recording.said);
    assert_eq!(told("confirmed"), said("[NEW]"));
    assert_eq!(told("destroyed"), said("[DESTROY]"));
    // Whatever is confirmed was created before.
    let created: BTreeSet<String> =
        recording.lives().filter(|(name, ..)| *name == "created").map(|(_, _, words, _)| words).collect();
    let originals = |words: &[String]| -> BTreeSet<String> {
        words.iter().map(|words| words.split(" src=").next().unwrap_or_default().to_owned()).collect()
    };
    let created: Vec<String> = created.into_iter().collect();
    assert!(originals(&created).is_superset(&originals(&told("confirmed"))), "{created:?}");
}

/// Why one of two entries ends whose packets were held in a queue. 6.1 gives the packet the other entry when it is handed back, before its
/// own is to be confirmed.
fn why_of_clash() -> &'static str {
    if std::env::var("TRACER_VM_KERNEL").is_ok_and(|kernel| kernel == "6.1") { "unconfirmed" } else { "clash" }
}

#[test]
fn why_an_entry_is_destroyed_is_told() {
    let recording = &*RECORDING;
    assert_eq!(recording.why(&format!("dport={DROPPED} src=")), ["unconfirmed"]);
    assert_eq!(recording.why(&format!("dport={FORGOTTEN} src=")), ["timeout"]);
    assert_eq!(recording.why(&format!("dport={MARKED} src=")), ["flush"]);
    assert_eq!(recording.why(&format!("dport={HANDED} src=")), ["flush"]);
    assert_eq!(recording.why(&format!("dst=10.0.2.1 sport={OPEN} dport={TRANSLATED}")), ["flush"]);
    assert_eq!(recording.why(&format!("dport={CLASHING} src=")), [why_of_clash(), "flush"]);
    // Of TCP: refused; and deleted before its last packet, which begins none.
    let of_tcp = |port: u16| -> Vec<&str> {
        let wanted = recording.lives().filter(|(name, _, _, event)| {
            *name == "destroyed" && connection(event).is_some_and(|one| one["orig"]["proto"]["tcp"]["dport"] == port)
        });
        wanted.map(|(_, why, ..)| why.unwrap_or("?")).collect()
    };
    assert_eq!(of_tcp(CLOSED), ["reset"]);
    assert_eq!(of_tcp(AGAIN), ["replaced", "flush"]);
    assert_eq!(of_tcp(SERVER)[..2], ["delete", "invalid"]);
    assert!(recording.why("srckey=").iter().all(|why| *why == "flush"));
}

#[test]
fn entries_that_make_room_are_told() -> Result<()> {
    run("modprobe", ["-a", "nf_conntrack", "nft_ct"])?;
    // The kernel looks for room in a few of its buckets only.
    let _few = Setting::change("/proc/sys/net/netfilter/nf_conntrack_buckets", "32")?;
    let _most = Setting::change("/proc/sys/net/netfilter/nf_conntrack_max", "16")?;
    let topology = Topology::ipv4_only()?;
    topology.blue.filter("table ip t { chain c { type filter hook input priority 0; ct state new accept; }; }\n")?;
    let recorded = Tracer::collect(["-c", "ct,skb,skb-tracking", "--ct-events", "-f", "udp"]).during(|_| {
        let client = topology.red.enter(|| Ok(UdpSocket::bind("10.0.0.1:0")?))?;
        (0..100).try_for_each(|number| {
            client.send_to(b"one way", ("10.0.0.2", 7100 + number))?;
            Ok(())
        })
    })?;
    let events = recorded.events()?;
    let of_why = |event: &&Event| *event.get("/ct-ext/why") == "early_drop";
    let dropped: Vec<&Event> = events.hits().filter(of_why).collect();
    assert!(!dropped.is_empty(), "{}", recorded.ended.stderr);
    for event in dropped {
        assert!(event.identity().is_some(), "a new packet needs the room: {event:?}");
    }
    Ok(())
}

#[test]
fn ends_of_entries_are_events_of_the_packets_that_caused_them() {
    let series = RECORDING.events.series();
    let ends = |wanted: &str| -> Vec<&Event> {
        let of_why = RECORDING.lives().filter(|(_, why, ..)| *why == Some(wanted));
        of_why.map(|(_, _, _, event)| event).collect()
    };
    for why in ["reset", "invalid", "unconfirmed", why_of_clash(), "replaced"] {
        let ends = ends(why);
        assert!(!ends.is_empty(), "{why}");
        for end in ends {
            let packet = end.identity().expect("it is one of a packet");
            let flows: BTreeSet<String> = series[&packet].iter().filter_map(|event| event.flow()).collect();
            let clashing = format!(" > 10.0.2.1:{CLASHING}");
            let port = match why {
                "reset" => format!("10.0.2.1:{CLOSED} > "),
                "invalid" => format!("10.0.2.1:{SERVER}"),
                "replaced" => format!(" > 10.0.2.1:{AGAIN}"),
                _ if why == why_of_clash() && flows.iter().all(|flow| flow.contains(&clashing)) => clashing,
                _ => format!(" > 10.0.2.1:{DROPPED}"),
            };
            let places: Vec<&str> = series[&packet].iter().map(|event| event.symbol()).collect();
            assert!(flows.iter().all(|flow| flow.contains(&port)), "{why}: {flows:?} at {places:?}");
            assert!(!flows.is_empty(), "{why}");
        }
    }
    for end in ends("flush").into_iter().chain(ends("timeout")) {
        assert_eq!(end.identity(), None);
        assert!(end.namespace().ends_with("middle"), "{end:?}");
    }
}

#[test]
fn stored_connections_can_be_asked_for_and_read_by_retis() -> Result<()> {
    let path = RECORDING.recorded.path();
    let path = path.to_str().context("text")?;
    let printed = Tracer::output(["print", "--format", "json", "-m", "ct.mark == 42", path])?;
    assert!(printed.contains("\"mark\":42"), "{printed}");
    let tunnel = Tracer::output(["print", "-m", "ct-ext.connection.orig.protonum == 47", path])?;
    assert!(tunnel.contains(" gre orig [10.0.1.1 > 10.0.2.1 key 0x0 > 0x0]"), "{tunnel}");
    let found: Value = serde_json::from_str(&python("read_with_retis.py", [path])?)?;
    let count = RECORDING.events.hits().filter(|event| event.0.get("ct").is_some()).count();
    assert_eq!(found["sections"]["ct"], count);
    Ok(())
}
