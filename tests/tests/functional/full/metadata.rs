// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Metadata filters in the kernel, on a packet of which everything is known: each condition holds, and its opposite does not.
//!
//! Cost: two small programs a condition, one topology; and one session with `tracer` itself, 4 s.

use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, ensure};
use tracer_core::kernel::Kernel;
use tracer_filters::metadata::MetadataFilter;
use tracer_tests::{Condition, Topology, Tracer, note};

/// Hold for the datagrams of [`send`] where they go out. `INUM`, `IFINDEX` and `PID` stand for numbers of this run.
const HOLD: &[&str] = &[
    // Unsigned, at the boundaries: 14 + 20 + 8 + 58 bytes.
    "sk_buff.len == 100",
    "sk_buff.len != 101",
    "sk_buff.len <= 100",
    "sk_buff.len >= 100",
    "sk_buff.len < 101",
    "sk_buff.len > 99",
    "100 >= sk_buff.len",
    "99 < sk_buff.len",
    // Bit 31.
    "sk_buff.mark == 0x80000000",
    "sk_buff.mark == 2147483648",
    "sk_buff.mark <= 0x80000000",
    "sk_buff.mark >= 0x80000000",
    "sk_buff.mark > 0x7fffffff",
    "sk_buff.mark < 0x80000001",
    "sk_buff.mark & 0x80000000",
    "sk_buff.mark & 0xf0000000 == 0x80000000",
    "mark == 0x80000000",
    // Numbers with a sign, and the rest of the integers.
    "sk_buff.priority == 5",
    "sk_buff.skb_iif == 0",
    "sk_buff.skb_iif > -1",
    "sk_buff.skb_iif >= 0",
    "sk_buff.sk.sk_rcvlowat >= -2147483648",
    "sk_buff.sk.sk_sndbuf > 0",
    "sk_buff.protocol == 0x0800",
    "sk_buff.data_len < 1",
    // Bit fields.
    "sk_buff.pkt_type == 0",
    "sk_buff.pkt_type <= 0",
    "sk_buff.cloned == 0",
    "!sk_buff.cloned",
    "sk_buff.ip_summed <= 3",
    "sk_buff.ignore_df <= 1",
    // Through pointers; embedded and anonymous members; arrays; texts; addresses.
    r#"sk_buff.dev.name == "veth0""#,
    r#"sk_buff.dev.name == "veth*""#,
    r#"sk_buff.dev.name != "veth""#,
    r#"ifname == "veth0""#,
    "sk_buff.dev.name[4] == '0'",
    "sk_buff.dev.ifindex == IFINDEX",
    "ifindex <= IFINDEX",
    "sk_buff.dev.mtu == 1500",
    "sk_buff.dev.reg_state == NETREG_REGISTERED",
    "sk_buff.dev.nd_net.net.ns.inum == INUM",
    "netns == INUM",
    "netns >= INUM",
    "sk_buff.sk.__sk_common.skc_daddr == 10.0.0.2",
    "sk_buff.sk.__sk_common.skc_rcv_saddr == 10.0.0.0/31",
    "sk_buff.sk.__sk_common.skc_dport == 7002",
    "sk_buff.sk.__sk_common.skc_num == 7001",
    "sk_buff.sk.__sk_common.skc_family == 2",
    "sk_buff.sk.sk_protocol == 17",
    "sk_buff.sk.(udp_sock).inet.inet_sport == 7001",
    "sk_buff.sk.(inet_sock).inet_sport >= 7001",
    "sk_buff.dev.dev_addr == 02:00:00:00:00:01",
    "sk_buff.dev",
    "sk_buff.dev != NULL",
    "sk_buff.next == NULL",
    // The task.
    "pid == PID",
    r#"comm != "init""#,
    // Operators, and their precedence.
    "mark == 0 || sk_buff.len == 100",
    "mark == 0x80000000 || mark == 0 && sk_buff.len == 0",
    "(mark == 0x80000000 || mark == 0) && sk_buff.len == 100",
    "!(mark == 0) && !(sk_buff.len < 100)",
    "sk_buff.len == 100 and not mark == 0 or pid == 0",
];

/// Neither these nor their opposites: what they ask for can't be reached.
const NEITHER: &[&str] = &["sk_buff.next.len == 0", "sk_buff.next.dev.ifindex >= 0"];

const DATAGRAMS: u64 = 3;

/// Datagrams that are 100 bytes long with their headers, with a mark and a priority.
fn send(topology: &Topology) -> Result<()> {
    let blue = topology.blue.enter(|| Ok(UdpSocket::bind("10.0.0.2:7002")?))?;
    let red = topology.red.enter(|| Ok(UdpSocket::bind("10.0.0.1:7001")?))?;
    red.connect(blue.local_addr()?)?;
    for (option, value) in [(libc::SO_MARK, 0x8000_0000_u32), (libc::SO_PRIORITY, 5)] {
        let size = size_of_val(&value) as u32;
        // SAFETY: the value is as long as said.
        let set = unsafe {
            libc::setsockopt(red.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const value).cast(), size) == 0
        };
        ensure!(set, "setsockopt: {}", std::io::Error::last_os_error());
    }
    let mut buffer = [0; 100];
    for _ in 0..DATAGRAMS {
        red.send(&[7; 58])?;
        ensure!(blue.recv(&mut buffer)? == 58);
    }
    Ok(())
}

#[test]
fn conditions_hold_at_their_boundaries_and_their_opposites_do_not() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let device = topology.red.run("ip", ["-o", "link", "show", "veth0"])?;
    let index = device.split(':').next().unwrap_or_default();
    let inum = topology.red.inum()?.to_string();
    let process = std::process::id().to_string();
    let kernel = Kernel::new("/");
    let attach = |text: &str| -> Result<Condition> {
        let filter = MetadataFilter::compile(text, &kernel)?;
        Condition::attach(filter.program(), c"net_dev_start_xmit").with_context(|| text.to_owned())
    };
    let mut attached = Vec::new();
    for (texts, holds) in [(HOLD, DATAGRAMS), (NEITHER, 0)] {
        for text in texts {
            let text = text.replace("INUM", &inum).replace("IFINDEX", index).replace("PID", &process);
            let opposite = format!("!({text})");
            attached.push((attach(&text)?, text, holds));
            attached.push((attach(&opposite)?, opposite, 0));
        }
    }
    send(&topology)?;
    let mut wrong = Vec::new();
    for (condition, text, expected) in &attached {
        let (asked, held) = condition.counts()?;
        if (asked, held) != (DATAGRAMS, *expected) {
            wrong.push(format!("{text}: held for {held} of {asked}"));
        }
    }
    note(format_args!("{} conditions", attached.len()));
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn both_languages_together_choose_packets() -> Result<()> {
    let topology = Topology::ipv4_only()?;
    let arguments = [
        "-p",
        "tp:net:net_dev_start_xmit",
        "-p",
        "tp:net:netif_receive_skb/meta=ifname == \"veth0\" && sk_buff.len == 86",
    ];
    let both = ["-m", "mark == 0x80000000 && sk_buff.len == 100", "-f", "udp port 7002"];
    let recorded = Tracer::collect(arguments.into_iter().chain(both)).during(|_| {
        topology.red.ping("10.0.0.2", 5)?;
        send(&topology)
    })?;
    let events = recorded.events()?;
    assert_eq!(events.at("net:net_dev_start_xmit").count() as u64, DATAGRAMS, "{:?}", events.flows());
    // Echo requests and replies have 84 bytes behind the Ethernet header; datagrams 86.
    assert_eq!(events.at("net:netif_receive_skb").count() as u64, DATAGRAMS, "{:?}", events.flows());
    Ok(())
}
