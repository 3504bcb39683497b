// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Filters as eBPF: what stands between a text, which `tracer-filters` translates, and the programs, into which a session
//! links the result.
//!
//! Three functions are generated. Each gets a pointer in R1 and returns in R0 whether the packet matches (0: no). R6 to R9 need
//! not be saved. The stack of a function is at most [`STACK_LIMIT`] bytes.
//!
//! - The **packet filter**: R1 points to a `struct packet_view`, in memory that takes variable offsets (a map's value). There
//!   are two, for packets that begin with an Ethernet header and for packets that begin with an IP header. Bytes outside the
//!   window are had by calling `load` ([`Program::loads`]): R1 is the view, R2 the offset (64 bits), R3 the size (1, 2 or 4
//!   bytes); it returns the big-endian number there, or [`OUT_OF_RANGE`] when the packet ends before it.
//! - The **metadata filter**: R1 points to a copy of the packet's `struct sk_buff` (`SKB_COPY_SIZE` bytes, in memory as above), and
//!   R2 is its address in the kernel. It is asked at a probe that has no packet only when it does not need one; then R2 is 0, and
//!   what R1 points to is left from another packet. It calls helpers of the kernel only.

mod graft;

use std::fmt;

use bpf_ins::{Instruction, JumpOperation, Register};
use tracer_ebpf::{objects, wire};

use crate::error::{Error, ErrorKind};

/// What the function `load` returns when the packet has no such bytes.
pub const OUT_OF_RANGE: u64 = wire::OUT_OF_RANGE as i64 as u64;

/// Bytes of stack that a filter may use.
pub const STACK_LIMIT: i16 = 128;

/// Filters that a session has at most: the one for all probes, and those of single ones.
pub const MAX_FILTERS: usize = wire::MAX_FILTERS as usize - 1;

/// The body of a filter function: every way through it ends with `exit`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The instructions, encoded.
    pub instructions: Vec<u64>,
    /// Which of them call the function `load`: calls of another eBPF function (`BPF_PSEUDO_CALL`) whose target is filled in when
    /// the program is linked.
    pub loads: Vec<usize>,
}

/// A filter as the user wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FilterText {
    /// The packet filter, in libpcap's syntax.
    pub packet: Option<String>,
    /// The metadata filter.
    pub metadata: Option<String>,
}

impl FilterText {
    /// Texts as they are given; an empty one lets everything pass.
    pub fn new(packet: Option<&str>, metadata: Option<&str>) -> Self {
        let given = |text: Option<&str>| text.filter(|text| !text.trim().is_empty()).map(str::to_owned);
        Self { packet: given(packet), metadata: given(metadata) }
    }

    /// Whether it lets everything pass.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A filter, translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What it was made from.
    pub text: FilterText,
    /// The packet filter.
    pub packet: Option<PacketPrograms>,
    /// The metadata filter.
    pub metadata: Option<MetadataProgram>,
}

/// A packet filter, translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketPrograms {
    /// For packets that begin with an Ethernet header.
    pub ethernet: Program,
    /// For packets that begin with an IP header; without it none of them matches.
    pub raw: Option<Program>,
    /// It speaks of VLAN tags: one that is beside the packet's bytes counts as one of them.
    pub sees_vlan_tags: bool,
}

/// A metadata filter, translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataProgram {
    /// The program.
    pub program: Program,
    /// It asks about the packet, not only about the task.
    pub needs_packet: bool,
}

/// Characters of a text that a message shows.
const SHOWN: usize = 80;

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [("packet", &self.text.packet), ("metadata", &self.text.metadata)];
        let mut separator = "";
        for (language, text) in texts.into_iter().filter_map(|(language, text)| Some((language, text.as_ref()?))) {
            let end = if text.chars().nth(SHOWN).is_some() { "..." } else { "" };
            write!(f, "{separator}the {language} filter `{text:.SHOWN$}{end}`")?;
            separator = " with ";
        }
        Ok(())
    }
}

impl Filter {
    /// Instructions of the longest of its programs.
    pub(crate) fn longest_program(&self) -> usize {
        let packet = self.packet.iter().flat_map(|packet| [Some(&packet.ethernet), packet.raw.as_ref()]).flatten();
        let all = packet.chain(self.metadata.iter().map(|metadata| &metadata.program));
        all.map(|program| program.instructions.len()).max().unwrap_or(0)
    }

    /// Flags of the probes at which it decides, with a packet or without one; 0: there it has nothing to say.
    pub(crate) fn probe_flags(&self, has_packet: bool) -> u32 {
        let mut flags = 0;
        if let Some(packet) = self.packet.as_ref().filter(|_| has_packet) {
            flags |= wire::PROBE_FILTER_PACKET | wire::PROBE_FILTER_NEEDS_PACKET;
            if packet.sees_vlan_tags {
                flags |= wire::PROBE_FILTER_VLAN;
            }
        }
        if let Some(metadata) = self.metadata.as_ref().filter(|metadata| has_packet || !metadata.needs_packet) {
            flags |= wire::PROBE_FILTER_METADATA;
            if metadata.needs_packet {
                flags |= wire::PROBE_FILTER_NEEDS_PACKET;
            }
        }
        flags
    }
}

/// The objects that filters take, with the generated functions in them. Filters are numbered from 1 on, in their order. `inner`:
/// packet filters look at packets in tunnels, too. `direct_reads`: the kernel has them (`Features`).
///
/// # Errors
/// When they are more or larger than can be linked.
pub(crate) fn objects(filters: &[Filter], inner: bool, direct_reads: bool) -> Result<Vec<Vec<u8>>, Error> {
    if filters.len() > MAX_FILTERS {
        return Err(Error::new(
            ErrorKind::BadFilter,
            format!("{} different filters, and {MAX_FILTERS} at most", filters.len()),
        ));
    }
    // The number is the last argument.
    let choose_packet = |of: fn(&Filter) -> Option<&Program>| Program::choose(filters.iter().map(of), Register::R2);
    let mut objects = Vec::new();
    if filters.iter().any(|filter| filter.packet.is_some()) {
        let (packet, inner_packet) = if direct_reads {
            (objects::FILTER_PACKET_DIRECT, objects::FILTER_INNER_DIRECT)
        } else {
            (objects::FILTER_PACKET, objects::FILTER_INNER)
        };
        objects.push(packet.to_vec());
        if inner {
            objects.push(inner_packet.to_vec());
        }
        let ethernet = choose_packet(|filter| filter.packet.as_ref().map(|packet| &packet.ethernet))?;
        objects.push(graft::graft(objects::FILTER_ETHERNET, "filter_ethernet", &ethernet)?);
        let raw = choose_packet(|filter| filter.packet.as_ref()?.raw.as_ref())?;
        objects.push(graft::graft(objects::FILTER_RAW, "filter_raw", &raw)?);
    }
    if filters.iter().any(|filter| filter.metadata.is_some()) {
        objects.push(objects::FILTER_METADATA.to_vec());
        let programs = filters.iter().map(|filter| filter.metadata.as_ref().map(|metadata| &metadata.program));
        let metadata = Program::choose(programs, Register::R3)?;
        objects.push(graft::graft(objects::FILTER_FIELDS, "filter_fields", &metadata)?);
    }
    Ok(objects)
}

impl Program {
    /// One program out of several, of which the number in a register chooses, counted from 1 on. Where there is none of a number,
    /// nothing matches.
    fn choose<'a>(programs: impl Iterator<Item = Option<&'a Self>>, number: Register) -> Result<Self, Error> {
        let programs: Vec<_> = programs.collect();
        if let [Some(only)] = programs[..] {
            return Ok(only.clone());
        }
        let mut chosen = Self::default();
        for (program, expected) in programs.into_iter().zip(1..) {
            let Some(program) = program else { continue };
            let size = program.instructions.len();
            let behind = i16::try_from(size).map_err(|_| {
                Error::new(
                    ErrorKind::BadFilter,
                    format!("a filter takes {size} instructions, and {} at most", i16::MAX),
                )
            })?;
            chosen.push(Instruction::jmp_if(number, JumpOperation::IfNotEqual, expected, behind));
            let start = chosen.instructions.len();
            chosen.loads.extend(program.loads.iter().map(|index| start + index));
            chosen.instructions.extend(&program.instructions);
        }
        chosen.push(Instruction::mov32(Register::R0, 0));
        chosen.push(Instruction::exit());
        Ok(chosen)
    }

    fn push(&mut self, instruction: Instruction) {
        let (first, second) = instruction.encode();
        self.instructions.push(first);
        self.instructions.extend(second);
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, FilterText, MetadataProgram, PacketPrograms, Program};
    use tracer_ebpf::wire;

    #[test]
    fn a_probe_without_a_packet_is_asked_about_the_task_alone() {
        let filter = |needs_packet| Filter {
            text: FilterText::default(),
            packet: Some(PacketPrograms { ethernet: Program::default(), raw: None, sees_vlan_tags: true }),
            metadata: Some(MetadataProgram { program: Program::default(), needs_packet }),
        };
        assert_eq!(filter(false).probe_flags(false), wire::PROBE_FILTER_METADATA);
        assert_eq!(filter(true).probe_flags(false), 0);
        let packet = wire::PROBE_FILTER_PACKET | wire::PROBE_FILTER_VLAN | wire::PROBE_FILTER_NEEDS_PACKET;
        assert_eq!(filter(false).probe_flags(true), packet | wire::PROBE_FILTER_METADATA);
    }
}
