// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collector `ct`: see `README.md`.

mod event;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::{Arg, ArgAction};
use tracer_core::collector::{Collector, Decode, DecodeError, Needs, Subject, Wire};
use tracer_core::error::{Error, ErrorKind};
use tracer_core::event::json::EventJson;
use tracer_core::event::section::SectionDescriptor;
use tracer_core::kernel::Kernel;
use tracer_core::kernel::btf::Types;
use tracer_core::kernel::symbol_source::SymbolSource;
use tracer_core::probe::{ArgumentType, ProbeSpec, ProbeType, WantedArgument};

use event::{Addresses, Connection, CtExtSection, CtSection, Keys, Labels, Ports, Protocol, SctpPorts, Tuple};

wire!("ct");

// SAFETY: integers and arrays of them, with explicit padding.
unsafe impl Wire for wire::ct_connection_event {}
// SAFETY: an integer.
unsafe impl Wire for wire::ct_state_event {}
// SAFETY: integers, with explicit padding.
unsafe impl Wire for wire::ct_life_event {}

static CONNECTION: WantedArgument =
    WantedArgument { argument: ArgumentType::Struct(Cow::Borrowed("nf_conn")), except: &[] };
/// The connection's counter of references, which is its first member.
static COUNTED: WantedArgument =
    WantedArgument { argument: ArgumentType::Struct(Cow::Borrowed("nf_conntrack")), except: &[] };
/// The netlink socket that asked; 0: none did.
static PORT: WantedArgument = WantedArgument { argument: ArgumentType::Integer(Cow::Borrowed("portid")), except: &[] };

/// Where entries are made, confirmed, and freed; and the hook's variables that stand for these probes.
const LIFE: [(ProbeType, &str, &str); 5] = [
    (ProbeType::Kprobe, "nf_conntrack_in", "ct_in_entry"),
    (ProbeType::Kretprobe, "nf_conntrack_in", "ct_in_return"),
    (ProbeType::Kprobe, "__nf_conntrack_confirm", "ct_confirm_entry"),
    (ProbeType::Kretprobe, "__nf_conntrack_confirm", "ct_confirm_return"),
    (ProbeType::Kprobe, "nf_ct_destroy", "ct_destroy_entry"),
];

const DELETE: &str = "nf_ct_delete";
/// What the compiler makes of all of it but its first condition, on some kernels (Debian's 7.2). Callers in the module come here, and so
/// does the function itself, by a jump: at its entry the registers and the stack are as at the other's.
const DELETE_PART: &str = "nf_ct_delete.part.0";

/// IPS_SEEN_REPLY, from `linux/netfilter/nf_conntrack_common.h`.
const SEEN_REPLY: u64 = 1 << 1;

/// NFPROTO_*, from `linux/netfilter.h`.
const FAMILY_IPV4: u16 = 2;
const FAMILY_IPV6: u16 = 10;

/// `enum ip_conntrack_info`, by number.
const STATES: [&str; 5] = ["established", "related", "new", "reply", "related_reply"];

/// NF_CT_ZONE_DIR_*, by number.
const ZONE_DIRECTIONS: [&str; 4] = ["None", "Original", "Reply", "Default"];

/// `enum tcp_conntrack`, from `linux/netfilter/nf_conntrack_tcp.h`, in the words of `/proc/net/nf_conntrack`.
const TCP_STATES: [&str; 10] = [
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];

/// `enum sctp_conntrack`, from `linux/netfilter/nf_conntrack_sctp.h`.
const SCTP_STATES: [&str; 10] = [
    "NONE",
    "CLOSED",
    "COOKIE_WAIT",
    "COOKIE_ECHOED",
    "ESTABLISHED",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECD",
    "SHUTDOWN_ACK_SENT",
    "HEARTBEAT_SENT",
    "HEARTBEAT_ACKED",
];

inventory::submit! {
    Collector {
        name: "ct",
        about: "the connection of the packet, as connection tracking knows it",
        sections: &[SectionDescriptor::of::<CtSection<'static>>(), SectionDescriptor::of::<CtExtSection<'static>>()],
        hook: crate::hooks::CT,
        subjects: &[Subject::Packet],
        arguments: || vec![
            Arg::new("ct-events")
                .long("ct-events")
                .action(ArgAction::SetTrue)
                .help("Tell of connections that are created, confirmed and destroyed, at probes of its own"),
        ],
        start: |kernel, arguments, needs| {
            if !tracks_connections(kernel)? {
                return Err(Error::new(ErrorKind::KernelLacks, "this kernel does not describe connections in its type information (BTF)"));
            }
            for (probe_type, target, variable) in LIFE {
                needs.recognise(ProbeSpec::at(probe_type, target), variable);
            }
            if arguments.get_flag("ct-events") {
                watch_lives(kernel, needs)?;
            }
            Ok(Box::new(Decoder { symbols: kernel.symbol_source(), read: Read::default() }))
        },
    }
}

/// Whether the kernel's own types have connections: they have where conntrack is built in, and where it is a module, too.
fn tracks_connections(kernel: &Kernel) -> Result<bool, Error> {
    let types = Types::new(kernel.vmlinux()?, None);
    let packet = types.composite("sk_buff").and_then(|packet| packet.member("_nfct"));
    Ok(packet.is_some() && types.struct_size("nf_conn").is_some())
}

/// Where an entry is taken from the table.
fn deletion(kernel: &Kernel, needs: &mut Needs) -> ProbeSpec {
    if kernel.symbols().is_ok_and(|symbols| symbols.addresses(DELETE_PART).next().is_some()) {
        needs.constant("ct_delete_is_split", [1]);
        return ProbeSpec::at(ProbeType::Kprobe, DELETE_PART).part_of(DELETE);
    }
    ProbeSpec::at(ProbeType::Kprobe, DELETE)
}

fn watch_lives(kernel: &Kernel, needs: &mut Needs) -> Result<(), Error> {
    let vmlinux = kernel.vmlinux()?;
    let modules = kernel.modules()?.iter().map(|(_, btf)| Types::new(btf, Some(vmlinux)));
    if !modules.chain([Types::new(vmlinux, None)]).any(|types| types.function_id(DELETE).is_some()) {
        return Err(Error::new(
            ErrorKind::KernelLacks,
            "`--ct-events` needs the type information (BTF) of the module `nf_conntrack`: it is not loaded, or this kernel has none of modules",
        )
        .with_hint("`modprobe nf_conntrack` loads it"));
    }
    for (probe_type, target, _) in LIFE {
        needs.watch(ProbeSpec::at(probe_type, target));
    }
    let deletion = deletion(kernel, needs);
    needs.recognise(deletion.clone(), "ct_delete_entry");
    needs.watch(deletion);
    needs.argument(&CONNECTION, "ct_connection_argument");
    needs.argument(&COUNTED, "ct_counted_argument");
    needs.argument(&PORT, "ct_port_argument");
    needs.constant("ct_events", [1]);
    needs.symbols();
    Ok(())
}

struct Decoder {
    symbols: SymbolSource,
    /// What was read of the event so far.
    read: Read,
}

#[derive(Default)]
struct Read {
    life: Option<wire::ct_life_event>,
    state: Option<&'static str>,
    /// Of the connection.
    status: u64,
    connection: Option<Connection<'static>>,
    parent: Option<Connection<'static>>,
}

impl Decode for Decoder {
    fn decode(&mut self, kind: u8, bytes: &[u8], _event: &mut EventJson) -> Result<(), DecodeError> {
        match u32::from(kind) {
            wire::CT_CONNECTION => {
                let (read, _) = wire::ct_connection_event::read(kind, bytes)?;
                self.read.state = match u32::from(read.info) {
                    wire::CT_NO_INFO => None,
                    info => STATES.get(info as usize).copied(),
                };
                self.read.status = read.status;
                self.read.connection = connection(&read);
            }
            wire::CT_PARENT => self.read.parent = connection(&wire::ct_connection_event::read(kind, bytes)?.0),
            wire::CT_STATE => {
                let (read, _) = wire::ct_state_event::read(kind, bytes)?;
                self.read.state = Some(match read.state {
                    wire::CT_UNTRACKED => "untracked",
                    wire::CT_INVALID => "invalid",
                    _ => return Err(DecodeError::Kind(kind)),
                });
            }
            wire::CT_LIFE => self.read.life = Some(wire::ct_life_event::read(kind, bytes)?.0),
            _ => return Err(DecodeError::Kind(kind)),
        }
        Ok(())
    }

    fn end(&mut self, event: &mut EventJson) -> Result<(), DecodeError> {
        let Read { life, state, status, connection, parent } = std::mem::take(&mut self.read);
        let mut ext = CtExtSection::default();
        if let Some(life) = life {
            ext.event = Some(match life.event {
                wire::CT_CREATED => "created".into(),
                wire::CT_CONFIRMED => "confirmed".into(),
                wire::CT_DESTROYED => "destroyed".into(),
                _ => return Err(DecodeError::Kind(wire::CT_LIFE as u8)),
            });
            ext.why = self.why(&life, status).map(Into::into);
        }
        match (state, connection) {
            (Some(state), Some(connection)) if connection.is_well_known() => {
                // One of another protocol has no place beside it.
                let parent = parent.filter(Connection::is_well_known);
                event.section(&CtSection { state: state.into(), connection, parent })?;
            }
            (state, connection) => {
                ext.state = state.map(Into::into);
                ext.connection = connection;
                ext.parent = parent;
            }
        }
        if !ext.is_empty() {
            event.section(&ext)?;
        }
        Ok(())
    }
}

impl Decoder {
    /// Why an entry ends, as far as it can be told: by who takes it from the table. `status` is that of the connection.
    fn why(&self, life: &wire::ct_life_event, status: u64) -> Option<&'static str> {
        match life.why {
            _ if life.event != wire::CT_DESTROYED => return None,
            wire::CT_TIMEOUT => return Some("timeout"),
            wire::CT_CLASH => return Some("clash"),
            wire::CT_REFUSED => return Some("invalid"),
            wire::CT_UNCONFIRMED => return Some("unconfirmed"),
            wire::CT_BY_CALLER => {}
            _ => return None,
        }
        let caller = self.symbols.locate(life.caller)?;
        // `name.isra.0+0x12 [module]`
        let caller = caller.split(['.', '+']).next().unwrap_or_default();
        match (caller, life.by_netlink != 0) {
            ("ctnetlink_del_conntrack", _) => Some("delete"),
            ("nf_ct_iterate_cleanup", true) => Some("flush"),
            // A device, an address, a namespace or a module goes away.
            ("nf_ct_iterate_cleanup", false) => Some("cleanup"),
            // The table is nearly full.
            ("early_drop" | "early_drop_list" | "gc_worker", false) => Some("early_drop"),
            // A new connection takes its place; or it was refused before it was one.
            ("nf_conntrack_tcp_packet" | "nf_ct_kill_acct", false) => {
                Some(if status & SEEN_REPLY == 0 { "reset" } else { "replaced" })
            }
            _ => None,
        }
    }
}

/// `None`: of a family that has no addresses that could be shown.
fn connection(read: &wire::ct_connection_event) -> Option<Connection<'static>> {
    let protocol_state = |names: &[&'static str]| match names.get(usize::from(read.protocol_state)) {
        Some(name) => (*name).into(),
        None => read.protocol_state.to_string().into(),
    };
    Some(Connection {
        zone_id: read.zone,
        zone_dir: ZONE_DIRECTIONS[usize::from(read.zone_direction & 3)].into(),
        orig: tuple(&read.original, read.tags[0])?,
        reply: tuple(&read.reply, read.tags[1])?,
        proto_state: match read.original.protocol {
            TCP => Some(protocol_state(&TCP_STATES)),
            SCTP => Some(protocol_state(&SCTP_STATES)),
            _ => None,
        },
        mark: (u32::from(read.presence) & wire::CT_HAS_MARK != 0).then_some(read.mark),
        labels: (u32::from(read.presence) & wire::CT_HAS_LABELS != 0)
            .then(|| Labels { hi: read.labels[1], lo: read.labels[0] }),
        ct_status: read.status as u32,
    })
}

/// Numbers of protocols, from the registry of IANA.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const GRE: u8 = 47;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

fn tuple(read: &wire::ct_tuple, tag: u32) -> Option<Tuple> {
    let ip = match read.family {
        FAMILY_IPV4 => {
            let address = |bytes: &[u8; 16]| IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]));
            Addresses { src: address(&read.source), dst: address(&read.destination), version: event::Version::V4 }
        }
        FAMILY_IPV6 => {
            let address = |bytes: &[u8; 16]| IpAddr::V6(Ipv6Addr::from(*bytes));
            Addresses { src: address(&read.source), dst: address(&read.destination), version: event::Version::V6 }
        }
        _ => return None,
    };
    let (sport, dport) = (u16::from_be(read.source_port), u16::from_be(read.destination_port));
    let proto = match read.protocol {
        TCP => Some(Protocol::Tcp(Ports { sport, dport })),
        UDP => Some(Protocol::Udp(Ports { sport, dport })),
        ICMP | ICMPV6 => {
            let [kind, code] = read.destination_port.to_ne_bytes();
            Some(Protocol::Icmp { code, kind, id: sport })
        }
        SCTP => Some(Protocol::Sctp(SctpPorts { sport, dport, vtag: u32::from_be(tag) })),
        _ => None,
    };
    Some(Tuple {
        ip,
        protonum: (proto.is_none() || read.protocol == ICMPV6).then_some(read.protocol),
        proto,
        key: (read.protocol == GRE).then_some(Keys { src: sport, dst: dport }),
    })
}
