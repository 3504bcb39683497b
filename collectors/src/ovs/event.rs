// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sections `ovs` and `ovs-vport`.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracer_core::event::clues::{Clues, Question};
use tracer_core::event::section::{Place, Section};
use tracer_core::event::text::{Escaped, TextOptions};

use super::action_event::ActionEvent;

/// Something happened to the packet in the datapath of Open vSwitch, or on its way to ovs-vswitchd and back.
#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(tag = "event_type", rename_all = "snake_case")]
pub(super) enum OvsSection<'a> {
    /// The packet is about to be handed to ovs-vswitchd.
    Upcall {
        /// Why: 1, no flow fits it (miss); 2, an action says so.
        cmd: u8,
        /// The netlink port of the socket that it goes to.
        port: u32,
        /// The CPU.
        cpu: u32,
        /// Ours: the upcall, by which its events belong together. A packet in segments has one for each, and this one for all.
        #[serde(skip_serializing_if = "Option::is_none")]
        upcall_id: Option<u64>,
    },
    /// It, or one of its segments, was put into the queue of a socket of ovs-vswitchd, or not.
    UpcallEnqueue {
        /// 0, or a negative error number: the packet is lost.
        ret: i32,
        /// As in `upcall`.
        cmd: u8,
        /// As in `upcall`.
        port: u32,
        /// When the event `upcall` was, ns.
        upcall_ts: u64,
        /// The CPU of the event `upcall`.
        upcall_cpu: u32,
        /// A hash of the packet's first bytes and length as ovs-vswitchd sees them: equal for equal packets.
        queue_id: u32,
        /// Ours: the upcall.
        #[serde(skip_serializing_if = "Option::is_none")]
        upcall_id: Option<u64>,
    },
    /// The kernel is done with handing over.
    UpcallReturn {
        /// When the event `upcall` was, ns.
        upcall_ts: u64,
        /// The CPU of the event `upcall`.
        upcall_cpu: u32,
        /// 0, or a negative error number.
        ret: i32,
        /// Ours: as in `upcall`.
        #[serde(skip_serializing_if = "Option::is_none")]
        cmd: Option<u8>,
        /// Ours: the upcall.
        #[serde(skip_serializing_if = "Option::is_none")]
        upcall_id: Option<u64>,
    },
    /// ovs-vswitchd has received it.
    RecvUpcall {
        /// Why: 0, no flow fits it (miss); 1, an action says so.
        r#type: u32,
        /// Bytes of the packet.
        pkt_size: u32,
        /// Bytes of its flow key.
        key_size: u64,
        /// As in `upcall_enqueue`.
        queue_id: u32,
        /// When the batch that it was received in began, ns.
        batch_ts: u64,
        /// Its place in the batch, from 0.
        batch_idx: u8,
        /// Ours: the upcall.
        #[serde(skip_serializing_if = "Option::is_none")]
        upcall_id: Option<u64>,
    },
    /// ovs-vswitchd is about to install a flow for it, or to send it back with actions.
    FlowOperation {
        /// "put" or "exec".
        op_type: Cow<'a, str>,
        /// As in `upcall_enqueue`.
        queue_id: u32,
        /// As in `recv_upcall`.
        batch_ts: u64,
        /// As in `recv_upcall`.
        batch_idx: u8,
        /// Ours: the upcall.
        #[serde(skip_serializing_if = "Option::is_none")]
        upcall_id: Option<u64>,
    },
    /// An action is about to be executed on it.
    ActionExecute(Box<ActionEvent<'a>>),
    /// The flow that it belongs to was looked up.
    FlowLookup {
        /// The address of the flow in the kernel; 0: no flow fits.
        flow: u64,
        /// The address of its actions.
        sf_acts: u64,
        /// The number by which ovs-vswitchd knows the flow, as four words of memory; zeros when it gave none.
        ufid: [u32; 4],
        /// Masks that were tried.
        n_mask_hit: u32,
        /// How often the mask was found in the cache: 0 or 1.
        n_cache_hit: u32,
        /// Ours: bytes of its actions. A flow without any drops the packet.
        #[serde(skip_serializing_if = "Option::is_none")]
        actions_len: Option<u32>,
        /// The flow in words.
        #[serde(skip_serializing_if = "Option::is_none")]
        dpflow: Option<Cow<'a, str>>,
        /// The OpenFlow rules that it was made from.
        #[serde(skip_serializing_if = "Option::is_none")]
        ofpflows: Option<Vec<String>>,
    },
}

impl OvsSection<'_> {
    /// The error with which the kernel lost the packet.
    fn lost(&self) -> Option<i32> {
        match self {
            // What an action sends to ovs-vswitchd is a copy: the packet goes on.
            Self::UpcallEnqueue { ret, cmd: MISS, .. } | Self::UpcallReturn { ret, cmd: Some(MISS), .. } => {
                Some(*ret).filter(|&ret| ret < 0)
            }
            _ => None,
        }
    }

    /// Whether ovs-vswitchd has got the packet itself, not a copy of one that goes on; or has sent it back.
    fn question(&self) -> Option<Question> {
        match *self {
            Self::UpcallEnqueue { ret: 0, cmd: MISS, upcall_id: Some(id), .. } => {
                Some(Question::Asked { whom: "ovs-vswitchd", id })
            }
            Self::ActionExecute(ref action) => action.upcall_id.map(|id| Question::Answered { id }),
            Self::FlowOperation { ref op_type, upcall_id: Some(id), .. } if op_type == "exec" => {
                Some(Question::Answered { id })
            }
            _ => None,
        }
    }
}

/// OVS_PACKET_CMD_MISS
const MISS: u8 = 1;

impl Section for OvsSection<'_> {
    const NAME: &'static str = "ovs";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        match self {
            Self::Upcall { cmd, port, cpu, upcall_id } => {
                write!(out, "upcall{} ({}) to port {port} on cpu {cpu}", Number(*upcall_id), Command(*cmd))
            }
            Self::UpcallEnqueue { ret, cmd, queue_id, upcall_id, .. } => {
                write!(out, "upcall{} ({}) ", Number(*upcall_id), Command(*cmd))?;
                match ret {
                    0 => write!(out, "queued, q {queue_id:#010x}"),
                    _ => write!(out, "lost: {}", Errno(*ret)),
                }
            }
            Self::UpcallReturn { ret, upcall_id, .. } => {
                write!(out, "upcall{} returned {}", Number(*upcall_id), Errno(*ret))
            }
            Self::RecvUpcall { r#type, pkt_size, queue_id, batch_idx, upcall_id, .. } => {
                let command = u8::try_from(*r#type).unwrap_or(u8::MAX).saturating_add(1);
                write!(
                    out,
                    "upcall{} ({}) received as {batch_idx} of its batch, {pkt_size} bytes, q {queue_id:#010x}",
                    Number(*upcall_id),
                    Command(command)
                )
            }
            Self::FlowOperation { op_type, queue_id, batch_idx, upcall_id, .. } => {
                let operation = match &**op_type {
                    "exec" => "execute",
                    "put" => "flow put",
                    other => other,
                };
                let operation = Escaped(operation);
                write!(out, "upcall{}: {operation}, {batch_idx} of its batch, q {queue_id:#010x}", Number(*upcall_id))
            }
            Self::ActionExecute(action) => action.write_text(out),
            Self::FlowLookup { flow: 0, n_mask_hit, .. } => write!(out, "no flow, {n_mask_hit} masks tried"),
            Self::FlowLookup { ufid, n_mask_hit, n_cache_hit, actions_len, .. } => {
                let actions = if *actions_len == Some(0) { ", actions:drop" } else { "" };
                write!(out, "flow ufid:{}{actions}, {n_mask_hit} masks tried, {n_cache_hit} cached", Ufid(*ufid))
            }
        }
    }

    fn tell<'a>(json: &'a str, clues: &mut Clues<'a>) {
        let Ok(section) = serde_json::from_str::<OvsSection<'a>>(json) else { return };
        if let Some(error) = section.lost() {
            let clue = clues.dropped();
            clue.reason = Some(Cow::Owned(Errno(error).to_string()));
            clue.by = Some("the upcall to ovs-vswitchd".into());
        }
        if let OvsSection::FlowLookup { flow: 1.., ufid, actions_len: Some(0), .. } = section {
            clues.dropped().by = Some(Cow::Owned(format!("flow ufid:{} without actions", Ufid(ufid))));
        }
        clues.question = section.question();
    }
}

/// The name of the upcall, when it has one.
struct Number(Option<u64>);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |number| write!(f, " {number}"))
    }
}

/// Why there is an upcall.
struct Command(u8);

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            MISS => f.write_str("miss"),
            2 => f.write_str("action"),
            other => write!(f, "command {other}"),
        }
    }
}

/// What a function of the kernel returned, in words where there are any.
struct Errno(i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            -11 => f.write_str("EAGAIN (the queue is full)"),
            -105 => f.write_str("ENOBUFS (the queue is full)"),
            -107 => f.write_str("ENOTCONN (nobody listens)"),
            -111 => f.write_str("ECONNREFUSED (nobody listens)"),
            -12 => f.write_str("ENOMEM"),
            -27 => f.write_str("EFBIG (the packet is too long)"),
            -90 => f.write_str("EMSGSIZE"),
            -19 => f.write_str("ENODEV"),
            other => write!(f, "{other}"),
        }
    }
}

/// The number of a flow as ovs-vswitchd writes it.
struct Ufid([u32; 4]);

impl fmt::Display for Ufid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a:08x}-{:04x}-{:04x}-{:04x}-{:04x}{d:08x}", b >> 16, b & 0xffff, c >> 16, c & 0xffff)
    }
}

/// The packet enters or leaves the datapath.
#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(super) struct OvsVportSection<'a> {
    /// "receive" or "send".
    pub(super) event: Cow<'a, str>,
    /// The number of the port in the datapath.
    pub(super) port: u32,
    /// The name of the port.
    pub(super) name: Cow<'a, str>,
    /// The name of the datapath.
    pub(super) datapath: Cow<'a, str>,
}

impl Section for OvsVportSection<'_> {
    const NAME: &'static str = "ovs-vport";
    const PLACE: Place = Place::Line;

    fn write_text(&self, out: &mut dyn fmt::Write, _options: &TextOptions) -> fmt::Result {
        let Self { event, port, name, datapath } = self;
        let way = match &**event {
            "receive" => "in at",
            "send" => "out at",
            other => other,
        };
        write!(out, "{} port {port} ({}) of {}", Escaped(way), Escaped(name), Escaped(datapath))
    }
}

#[cfg(test)]
mod tests {
    use tracer_core::event::clues::{Clues, Fate, Question};
    use tracer_core::event::section::Section as _;
    use tracer_core::event::text::TextOptions;

    use super::{OvsSection, OvsVportSection};

    fn text(json: &str) -> String {
        let section: OvsSection<'_> = serde_json::from_str(json).unwrap();
        let mut text = String::new();
        section.write_text(&mut text, &TextOptions::default()).unwrap();
        text
    }

    #[test]
    fn tells_of_upcalls() {
        assert_eq!(
            text(r#"{"event_type":"upcall","cmd":1,"port":77,"cpu":2,"upcall_id":9}"#),
            "upcall 9 (miss) to port 77 on cpu 2"
        );
        assert_eq!(text(r#"{"event_type":"upcall","cmd":2,"port":77,"cpu":2}"#), "upcall (action) to port 77 on cpu 2");
        let enqueue = |ret: i32| {
            text(&format!(
                r#"{{"event_type":"upcall_enqueue","ret":{ret},"cmd":1,"port":7,"upcall_ts":1,"upcall_cpu":0,"queue_id":255,"upcall_id":9}}"#
            ))
        };
        assert_eq!(enqueue(0), "upcall 9 (miss) queued, q 0x000000ff");
        assert_eq!(enqueue(-11), "upcall 9 (miss) lost: EAGAIN (the queue is full)");
        assert_eq!(enqueue(-1), "upcall 9 (miss) lost: -1");
        assert_eq!(
            text(r#"{"event_type":"upcall_return","upcall_ts":1,"upcall_cpu":0,"ret":0,"upcall_id":9}"#),
            "upcall 9 returned 0"
        );
        assert_eq!(
            text(
                r#"{"event_type":"recv_upcall","type":0,"pkt_size":98,"key_size":4,"queue_id":1,"batch_ts":2,"batch_idx":3}"#
            ),
            "upcall (miss) received as 3 of its batch, 98 bytes, q 0x00000001"
        );
        assert_eq!(
            text(r#"{"event_type":"flow_operation","op_type":"put","queue_id":1,"batch_ts":2,"batch_idx":3}"#),
            "upcall: flow put, 3 of its batch, q 0x00000001"
        );
    }

    #[test]
    fn tells_of_flows() {
        let lookup = |flow: u64| {
            text(&format!(
                r#"{{"event_type":"flow_lookup","flow":{flow},"sf_acts":2,"ufid":[1,131075,4,5],"n_mask_hit":3,"n_cache_hit":1}}"#
            ))
        };
        assert_eq!(lookup(7), "flow ufid:00000001-0002-0003-0000-000400000005, 3 masks tried, 1 cached");
        assert_eq!(lookup(0), "no flow, 3 masks tried");
    }

    #[test]
    fn a_flow_without_actions_drops() {
        let lookup = |flow: u64, length: &str| {
            let json = format!(
                r#"{{"event_type":"flow_lookup","flow":{flow},"sf_acts":2,"ufid":[1,131075,4,5],"n_mask_hit":3,"n_cache_hit":1{length}}}"#
            );
            let mut clues = Clues::default();
            OvsSection::tell(&json, &mut clues);
            match clues.fate {
                Some(Fate::Dropped(clue)) => Some((clue.by.unwrap().into_owned(), text(&json))),
                _ => None,
            }
        };
        let flow = "flow ufid:00000001-0002-0003-0000-000400000005";
        let told = (format!("{flow} without actions"), format!("{flow}, actions:drop, 3 masks tried, 1 cached"));
        assert_eq!(lookup(7, r#","actions_len":0"#), Some(told));
        assert_eq!(lookup(7, r#","actions_len":8"#), None);
        assert_eq!(lookup(7, ""), None);
        assert_eq!(lookup(0, r#","actions_len":0"#), None);
    }

    #[test]
    fn ovs_vswitchd_is_asked_and_answers() {
        let question = |json: &str| {
            let mut clues = Clues::default();
            OvsSection::tell(json, &mut clues);
            clues.question
        };
        let queued = |cmd: u8, ret: i32| {
            question(&format!(
                r#"{{"event_type":"upcall_enqueue","ret":{ret},"cmd":{cmd},"port":7,"upcall_ts":1,"upcall_cpu":0,"queue_id":255,"upcall_id":9}}"#
            ))
        };
        assert_eq!(queued(1, 0), Some(Question::Asked { whom: "ovs-vswitchd", id: 9 }));
        assert_eq!(queued(1, -11), None);
        // A copy: the packet goes on.
        assert_eq!(queued(2, 0), None);
        let operation = |kind: &str| {
            question(&format!(
                r#"{{"event_type":"flow_operation","op_type":"{kind}","queue_id":1,"batch_ts":2,"batch_idx":3,"upcall_id":9}}"#
            ))
        };
        assert_eq!(operation("put"), None);
        assert_eq!(operation("exec"), Some(Question::Answered { id: 9 }));
        let executed =
            r#"{"event_type":"action_execute","action":"output","port":1,"recirc_id":0,"queue_id":1,"upcall_id":9}"#;
        assert_eq!(question(executed), Some(Question::Answered { id: 9 }));
    }

    #[test]
    fn a_lost_upcall_is_a_drop_unless_it_was_a_copy() {
        let fate = |cmd: u8, ret: i32| {
            let json = format!(
                r#"{{"event_type":"upcall_enqueue","ret":{ret},"cmd":{cmd},"port":7,"upcall_ts":1,"upcall_cpu":0,"queue_id":255}}"#
            );
            let mut clues = Clues::default();
            OvsSection::tell(&json, &mut clues);
            match clues.fate {
                Some(Fate::Dropped(clue)) => Some((clue.reason.unwrap().into_owned(), clue.by.unwrap().into_owned())),
                _ => None,
            }
        };
        let by = "the upcall to ovs-vswitchd".to_owned();
        assert_eq!(fate(1, -11), Some(("EAGAIN (the queue is full)".to_owned(), by)));
        assert_eq!(fate(1, 0), None);
        assert_eq!(fate(2, -11), None);
    }

    #[test]
    fn names_ports() {
        let section: OvsVportSection<'_> =
            serde_json::from_str(r#"{"event":"receive","port":2,"name":"ve\u001bth","datapath":"ovs-system"}"#)
                .unwrap();
        let mut text = String::new();
        section.write_text(&mut text, &TextOptions::default()).unwrap();
        assert_eq!(text, "in at port 2 (ve\\u{1b}th) of ovs-system");
    }
}
