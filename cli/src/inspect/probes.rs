// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer inspect probes`.

use std::fmt::Write as _;

use serde::Serialize;
use tracer_core::collector::{self, Collector};
use tracer_core::kernel::Kernel;
use tracer_core::probe::inspect::{Place, inspect, inspect_packets};
use tracer_core::probe::{PacketPlace, ProbeSpec, ProbeType};

use super::FormatName;
use crate::{output, report};

/// Shows what fits the patterns; without any, all that has a packet.
pub(super) fn run(kernel: &Kernel, patterns: &[ProbeSpec], format: FormatName) -> anyhow::Result<()> {
    let collectors = collector::all()?;
    let found = if patterns.is_empty() { inspect_packets(kernel)? } else { inspect(kernel, patterns)? };
    let mut text = String::new();
    for place in &found.places {
        let line = Line::new(place, &collectors);
        match format {
            FormatName::Json => text += &format!("{}\n", serde_json::to_string(&line)?),
            FormatName::Text => text += &line.text(),
        }
    }
    output::print(&text)?;
    for unseen in &found.unseen {
        report::warning(unseen);
    }
    let probeable = found.places.iter().filter(|place| place.obstacle.is_none()).count();
    report::line(format_args!("{probeable} of {} can be probed", found.places.len()));
    Ok(())
}

/// A place as programs see it; documented in `docs/inspect.md`.
#[derive(Serialize)]
struct Line<'a> {
    probe: String,
    #[serde(rename = "type")]
    probe_type: &'static str,
    target: &'a str,
    module: Option<&'a str>,
    prototype: Option<&'a str>,
    packet: Option<Packet<'a>>,
    no_packet: Option<&'static str>,
    /// Of a USDT probe: the file that it is in, the processes that run it, and where its arguments are.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<&'a [i32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a str>,
    collectors: Vec<&'static str>,
    probeable: bool,
    why_not: Option<String>,
    hint: Option<String>,
}

/// Where the packet is.
#[derive(Serialize)]
struct Packet<'a> {
    /// From 1.
    argument: u32,
    name: Option<&'a str>,
    /// The argument points to the pointer to the packet.
    indirect: bool,
    /// Bytes from the stack pointer at the function's entry.
    stack_offset: Option<u32>,
    /// Known from the entry of the same call.
    from_entry: bool,
}

impl<'a> Line<'a> {
    fn new(place: &'a Place, collectors: &[&'static Collector]) -> Self {
        let probe = &place.probe;
        let argument = match probe.packet {
            PacketPlace::Nowhere => None,
            PacketPlace::Argument(argument) => Some((argument, false)),
            PacketPlace::Behind { argument, .. } => Some((argument, true)),
        };
        let speaking = collectors.iter().filter(|collector| collector.speaks_at(probe));
        Self {
            probe: probe.to_string(),
            probe_type: probe.probe_type.name(),
            target: &probe.target,
            module: probe.module.as_deref(),
            prototype: place.prototype.as_deref(),
            packet: argument.map(|(argument, indirect)| Packet {
                argument: u32::from(argument) + 1,
                name: place.packet_name.as_deref(),
                indirect,
                stack_offset: probe.stack_offset(argument),
                from_entry: probe.probe_type == ProbeType::Kretprobe,
            }),
            no_packet: place.no_packet,
            path: probe.user.as_ref().map(|user| &*user.path),
            processes: probe.user.as_ref().map(|user| &*user.processes),
            arguments: probe.user.as_ref().map(|user| &*user.arguments),
            collectors: speaking.map(|collector| collector.name).collect(),
            probeable: place.obstacle.is_none(),
            why_not: place.obstacle.as_ref().map(ToString::to_string),
            hint: place.obstacle.as_ref().and_then(|obstacle| obstacle.hint()),
        }
    }

    fn text(&self) -> String {
        let mut text = self.probe.clone();
        // Writing to a string does not fail.
        if let Some(module) = self.module {
            let _ = write!(text, " [{module}]");
        }
        let mut line = |label: &str, value: &str| {
            let _ = write!(text, "\n  {label}{value}");
        };
        if let Some(prototype) = self.prototype {
            line("", prototype);
        }
        if let (Some(path), Some(processes), Some(arguments)) = (self.path, self.processes, self.arguments) {
            line("in: ", path);
            let processes: Vec<String> = processes.iter().map(ToString::to_string).collect();
            line("processes: ", &processes.join(", "));
            line("arguments: ", if arguments.is_empty() { "none" } else { arguments });
        }
        match (&self.why_not, &self.packet) {
            (Some(why_not), _) => {
                line("can't be probed: ", why_not);
                if let Some(hint) = &self.hint {
                    line("hint: ", hint);
                }
            }
            (None, packet) => {
                let packet = packet.as_ref().map(Packet::text);
                let nowhere = || format!("nowhere: {}", self.no_packet.unwrap_or("not known"));
                line("packet: ", &packet.unwrap_or_else(nowhere));
                let names = self.collectors.join(", ");
                line("collectors: ", if names.is_empty() { "none has anything to say" } else { &names });
            }
        }
        text.push('\n');
        text
    }
}

impl Packet<'_> {
    fn text(&self) -> String {
        let mut text = format!("argument {}", self.argument);
        if let Some(name) = self.name {
            let _ = write!(text, " (`{name}`)");
        }
        if self.indirect {
            text.push_str(", behind another pointer");
        }
        if let Some(offset) = self.stack_offset {
            let _ = write!(text, ", on the stack at +{offset}");
        }
        if self.from_entry {
            text.push_str(", at the entry of the same call");
        }
        text
    }
}
