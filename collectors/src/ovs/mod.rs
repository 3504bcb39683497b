// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collector `ovs`: see `README.md`.

mod action;
mod action_event;
mod event;
mod key;
mod names;
mod vswitchd;

use std::borrow::Cow;

use clap::{Arg, ArgAction, ArgMatches};
use tracer_core::collector::{Collector, Decode, DecodeError, Needs, OwnProgram, Subject, Wire};
use tracer_core::error::{Error, ErrorKind};
use tracer_core::event::json::EventJson;
use tracer_core::event::section::SectionDescriptor;
use tracer_core::kernel::Kernel;
use tracer_core::kernel::privileges::check_module_types;
use tracer_core::probe::ProbeType;
use tracer_core::session::text;

use action::ActionDecoder;
use event::{OvsSection, OvsVportSection};
use names::Names;

wire!("ovs");

// SAFETY: integers, with explicit padding.
unsafe impl Wire for wire::ovs_action_event {}
// SAFETY: integers and arrays of them, with explicit padding.
unsafe impl Wire for wire::ovs_conntrack_action {}
// SAFETY: integers and arrays of them, with explicit padding.
unsafe impl Wire for wire::ovs_tunnel_action {}
// SAFETY: integers and an array of them, with explicit padding.
unsafe impl Wire for wire::ovs_lookup_event {}
// SAFETY: integers, with explicit padding.
unsafe impl Wire for wire::ovs_upcall_event {}
// SAFETY: integers, with explicit padding.
unsafe impl Wire for wire::ovs_enqueue_event {}
// SAFETY: integers, with explicit padding.
unsafe impl Wire for wire::ovs_return_event {}
// SAFETY: integers, without padding.
unsafe impl Wire for wire::ovs_received_event {}
// SAFETY: integers, without padding.
unsafe impl Wire for wire::ovs_operation_event {}
// SAFETY: integers and arrays of them, without padding.
unsafe impl Wire for wire::ovs_vport_event {}

/// The kernel module.
const MODULE: &str = "openvswitch";

const TRACK: &str = "ovs-track";
const PARTS: &str = "ovs-events";

/// What `--ovs-events` takes, and how many of the programs that make events belong to each.
const KINDS: [(&str, usize); 4] = [("actions", 1), ("flows", 1), (UPCALLS, 3), ("vports", 2)];
const UPCALLS: &str = "upcalls";

/// Programs that make events, in the order of their kinds.
const EVENTS: [OwnProgram; 7] = [
    OwnProgram {
        name: "ovs_action",
        place: "openvswitch:ovs_do_execute_action",
        arguments: 5,
        events: Some((ProbeType::RawTracepoint, "ovs_action_index")),
        without: "actions",
    },
    OwnProgram {
        name: "ovs_lookup",
        place: "ovs_flow_tbl_lookup_stats",
        arguments: 5,
        events: Some((ProbeType::Kretprobe, "ovs_lookup_index")),
        without: "flows that packets belong to",
    },
    OwnProgram {
        name: "ovs_upcall",
        place: "openvswitch:ovs_dp_upcall",
        arguments: 4,
        events: Some((ProbeType::RawTracepoint, "ovs_upcall_index")),
        without: "upcalls",
    },
    OwnProgram {
        name: "ovs_enqueue",
        place: "queue_userspace_packet",
        arguments: 5,
        events: Some((ProbeType::Kretprobe, "ovs_enqueue_index")),
        without: "queueing of upcalls",
    },
    OwnProgram {
        name: "ovs_upcall_return",
        place: "ovs_dp_upcall",
        arguments: 5,
        events: Some((ProbeType::Kretprobe, "ovs_return_index")),
        without: "results of upcalls",
    },
    OwnProgram {
        name: "ovs_receive",
        place: "ovs_vport_receive",
        arguments: 3,
        events: Some((ProbeType::Kprobe, "ovs_receive_index")),
        without: "ports that packets come in at",
    },
    OwnProgram {
        name: "ovs_send",
        place: "ovs_vport_send",
        arguments: 3,
        events: Some((ProbeType::Kprobe, "ovs_send_index")),
        without: "ports that packets go out at",
    },
];

/// Programs that note what those need.
const NOTES: [OwnProgram; 3] = [
    silent("track_ovs_key", "ovs_dp_process_packet", 2, "packets beside the flows that they belong to"),
    silent("track_ovs_queue", "queue_userspace_packet", 5, "segments beside their upcalls"),
    silent("track_ovs_message", "skb_zerocopy", 4, "hashes of upcalls"),
];

/// Programs that follow packets through user space, all twice: see `handlers.h`.
const THROUGH_USER_SPACE: [OwnProgram; 10] = [
    silent("track_ovs_receive", "skb:skb_copy_datagram_iovec", 2, TRACKING),
    silent("track_ovs_receive_2", "skb:skb_copy_datagram_iovec", 2, TRACKING),
    silent("track_ovs_receive_end", "netlink_recvmsg", 4, DRAINED),
    silent("track_ovs_receive_end_2", "netlink_recvmsg", 4, DRAINED),
    silent("track_ovs_execute", "ovs_packet_cmd_execute", 2, TRACKING),
    silent("track_ovs_execute_2", "ovs_packet_cmd_execute", 2, TRACKING),
    silent("checked_ovs_resume", "ovs_flow_key_extract_userspace", 5, TRACKING),
    silent("checked_ovs_resume_2", "ovs_flow_key_extract_userspace", 5, TRACKING),
    silent("track_ovs_execute_end", "ovs_packet_cmd_execute", 2, TRACKING),
    silent("track_ovs_execute_end_2", "ovs_packet_cmd_execute", 2, TRACKING),
];

const DRAINED: &str = "certainty about the ends of batches of upcalls";
const TRACKING: &str = "packets that are followed through ovs-vswitchd";

const fn silent(name: &'static str, place: &'static str, arguments: usize, without: &'static str) -> OwnProgram {
    OwnProgram { name, place, arguments, events: None, without }
}

inventory::submit! {
    Collector {
        name: "ovs",
        about: "what Open vSwitch does with the packet: ports, flows, actions, upcalls",
        sections: &[SectionDescriptor::of::<OvsSection<'static>>(), SectionDescriptor::of::<OvsVportSection<'static>>()],
        hook: crate::hooks::OVS,
        subjects: &[
            Subject::OwnPrograms(&EVENTS),
            Subject::Usdt(vswitchd::RECEIVE),
            Subject::Usdt(vswitchd::PUT),
            Subject::Usdt(vswitchd::EXECUTE),
        ],
        arguments: || vec![
            Arg::new(TRACK)
                .long(TRACK)
                .action(ArgAction::SetTrue)
                .help("Follow packets through ovs-vswitchd: what it sends back goes on as the packet that was handed to it"),
            Arg::new(PARTS)
                .long(PARTS)
                .value_name("KIND,...")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .value_parser(KINDS.map(|(name, _)| name))
                .default_values(KINDS.map(|(name, _)| name))
                .hide_default_value(true)
                .help("What collector `ovs` records; without this option, all of it"),
        ],
        start,
    }
}

fn start(kernel: &Kernel, arguments: &ArgMatches, needs: &mut Needs) -> Result<Box<dyn Decode>, Error> {
    let track = arguments.get_flag(TRACK);
    let names = Names::read(kernel).ok_or_else(|| unavailable(kernel))?;
    check_module_types(kernel)?;
    let mut wanted = wanted_events(arguments);
    let events = wanted.len();
    wanted.extend(NOTES);
    wanted.extend(if track { &THROUGH_USER_SPACE[..] } else { &[] });
    let there = needs.programs(kernel, &wanted)?;
    if !there.iter().any(|program| wanted[..events].contains(program)) {
        return Err(unavailable(kernel));
    }
    let goes_through = THROUGH_USER_SPACE.iter().all(|program| there.contains(program));
    if track {
        needs.tracking(kernel)?;
        needs.loss("tracking_upcall_unseen", "ovs_unseen");
        needs.loss("tracking_upcall_unmatched", "ovs_unmatched");
        needs.loss("tracking_upcall_expired", "ovs_expired");
        needs.loss("tracking_upcall_differs", "ovs_disagreeing");
        if goes_through && wants(arguments, UPCALLS) {
            vswitchd::look(kernel, needs);
        }
    }
    needs.constant("ovs_track", [u8::from(track)]);
    needs.constant("ovs_action_ct", names.action_number("ct").to_ne_bytes());
    needs.constant("ovs_action_set", names.action_number("set").to_ne_bytes());
    needs.constant("ovs_key_tunnel_info", names.key_number("tunnel_info").to_ne_bytes());
    Ok(Box::new(Decoder { actions: ActionDecoder::new(names) }))
}

fn wants(arguments: &ArgMatches, kind: &str) -> bool {
    arguments.get_many::<String>(PARTS).into_iter().flatten().any(|wanted| wanted == kind)
}

fn wanted_events(arguments: &ArgMatches) -> Vec<OwnProgram> {
    let mut programs = EVENTS.iter();
    let mut wanted = Vec::new();
    for (kind, count) in KINDS {
        let own = programs.by_ref().take(count);
        if wants(arguments, kind) {
            wanted.extend(own);
        } else if kind == UPCALLS && arguments.get_flag(TRACK) {
            // They also note where upcalls begin and end.
            wanted.extend(own.map(|program| OwnProgram { events: None, ..*program }));
        } else {
            own.for_each(drop);
        }
    }
    wanted
}

/// Why there is nothing to see.
fn unavailable(kernel: &Kernel) -> Error {
    if !kernel.path("sys/module").join(MODULE).exists() {
        return Error::new(ErrorKind::NotInUse, format!("the kernel module `{MODULE}` is not loaded"))
            .with_hint(format!("start Open vSwitch, or `modprobe {MODULE}`, then start tracer"));
    }
    if !kernel.path("sys/kernel/btf").join(MODULE).exists() {
        let why = format!("this kernel has no type information (BTF) for its module `{MODULE}`");
        return Error::new(ErrorKind::KernelLacks, why)
            .with_hint("it takes Linux 5.11 or later, with CONFIG_DEBUG_INFO_BTF_MODULES");
    }
    Error::new(ErrorKind::KernelLacks, "this kernel's datapath of Open vSwitch has nothing that tracer knows")
}

/// A batch has 64 at most.
fn place_in_batch(index: u32) -> u8 {
    index.try_into().unwrap_or(u8::MAX)
}

struct Decoder {
    actions: ActionDecoder,
}

impl Decode for Decoder {
    fn decode(&mut self, kind: u8, bytes: &[u8], event: &mut EventJson) -> Result<(), DecodeError> {
        match u32::from(kind) {
            wire::OVS_ACTION => {
                let (action, payload) = wire::ovs_action_event::read(kind, bytes)?;
                self.actions.decode(kind, &action, payload, event)?;
            }
            wire::OVS_LOOKUP => {
                let (lookup, _) = wire::ovs_lookup_event::read(kind, bytes)?;
                event.section(&OvsSection::FlowLookup {
                    flow: lookup.flow,
                    sf_acts: lookup.actions,
                    ufid: lookup.ufid,
                    n_mask_hit: lookup.mask_hits,
                    n_cache_hit: lookup.cache_hits,
                    actions_len: Some(lookup.actions_length).filter(|&length| length != wire::OVS_LENGTH_UNKNOWN),
                    // The reader of Retis wants them.
                    dpflow: Some(Cow::Borrowed("")),
                    ofpflows: Some(Vec::new()),
                })?;
            }
            wire::OVS_UPCALL => {
                let (upcall, _) = wire::ovs_upcall_event::read(kind, bytes)?;
                event.section(&OvsSection::Upcall {
                    cmd: upcall.command,
                    port: upcall.port,
                    cpu: upcall.cpu,
                    upcall_id: Some(upcall.upcall_id),
                })?;
            }
            wire::OVS_ENQUEUE => {
                let (enqueue, _) = wire::ovs_enqueue_event::read(kind, bytes)?;
                event.section(&OvsSection::UpcallEnqueue {
                    ret: enqueue.result,
                    cmd: enqueue.command,
                    port: enqueue.port,
                    upcall_ts: enqueue.upcall_timestamp,
                    upcall_cpu: enqueue.upcall_cpu,
                    queue_id: enqueue.queue_id,
                    upcall_id: Some(enqueue.upcall_id),
                })?;
            }
            wire::OVS_RETURN => {
                let (returned, _) = wire::ovs_return_event::read(kind, bytes)?;
                event.section(&OvsSection::UpcallReturn {
                    upcall_ts: returned.upcall_timestamp,
                    upcall_cpu: returned.upcall_cpu,
                    ret: returned.result,
                    cmd: Some(returned.command),
                    upcall_id: Some(returned.upcall_id),
                })?;
            }
            wire::OVS_RECEIVED => {
                let (received, _) = wire::ovs_received_event::read(kind, bytes)?;
                event.section(&OvsSection::RecvUpcall {
                    r#type: received.type_,
                    pkt_size: received.packet_size,
                    key_size: received.key_size,
                    queue_id: received.queue_id,
                    batch_ts: received.batch_timestamp,
                    batch_idx: place_in_batch(received.batch_index),
                    upcall_id: Some(received.upcall_id),
                })?;
            }
            wire::OVS_FLOW_PUT | wire::OVS_FLOW_EXECUTE => {
                let (operation, _) = wire::ovs_operation_event::read(kind, bytes)?;
                event.section(&OvsSection::FlowOperation {
                    op_type: if u32::from(kind) == wire::OVS_FLOW_PUT { "put" } else { "exec" }.into(),
                    queue_id: operation.queue_id,
                    batch_ts: operation.batch_timestamp,
                    batch_idx: place_in_batch(operation.batch_index),
                    upcall_id: Some(operation.upcall_id),
                })?;
            }
            wire::OVS_VPORT_RECEIVE | wire::OVS_VPORT_SEND => {
                let (vport, _) = wire::ovs_vport_event::read(kind, bytes)?;
                let way = if u32::from(kind) == wire::OVS_VPORT_RECEIVE { "receive" } else { "send" };
                event.section(&OvsVportSection {
                    event: way.into(),
                    port: vport.port,
                    name: text(&vport.name),
                    datapath: text(&vport.datapath),
                })?;
            }
            _ => return Err(DecodeError::Kind(kind)),
        }
        Ok(())
    }
}
