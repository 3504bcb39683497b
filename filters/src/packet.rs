// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The packet filter (`-f`): what tcpdump understands, as eBPF.
//!
//! libpcap compiles a text twice, for packets that begin with an Ethernet header and for those that begin with an IP header
//! (`libpcap`). Its programs, classic BPF (`classic`), are translated to eBPF (`translate`).

mod classic;
mod flow;
mod libpcap;
mod locate;
mod matcher;
mod refusal;
mod translate;
mod unroll;
mod words;

use std::time::{Duration, Instant};

use tracer_core::filter::Program;

use self::classic::{ClassicProgram, RawInstruction};
use self::libpcap::{FirstHeader, REJECTS_ALL};
pub use self::matcher::{AcceleratedTag, Matcher, RecordedPacket};
use self::words::find_keyword;
use crate::error::{FilterError, Language};

/// So long libpcap is asked where a text is wrong, counted from the question whether it is: where that takes long, because names
/// are looked up, the place is not worth more of it.
const LONGEST_SEARCH: Duration = Duration::from_secs(2);

/// A packet filter, ready to be linked.
#[derive(Clone, Debug)]
pub struct PacketFilter {
    ethernet: Program,
    raw: Result<Program, String>,
    sees_vlan_tags: bool,
}

impl PacketFilter {
    /// Compiles a text.
    pub fn compile(text: &str) -> Result<Self, FilterError> {
        let Compiled { ethernet, raw, sees_vlan_tags } = compile(text)?;
        let translate = |program| translate::translate(&program).map_err(|too_far| refusal::too_large(text, too_far));
        let raw = match raw {
            Ok(program) => Ok(translate(program)?),
            Err(reason) => Err(reason),
        };
        Ok(Self { ethernet: translate(ethernet)?, raw, sees_vlan_tags })
    }

    /// Decides on packets that begin with an Ethernet header.
    pub fn ethernet(&self) -> &Program {
        &self.ethernet
    }

    /// Decides on packets that begin with an IP header. There is none when the text has no meaning without Ethernet: such
    /// packets do not match.
    pub fn raw(&self) -> Option<&Program> {
        self.raw.as_ref().ok()
    }

    /// Why the text has no meaning without Ethernet, in libpcap's words.
    pub fn raw_note(&self) -> Option<&str> {
        self.raw.as_ref().err().map(String::as_str)
    }

    /// Whether a VLAN tag that travels beside the packet's bytes counts as a part of them: the text asks for tags.
    pub fn sees_vlan_tags(&self) -> bool {
        self.sees_vlan_tags
    }
}

/// Translates a program of classic BPF, given as `tcpdump -ddd` prints it: code, jt, jf and k of each instruction.
///
/// # Errors
/// When it is no valid program, or too large.
pub fn translate_classic(program: &[(u16, u8, u8, u32)]) -> Result<Program, FilterError> {
    let raw = program.iter().map(|&(code, jt, jf, k)| RawInstruction { code, jt, jf, k });
    let classic = ClassicProgram::new(raw.collect())
        .map_err(|invalid| FilterError::new(Language::Packet, "", invalid.to_string()))?;
    translate::translate(&classic).map_err(|too_far| refusal::too_large("", too_far))
}

/// What libpcap makes of a text.
struct Compiled {
    ethernet: ClassicProgram,
    /// Or the reason why there is none.
    raw: Result<ClassicProgram, String>,
    sees_vlan_tags: bool,
}

fn compile(text: &str) -> Result<Compiled, FilterError> {
    if text.trim().is_empty() {
        return Err(FilterError::new(Language::Packet, text, "the text is empty"));
    }
    if let Some(at) = text.find('\0') {
        return Err(FilterError::new(Language::Packet, text, "a NUL character").at(at..at + 1));
    }
    let deadline = Instant::now() + LONGEST_SEARCH;
    let ethernet =
        libpcap::compile(text, FirstHeader::Ethernet).map_err(|reason| refusal::explain(text, &reason, deadline))?;
    if let Some(word) = find_keyword(text, &["inbound", "outbound"]) {
        return Err(refusal::no_direction(text, word));
    }
    let raw = match libpcap::compile(text, FirstHeader::Ip) {
        Err(reason) if reason == REJECTS_ALL => Ok(ClassicProgram::never()),
        other => other,
    };
    Ok(Compiled { ethernet, raw, sees_vlan_tags: find_keyword(text, &["vlan"]).is_some() })
}

#[cfg(test)]
mod tests;
