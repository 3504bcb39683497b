// SPDX-License-Identifier: Apache-2.0 OR MIT
//! UDP ports of tunnels: those that are well known, and those of the tunnel devices in all network namespaces. The tunnels of
//! Open vSwitch are devices, too.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::str::FromStr;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoGeneve, InfoVxlan, LinkAttribute, LinkInfo, LinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tracer_ebpf::wire;

use super::Kernel;

/// What is in the datagrams to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum TunnelKind {
    /// VXLAN or Geneve: their headers can be told apart.
    Unknown = wire::TUNNEL_UNKNOWN,
    /// VXLAN and VXLAN-GPE: a bit of the header says which.
    Vxlan = wire::TUNNEL_VXLAN,
    /// Geneve.
    Geneve = wire::TUNNEL_GENEVE,
    /// Foo over UDP: a packet of IP or GRE, without a header of its own.
    Fou = wire::TUNNEL_FOU,
    /// Generic UDP encapsulation.
    Gue = wire::TUNNEL_GUE,
}

/// The kinds that have a name.
const KINDS: [(&str, TunnelKind); 5] = [
    ("vxlan", TunnelKind::Vxlan),
    ("vxlan-gpe", TunnelKind::Vxlan),
    ("geneve", TunnelKind::Geneve),
    ("fou", TunnelKind::Fou),
    ("gue", TunnelKind::Gue),
];

/// Those of the IANA, and the one that VXLAN had on Linux before.
const WELL_KNOWN: [(u16, TunnelKind); 4] =
    [(4789, TunnelKind::Vxlan), (4790, TunnelKind::Vxlan), (6081, TunnelKind::Geneve), (8472, TunnelKind::Vxlan)];

/// A port as users write it: `PORT[:KIND]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelPort {
    /// The UDP port.
    pub port: u16,
    /// What is in the datagrams to it.
    pub kind: TunnelKind,
}

impl FromStr for TunnelPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (port, kind) = text.split_once(':').map_or((text, None), |(port, kind)| (port, Some(kind)));
        let port = match port.parse() {
            Ok(port @ 1..) => port,
            _ => return Err(format!("`{port}` is no port: a number from 1 to 65535 is expected")),
        };
        let find = |kind: &str| {
            KINDS.iter().find(|(name, _)| *name == kind).map(|(_, kind)| *kind).ok_or_else(|| {
                let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
                format!("`{kind}` is no kind of tunnel; there are {}", names.join(", "))
            })
        };
        Ok(Self { port, kind: kind.map_or(Ok(TunnelKind::Unknown), find)? })
    }
}

/// UDP ports, each with what is in the datagrams to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelPorts(BTreeMap<u16, TunnelKind>);

impl TunnelPorts {
    /// Those that need no configuration.
    pub fn well_known() -> Self {
        Self(WELL_KNOWN.into_iter().collect())
    }

    /// Adds a port; what was known of it before does not count any more.
    pub fn set(&mut self, tunnel: TunnelPort) {
        self.0.insert(tunnel.port, tunnel.kind);
    }

    /// Adds the port of a device. Where another one uses it for something else, each packet has to tell.
    fn add(&mut self, tunnel: TunnelPort) {
        let known = self.0.entry(tunnel.port).or_insert(tunnel.kind);
        if *known != tunnel.kind {
            *known = TunnelKind::Unknown;
        }
    }

    /// Ports and kinds, in the order of the ports.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TunnelPort> {
        self.0.iter().map(|(&port, &kind)| TunnelPort { port, kind })
    }
}

impl fmt::Display for TunnelPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, tunnel) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let kind = KINDS.iter().find(|(_, kind)| *kind == tunnel.kind).map_or("vxlan or geneve", |(name, _)| name);
            write!(f, "{separator}{} ({kind})", tunnel.port)?;
        }
        Ok(())
    }
}

/// The ports that are known without being named.
#[derive(Debug)]
pub struct Found {
    /// The well-known ones, and those of devices.
    pub ports: TunnelPorts,
    /// Why there may be more, in words.
    pub warning: Option<String>,
}

/// Asks for the tunnel devices in all network namespaces that have a name or a process.
pub fn find(kernel: &Kernel) -> Found {
    let mut ports = TunnelPorts::well_known();
    let problems = std::thread::scope(|scope| {
        // A thread of its own: it does not come back from where it goes.
        let visitor = scope.spawn(|| visit_namespaces(kernel, &mut ports));
        visitor.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let warning = problems.first().map(|first| {
        let more = match problems.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        format!("ports of tunnels may be missing: not all network namespaces could be looked at: {first}{more}")
    });
    Found { ports, warning }
}

/// Adds the ports of the devices in all network namespaces, and returns what went wrong. The calling thread stays in the last one.
fn visit_namespaces(kernel: &Kernel, ports: &mut TunnelPorts) -> Vec<String> {
    let mut problems = Vec::new();
    let mut note = |path: &Path, error: io::Error| problems.push(format!("`{}`: {error}", path.display()));
    let own = kernel.path("proc/self/ns/net");
    // Its own namespace a thread can look at without privileges.
    let own_metadata = match fs::metadata(&own).and_then(|metadata| devices(ports).map(|()| metadata)) {
        Ok(metadata) => metadata,
        Err(error) => {
            note(&own, error);
            return problems;
        }
    };
    let mut known = HashSet::from([own_metadata.ino()]);
    let mut visit = |path: &Path| {
        let metadata = fs::metadata(path)?;
        // What is left of a name whose namespace is gone is a file of another file system.
        if metadata.dev() != own_metadata.dev() || known.contains(&metadata.ino()) {
            return Ok(());
        }
        let namespace = File::open(path)?;
        known.insert(metadata.ino());
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        devices(ports)
    };
    let entries = |folder: &str| fs::read_dir(kernel.path(folder)).into_iter().flatten().flatten();
    let named = entries("run/netns").map(|entry| entry.path());
    let processes = entries("proc").filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit());
    for path in named.chain(processes.map(|entry| entry.path().join("ns/net"))) {
        match visit(&path) {
            // The process has ended meanwhile, or the name was taken away.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {}
            Err(error) => note(&path, error),
            Ok(()) => {}
        }
    }
    problems
}

/// Adds the ports of the devices in the namespace of this thread.
fn devices(ports: &mut TunnelPorts) -> io::Result<()> {
    /// The kernel says when devices came or went while it listed them.
    const ATTEMPTS: u32 = 3;
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    for _ in 0..ATTEMPTS {
        if list_devices(&socket, ports)? {
            return Ok(());
        }
    }
    Err(io::Error::other("its devices change all the time"))
}

/// Lists the devices once. False: some may be missing.
fn list_devices(socket: &Socket, ports: &mut TunnelPorts) -> io::Result<bool> {
    /// The kernel fills at most half of it with one answer.
    const ANSWER: usize = 64 << 10;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_DUMP | NLM_F_REQUEST;
    let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let mut question = NetlinkMessage::new(header, NetlinkPayload::from(question));
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut buffer = vec![0; ANSWER];
    let mut is_complete = true;
    let mut unreadable = None;
    loop {
        let size = socket.recv(&mut &mut buffer[..], 0)?;
        let mut rest = &buffer[..size.min(ANSWER)];
        while !rest.is_empty() {
            let header = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
            is_complete &= header.flags() & NLM_F_DUMP_INTR == 0;
            match NetlinkMessage::deserialize(rest).map(|message| message.payload) {
                Ok(NetlinkPayload::Done(_)) => return unreadable.map_or(Ok(is_complete), Err),
                Ok(NetlinkPayload::Error(error)) => return Err(error.to_io()),
                Ok(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link))) => {
                    tunnel_of(&link).into_iter().for_each(|tunnel| ports.add(tunnel));
                }
                Ok(_) => {}
                // One device does not hide the others.
                Err(error) if header.message_type() == libc::RTM_NEWLINK => unreadable = Some(io::Error::other(error)),
                Err(error) => return Err(io::Error::other(error)),
            }
            // Messages begin at multiples of four bytes.
            rest = rest.get((header.length() as usize).next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn tunnel_of(link: &LinkMessage) -> Option<TunnelPort> {
    let info = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(info) => Some(info),
        _ => None,
    })?;
    info.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vxlan(data)) => data.iter().find_map(|data| match data {
            InfoVxlan::Port(port) => Some(TunnelPort { port: *port, kind: TunnelKind::Vxlan }),
            _ => None,
        }),
        LinkInfo::Data(InfoData::Geneve(data)) => data.iter().find_map(|data| match data {
            InfoGeneve::Port(port) => Some(TunnelPort { port: *port, kind: TunnelKind::Geneve }),
            _ => None,
        }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::{TunnelKind, TunnelPort, TunnelPorts};

    #[test]
    fn reads_ports() {
        let read = |text: &str| text.parse::<TunnelPort>();
        assert_eq!(read("5000"), Ok(TunnelPort { port: 5000, kind: TunnelKind::Unknown }));
        assert_eq!(read("65535:geneve"), Ok(TunnelPort { port: 65535, kind: TunnelKind::Geneve }));
        assert_eq!(read("1:vxlan-gpe"), Ok(TunnelPort { port: 1, kind: TunnelKind::Vxlan }));
        for wrong in ["", "0", "65536", "-1", "x", ":vxlan", "5000:", "5000:gre", "5000:vxlan:1", " 5000"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            read("5000:gre").unwrap_err(),
            "`gre` is no kind of tunnel; there are vxlan, vxlan-gpe, geneve, fou, gue"
        );
        assert_eq!(read("http").unwrap_err(), "`http` is no port: a number from 1 to 65535 is expected");
    }

    #[test]
    fn what_two_devices_use_differently_the_packet_must_tell() {
        let mut ports = TunnelPorts::well_known();
        ports.add(TunnelPort { port: 4789, kind: TunnelKind::Vxlan });
        ports.add(TunnelPort { port: 6081, kind: TunnelKind::Vxlan });
        ports.add(TunnelPort { port: 80, kind: TunnelKind::Geneve });
        ports.set(TunnelPort { port: 8472, kind: TunnelKind::Fou });
        let said = ports.to_string();
        assert_eq!(said, "80 (geneve), 4789 (vxlan), 4790 (vxlan), 6081 (vxlan or geneve), 8472 (fou)");
    }
}
