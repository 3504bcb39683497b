// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Drops of all kinds, with the reason and the place that the kernel's own tracing records of the same packets.
//!
//! Cost: one topology and one session for all causes, 10 s; three small sessions, 4 s each.

use std::env;
use std::mem::size_of_val;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tracer_tests::{DropTrace, Event, Events, PacketSocket, Recorded, Topology, TracedDrop, Tracer, run, until};

use frames::{Packet, Tcp};

mod frames;

/// Why packets are dropped, and what the kernels of the tests call that: 6.1, 6.12, 7.
struct Cause {
    /// Stands in its packets, which are told by it.
    name: &'static str,
    reasons: [&'static str; 3],
    /// The function that drops them, one that the compiler may have put it into, or its caller, where it ends by jumping to what frees.
    places: &'static [&'static str],
    make: fn(&Bed, &[u8]) -> Result<()>,
}

/// Where the causes are made: red sends frames as they are, blue forwards.
struct Bed {
    topology: Topology,
    wire: PacketSocket,
    /// Of blue: one that has a filter which takes nothing, one with little room, and one that listens.
    filtered: UdpSocket,
    small: UdpSocket,
    listener: TcpListener,
    /// A connection from red to blue.
    connected: (TcpStream, TcpStream),
}

const FILTERED: u16 = 7001;
const SMALL: u16 = 7002;
const LISTENING: u16 = 7003;
const NFT: u16 = 7004;
const INGRESS: u16 = 7005;
const EGRESS: u16 = 7006;
const NOBODY: u16 = 7099;

const CAUSES: &[Cause] = &[
    Cause {
        name: "udp-no-socket",
        reasons: ["NO_SOCKET"; 3],
        places: &["__udp4_lib_rcv", "udp_rcv"],
        make: |bed, mark| bed.send(&Packet::udp(NOBODY, mark)),
    },
    Cause {
        name: "tcp-no-socket",
        reasons: ["NO_SOCKET"; 3],
        places: &["tcp_v4_rcv"],
        make: |bed, mark| bed.send(&Packet::tcp(Tcp { port: NOBODY, flags: 0x10, ..Tcp::default() }, mark)),
    },
    Cause {
        name: "udp-checksum",
        reasons: ["UDP_CSUM"; 3],
        places: &["__udp4_lib_rcv", "udp_rcv"],
        make: |bed, mark| bed.send(&Packet::udp(NOBODY, mark).with_bad_checksum()),
    },
    Cause {
        name: "tcp-checksum",
        reasons: ["TCP_CSUM"; 3],
        places: &["tcp_v4_rcv"],
        make: |bed, mark| {
            bed.send(&Packet::tcp(Tcp { port: NOBODY, flags: 0x10, ..Tcp::default() }, mark).with_bad_checksum())
        },
    },
    Cause {
        name: "icmp-checksum",
        reasons: ["ICMP_CSUM"; 3],
        places: &["icmp_rcv"],
        make: |bed, mark| bed.send(&Packet::echo_request(mark).with_bad_checksum()),
    },
    Cause {
        name: "ip-checksum",
        reasons: ["IP_CSUM"; 3],
        places: &["ip_rcv_core"],
        make: |bed, mark| {
            let mut frame = Packet::udp(NOBODY, mark).frame();
            frame[24] ^= 0xff;
            bed.wire.send(&frame)
        },
    },
    Cause {
        name: "ip-header-length",
        reasons: ["IP_INHDR"; 3],
        places: &["ip_rcv_core"],
        make: |bed, mark| {
            let mut frame = Packet::udp(NOBODY, mark).frame();
            frame[14] = 0x44;
            bed.wire.send(&frame)
        },
    },
    Cause {
        name: "ip-cut-short",
        reasons: ["PKT_TOO_SMALL"; 3],
        places: &["ip_rcv_core"],
        make: |bed, mark| {
            let mut frame = Packet::udp(NOBODY, &[mark, &[0; 100]].concat()).frame();
            frame.truncate(frame.len() - 100);
            bed.wire.send(&frame)
        },
    },
    Cause {
        name: "other-host",
        reasons: ["OTHERHOST"; 3],
        places: &["ip_rcv_core"],
        make: |bed, mark| bed.send(&Packet { to: [2, 0, 0, 0, 0, 9], ..Packet::udp(NOBODY, mark) }),
    },
    Cause {
        name: "ether-type",
        reasons: ["UNHANDLED_PROTO"; 3],
        places: &["__netif_receive_skb_core"],
        make: |bed, mark| {
            let mut frame = Packet::udp(NOBODY, mark).frame();
            frame[12..14].copy_from_slice(&[0x88, 0xb5]);
            bed.wire.send(&frame)
        },
    },
    Cause {
        name: "ip-protocol",
        reasons: ["IP_NOPROTO"; 3],
        places: &["ip_protocol_deliver_rcu", "ip_local_deliver_finish"],
        make: |bed, mark| bed.send(&Packet { protocol: 253, ..Packet::udp(NOBODY, mark) }),
    },
    Cause {
        name: "ipv6-disabled",
        reasons: ["IPV6DISABLED"; 3],
        places: &["ip6_rcv_core", "ipv6_rcv"],
        make: |bed, mark| bed.wire.send(&frames::ipv6(mark)),
    },
    Cause {
        name: "reverse-path",
        reasons: ["IP_RPFILTER"; 3],
        places: &["ip_rcv_finish_core"],
        make: |bed, mark| bed.send(&Packet { source: [192, 0, 2, 9], ..Packet::udp(NOBODY, mark) }),
    },
    Cause {
        name: "source-is-a-group",
        reasons: ["NOT_SPECIFIED", "NOT_SPECIFIED", "IP_INVALID_SOURCE"],
        places: &["ip_rcv_finish_core"],
        make: |bed, mark| bed.send(&Packet { source: [224, 0, 0, 9], ..Packet::udp(NOBODY, mark) }),
    },
    Cause {
        name: "unicast-in-broadcast",
        reasons: ["UNICAST_IN_L2_MULTICAST"; 3],
        places: &["ip_rcv_finish_core"],
        make: |bed, mark| bed.send(&Packet { to: [0xff; 6], ..Packet::udp(NOBODY, mark) }),
    },
    Cause {
        name: "not-for-us",
        reasons: ["IP_INADDRERRORS"; 3],
        places: &["ip_error"],
        make: |bed, mark| {
            bed.topology.blue.sysctl("ipv4/conf/veth0/forwarding", "0")?;
            bed.send(&Packet { destination: [203, 0, 113, 5], ..Packet::udp(NOBODY, mark) })?;
            bed.settle()?;
            bed.topology.blue.sysctl("ipv4/conf/veth0/forwarding", "1")
        },
    },
    Cause {
        name: "no-route",
        reasons: ["IP_INNOROUTES"; 3],
        places: &["ip_error"],
        make: |bed, mark| bed.send(&Packet { destination: [203, 0, 113, 5], ..Packet::udp(NOBODY, mark) }),
    },
    Cause {
        name: "hops-used-up",
        reasons: ["IP_INHDR"; 3],
        places: &["ip_forward"],
        make: |bed, mark| bed.send(&Packet { destination: [192, 0, 2, 50], ttl: 1, ..Packet::udp(NOBODY, mark) }),
    },
    Cause {
        name: "larger-than-mtu",
        reasons: ["PKT_TOO_BIG"; 3],
        places: &["ip_forward"],
        make: |bed, mark| {
            let payload = [mark, &[0; 900]].concat();
            bed.send(&Packet { destination: [192, 0, 2, 50], ..Packet::udp(NOBODY, &payload) })
        },
    },
    Cause {
        name: "no-neighbour",
        reasons: ["NEIGH_FAILED"; 3],
        places: &["arp_error_report", "neigh_invalidate"],
        make: |bed, mark| {
            let socket = bed.topology.blue.enter(|| Ok(UdpSocket::bind("10.0.0.2:0")?))?;
            socket.send_to(mark, ("10.0.0.77", NOBODY))?;
            Ok(())
        },
    },
    Cause {
        name: "nft-rule",
        reasons: ["NETFILTER_DROP"; 3],
        places: &["nft_do_chain", "nf_hook_slow"],
        make: |bed, mark| bed.send(&Packet::udp(NFT, mark)),
    },
    Cause {
        name: "tc-ingress",
        reasons: ["TC_INGRESS"; 3],
        places: &["__netif_receive_skb_core", "sch_handle_ingress"],
        make: |bed, mark| bed.send(&Packet::udp(INGRESS, mark)),
    },
    Cause {
        name: "tc-egress",
        reasons: ["TC_EGRESS"; 3],
        places: &["__dev_queue_xmit", "sch_handle_egress"],
        make: |bed, mark| {
            let socket = bed.topology.red.enter(|| Ok(UdpSocket::bind("10.0.0.1:0")?))?;
            socket.send_to(mark, ("10.0.0.2", EGRESS))?;
            Ok(())
        },
    },
    Cause {
        name: "socket-filter",
        reasons: ["SOCKET_FILTER"; 3],
        places: &["udp_queue_rcv_one_skb"],
        make: |bed, mark| bed.send(&Packet::udp(FILTERED, mark)),
    },
    Cause {
        name: "receive-buffer",
        reasons: ["SOCKET_RCVBUFF"; 3],
        places: &["udp_queue_rcv_one_skb", "__udp_queue_rcv_skb"],
        make: |bed, mark| (0..20).try_for_each(|_| bed.send(&Packet::udp(SMALL, mark))),
    },
    Cause {
        name: "tcp-syn-and-fin",
        reasons: ["TCP_FLAGS"; 3],
        places: &["tcp_rcv_state_process", "tcp_v4_do_rcv"],
        make: |bed, mark| bed.send(&Packet::tcp(Tcp { port: LISTENING, flags: 0x03, ..Tcp::default() }, mark)),
    },
    Cause {
        name: "tcp-out-of-window",
        reasons: ["TCP_INVALID_SEQUENCE"; 3],
        places: &["tcp_validate_incoming", "tcp_rcv_established", "tcp_drop_reason"],
        make: |bed, mark| {
            let (red, blue) = &bed.connected;
            let sequence = next_sequence(blue.as_raw_fd())?.wrapping_add(100_000_000);
            let own_port = red.local_addr()?.port();
            bed.send(&Packet::tcp(Tcp { own_port, port: LISTENING, sequence, flags: 0x10 }, mark))
        },
    },
    Cause {
        name: "queue-is-full",
        reasons: ["QDISC_DROP"; 3],
        places: &["__dev_queue_xmit", "__dev_xmit_skb", "kfree_skb_list_reason", "__tcf_kfree_skb_list"],
        make: |bed, mark| bed.send_through("pfifo limit 0", mark),
    },
    Cause {
        name: "band-is-full",
        // 6.12 has some of what qdiscs know among the reasons of the core.
        reasons: ["QDISC_DROP", "FQ_BAND_LIMIT", "QDISC_DROP"],
        places: &["__dev_queue_xmit", "__dev_xmit_skb", "kfree_skb_list_reason", "__tcf_kfree_skb_list"],
        make: |bed, mark| bed.send_through("fq limit 0", mark),
    },
];

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

impl Bed {
    fn new() -> Result<Self> {
        let topology = Topology::ipv4_only()?;
        let (red, blue) = (&topology.red, &topology.blue);
        run("modprobe", ["dummy"])?;
        for command in
            ["link add dummy0 mtu 600 type dummy", "link set dummy0 up", "address add 192.0.2.1/24 dev dummy0"]
        {
            blue.run("ip", words(command))?;
        }
        for (name, value) in [
            ("ipv4/conf/veth0/forwarding", "1"),
            ("ipv4/conf/veth0/rp_filter", "1"),
            ("ipv4/conf/veth0/drop_unicast_in_l2_multicast", "1"),
            ("ipv4/neigh/veth0/mcast_solicit", "1"),
            ("ipv4/neigh/veth0/retrans_time_ms", "20"),
        ] {
            blue.sysctl(name, value)?;
        }
        // An answer to each of them.
        blue.sysctl("ipv4/icmp_ratelimit", "0")?;
        let connection = || -> Result<_> {
            let listener = blue.enter(|| Ok(TcpListener::bind(("10.0.0.2", LISTENING))?))?;
            let client = red.enter(|| Ok(TcpStream::connect(("10.0.0.2", LISTENING))?))?;
            let (server, _) = listener.accept()?;
            Ok((listener, (client, server)))
        };
        let (listener, connected) = connection()?;
        let bound = |port| blue.enter(|| Ok(UdpSocket::bind(("10.0.0.2", port))?));
        let (filtered, small) = (bound(FILTERED)?, bound(SMALL)?);
        // Takes no byte of any packet.
        let mut nothing = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 };
        let filter = libc::sock_fprog { len: 1, filter: &raw mut nothing };
        set_option(filtered.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)?;
        set_option(small.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, &0_i32)?;
        let wire = PacketSocket::open(red, "veth0")?;
        Ok(Self { wire, filtered, small, listener, connected, topology })
    }

    /// What takes modules that are not loaded yet: done while the program runs.
    fn load_rules(&self) -> Result<()> {
        let rules =
            format!("table ip drops {{ chain in {{ type filter hook input priority 0; udp dport {NFT} drop; }}; }}");
        self.topology.blue.run("nft", [rules.as_str()])?;
        for (namespace, port, side) in
            [(&self.topology.blue, INGRESS, "ingress"), (&self.topology.red, EGRESS, "egress")]
        {
            namespace.run("tc", words("qdisc add dev veth0 clsact"))?;
            let filter =
                format!("filter add dev veth0 {side} protocol ip u32 match ip dport {port} 0xffff action drop");
            namespace.run("tc", words(&filter))?;
        }
        Ok(())
    }

    fn send(&self, packet: &Packet) -> Result<()> {
        self.wire.send(&packet.frame())
    }

    /// Sends a datagram through a queueing discipline of red.
    fn send_through(&self, qdisc: &str, mark: &[u8]) -> Result<()> {
        let red = &self.topology.red;
        red.run("tc", words(&format!("qdisc add dev veth0 root {qdisc}")))?;
        let socket = red.enter(|| Ok(UdpSocket::bind("10.0.0.1:0")?))?;
        socket.send_to(mark, ("10.0.0.2", NOBODY))?;
        red.run("tc", words("qdisc delete dev veth0 root")).map(drop)
    }

    /// Waits until what was sent has been received.
    fn settle(&self) -> Result<()> {
        let receiver = self.topology.blue.enter(|| Ok(UdpSocket::bind("10.0.0.2:0")?))?;
        self.send(&Packet::udp(receiver.local_addr()?.port(), b"the end"))?;
        receiver.recv(&mut [0; 8])?;
        Ok(())
    }
}

fn set_option<T>(socket: i32, level: i32, option: i32, value: &T) -> Result<()> {
    // SAFETY: the value is as long as said.
    let set =
        unsafe { libc::setsockopt(socket, level, option, std::ptr::from_ref(value).cast(), size_of_val(value) as u32) }
            == 0;
    ensure!(set, "setsockopt {option}: {}", std::io::Error::last_os_error());
    Ok(())
}

/// The number of the next byte that a connected socket waits for.
fn next_sequence(socket: i32) -> Result<u32> {
    const RECEIVE_QUEUE: i32 = 1;
    const OFF_WITHOUT_A_PROBE: i32 = -1;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_REPAIR, &1_i32)?;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_REPAIR_QUEUE, &RECEIVE_QUEUE)?;
    let (mut sequence, mut size) = (0_u32, 4);
    // SAFETY: the value is as long as said.
    let got = unsafe {
        libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_QUEUE_SEQ, (&raw mut sequence).cast(), &raw mut size)
    } == 0;
    ensure!(got, "getsockopt: {}", std::io::Error::last_os_error());
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_REPAIR, &OFF_WITHOUT_A_PROBE)?;
    Ok(sequence)
}

/// What came of it all.
struct Observed {
    events: Events,
    traced: Vec<TracedDrop>,
    /// Text of the whole file.
    text: String,
    stderr: String,
}

static OBSERVED: LazyLock<Observed> = LazyLock::new(|| observe().expect("the drops are recorded"));

/// What stands in the packets of a cause.
fn mark(cause: &Cause) -> Vec<u8> {
    format!("<{}>", cause.name).into_bytes()
}

fn observe() -> Result<Observed> {
    let bed = Bed::new()?;
    let arguments = ["-c", "skb,skb-tracking,skb-drop,dev,ns", "-p", "tp:skb:kfree_skb/stack", "--snaplen", "255"];
    let mut traced = Vec::new();
    let recorded = Tracer::collect(arguments).during(|_| {
        let trace = DropTrace::start()?;
        bed.load_rules()?;
        for cause in CAUSES {
            let before = trace.count()?;
            (cause.make)(&bed, &mark(cause))?;
            // The next one changes what this one needs. Whoever drops later than this shows up as missing below.
            let start = Instant::now();
            while trace.count()? == before && start.elapsed() < Duration::from_secs(5) {
                bed.settle()?;
            }
        }
        trace.stop()?;
        traced = trace.read()?;
        Ok(())
    })?;
    let Bed { filtered, small, listener, .. } = &bed;
    let _: [&dyn AsRawFd; 3] = [filtered, small, listener];
    let text = Tracer::output(["print".as_ref(), recorded.path().as_os_str()])?;
    Ok(Observed { events: recorded.events()?, traced, text, stderr: recorded.ended.stderr.clone() })
}

/// Which of the kernels of the tests this is.
fn kernel() -> usize {
    match env::var("TRACER_VM_KERNEL").as_deref() {
        Ok("6.1") => 0,
        Ok("6.12") => 1,
        _ => 2,
    }
}

fn contains(event: &Event, bytes: &[u8]) -> bool {
    event.packet().windows(bytes.len()).any(|window| window == bytes)
}

fn drop_of(event: &Event) -> (&str, &str) {
    let text = |key: &str| event.get(key).as_str().unwrap_or_default();
    (text("/skb-drop/drop_reason"), text("/skb-drop/location"))
}

fn function(location: &str) -> &str {
    let name = location.split('+').next().unwrap_or_default();
    name.split('.').next().unwrap_or_default()
}

#[test]
fn every_cause_has_its_reason_and_its_place() {
    let mut wrong = Vec::new();
    for cause in CAUSES {
        let mark = mark(cause);
        let drops: Vec<(&str, &str)> =
            OBSERVED.events.at("skb:kfree_skb").filter(|event| contains(event, &mark)).map(drop_of).collect();
        let is_right = |&&(reason, location): &&(&str, &str)| {
            reason == cause.reasons[kernel()] && cause.places.contains(&function(location))
        };
        if drops.iter().filter(is_right).count() == 0 {
            wrong.push(format!("{}: {drops:?}", cause.name));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), OBSERVED.stderr);
}

#[test]
fn every_drop_is_what_the_kernel_s_own_tracing_says() {
    let Observed { events, traced, stderr, .. } = &*OBSERVED;
    assert!(traced.len() >= CAUSES.len(), "{traced:?}");
    let mut ours: Vec<(&Event, bool)> = events.at("skb:kfree_skb").map(|event| (event, false)).collect();
    let mut missing = Vec::new();
    for drop in traced {
        // Ours and the kernel's are called one after the other, but an emulated processor may stand still in between, while others use the
        // same `sk_buff` for the next packet. So time only chooses among those that are alike.
        let distance = |event: &Event| (event.timestamp() / 1000).abs_diff(drop.time);
        let is_like = |event: &Event| {
            let (reason, location) = drop_of(event);
            event.get("/skb-tracking/skb").as_u64() == Some(drop.skb)
                && location == drop.location
                && drop.reasons.iter().any(|traced| traced == reason)
                && distance(event) < 2_000_000
        };
        let like = ours.iter_mut().filter(|(event, is_taken)| !is_taken && is_like(event));
        match like.min_by_key(|(event, _)| distance(event)) {
            Some((_, is_taken)) => *is_taken = true,
            None => missing.push(drop),
        }
    }
    assert!(missing.is_empty(), "{missing:?}\n{stderr}");
}

#[test]
fn a_drop_has_a_stack_in_which_modules_are_named() {
    let cause = CAUSES.iter().find(|cause| cause.name == "nft-rule").expect("there is one");
    let mark = mark(cause);
    let mut drops = OBSERVED.events.at("skb:kfree_skb").filter(|event| contains(event, &mark));
    let event = drops.next().expect("nft dropped it");
    let stack = event.get("/kernel/stack_trace").to_string();
    assert!(stack.contains("nft_do_chain+0x") && stack.contains(" [nf_tables]\""), "{stack}");
    assert!(stack.contains("__netif_receive_skb"), "{stack}");
    let (_, location) = drop_of(event);
    assert!(stack.contains(&format!("\"{location}\"")), "{location} is not in {stack}");
    assert!(OBSERVED.text.contains(&format!("  drop (NETFILTER_DROP) at {location}\n")), "{}", OBSERVED.text);
}

#[test]
fn a_qdisc_that_has_reasons_says_more_than_that_it_dropped() {
    let has_reasons = std::path::Path::new("/sys/kernel/tracing/events/qdisc/qdisc_drop").exists();
    assert_eq!(has_reasons, kernel() == 2);
    for (name, detail) in [("queue-is-full", "QDISC_DROP_GENERIC"), ("band-is-full", "QDISC_DROP_BAND_LIMIT")] {
        let cause = CAUSES.iter().find(|cause| cause.name == name).expect("there is one");
        let mark = mark(cause);
        let told: Vec<(&str, &str, &str)> = OBSERVED
            .events
            .hits()
            .filter(|event| contains(event, &mark))
            .map(|event| {
                let subsystem = event.get("/skb-drop/subsys").as_str().unwrap_or("core");
                (event.symbol(), subsystem, drop_of(event).0)
            })
            .collect();
        let generic = ("skb:kfree_skb", "core", cause.reasons[kernel()]);
        let detailed = ("qdisc:qdisc_drop", "qdisc", detail);
        assert_eq!(told, if has_reasons { vec![detailed, generic] } else { vec![generic] });
    }
}

/// Records a ping and a datagram that nobody wants.
fn record(arguments: &[&str]) -> Result<Recorded> {
    let topology = Topology::ipv4_only()?;
    Tracer::collect(arguments).during(|_| {
        topology.red.ping("10.0.0.2", 5)?;
        let socket = topology.red.enter(|| Ok(UdpSocket::bind("10.0.0.1:7000")?))?;
        socket.send_to(b"to nobody", ("10.0.0.2", NOBODY))?;
        let answered = tracer_tests::Snmp::read;
        until("the datagram is refused", || Ok(answered(&topology.red)?.get("IcmpInDestUnreachs") == 1))
    })
}

const REFUSED: &str = "udp4 10.0.0.1:7000 > 10.0.0.2:7099";

#[test]
fn functions_that_are_given_a_reason_drop_and_what_is_used_up_is_no_drop() -> Result<()> {
    let all = ["sk_skb_reason_drop", "kfree_skb_reason", "kfree_skb_list_reason", "skb_release_data"];
    let symbols = std::fs::read_to_string("/sys/kernel/tracing/available_filter_functions")?;
    let mut arguments = vec!["-c", "skb,skb-tracking,skb-drop", "-p", "tp:skb:consume_skb"];
    for function in all.iter().filter(|function| symbols.lines().any(|line| line == **function)) {
        arguments.extend(["-p", function]);
    }
    let recorded = record(&arguments)?;
    let events = recorded.events()?;
    let of_datagram = |symbol| events.at(symbol).filter(|event| event.flow().as_deref() == Some(REFUSED));
    let dropper = if kernel() == 0 { "kfree_skb_reason" } else { "sk_skb_reason_drop" };
    let at_function: Vec<_> = of_datagram(dropper).map(drop_of).collect();
    let at_tracepoint: Vec<_> = of_datagram("skb:kfree_skb").map(drop_of).collect();
    let [(reason, location)] = at_tracepoint[..] else { panic!("one drop: {at_tracepoint:?}") };
    assert_eq!(reason, "NO_SOCKET");
    assert!(matches!(function(location), "__udp4_lib_rcv" | "udp_rcv"), "{location}");
    assert_eq!(at_function, at_tracepoint, "the caller is the dropper");
    for symbol in ["skb:consume_skb", "skb_release_data"] {
        let told: Vec<_> = events.at(symbol).collect();
        assert!(!told.is_empty(), "{symbol}");
        assert!(told.iter().all(|event| event.0.get("skb-drop").is_none()), "{symbol}");
    }
    // The echo requests and replies: what is used up, and what a socket has got.
    let pings = events
        .series()
        .into_values()
        .filter(|series| series.iter().any(|event| event.flow().is_some_and(|flow| flow.contains(" request "))));
    let mut requests = 0;
    for series in pings {
        requests += 1;
        assert!(series.iter().all(|event| event.0.get("skb-drop").is_none()), "{series:?}");
    }
    assert!(requests >= 5, "{requests} requests");
    Ok(())
}

#[test]
fn a_packet_is_found_by_the_filter_where_it_is_dropped() -> Result<()> {
    let recorded = record(&["-c", "skb,skb-tracking,skb-drop", "-p", "tp:skb:kfree_skb", "-f", "udp port 7099"])?;
    let events = recorded.events()?;
    // The answer holds the datagram's header, but is ICMP.
    let [event] = events.hits().collect::<Vec<_>>()[..] else { panic!("one drop: {events:?}") };
    assert_eq!(event.flow().as_deref(), Some(REFUSED));
    assert_eq!(drop_of(event).0, "NO_SOCKET");
    assert_eq!(event.sequence(), Some(0));
    Ok(())
}

#[test]
fn the_default_shows_packets_from_device_to_drop() -> Result<()> {
    let recorded = record(&[])?;
    let events = recorded.events()?;
    let series: Vec<_> = events.series().into_values().collect();
    let refused = series.iter().filter(|series| series[0].flow().as_deref() == Some(REFUSED));
    let seen: Vec<Vec<&str>> = refused.map(|series| series.iter().map(|event| event.symbol()).collect()).collect();
    assert_eq!(seen, [["net:net_dev_start_xmit", "net:netif_receive_skb", "skb:kfree_skb"]]);
    // Who says where to look sees nothing else.
    let events = record(&["-p", "ip_rcv"])?.events()?;
    assert_eq!(events.counts().keys().collect::<Vec<_>>(), [&"ip_rcv"]);
    Ok(())
}

#[test]
fn dropmon_shows_drops_with_their_stacks_and_nothing_else() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let recorded = Tracer::collect([""; 0]).profile("dropmon").during(|_| {
        topology.red.ping("10.0.0.2", 5)?;
        let socket = topology.red.enter(|| Ok(UdpSocket::bind("10.0.0.1:7000")?))?;
        socket.send_to(b"to nobody", ("10.0.0.2", NOBODY))?;
        until("the datagram is refused", || Ok(tracer_tests::Snmp::read(&topology.red)?.get("IcmpInDestUnreachs") == 1))
    })?;
    let events = recorded.events()?;
    for event in events.hits() {
        assert!(matches!(event.symbol(), "skb:kfree_skb" | "qdisc:qdisc_drop"), "{event:?}");
        assert_ne!(drop_of(event).0, "", "{event:?}");
        assert!(event.get("/kernel/stack_trace").as_array().is_some_and(|stack| stack.len() > 2), "{event:?}");
    }
    let mut refused = events.hits().filter(|event| event.flow().as_deref() == Some(REFUSED));
    let event = refused.next().expect("the datagram was dropped");
    assert_eq!((drop_of(event).0, event.namespace(), event.device()), ("NO_SOCKET", topology.blue.name(), "veth0"));
    Ok(())
}
