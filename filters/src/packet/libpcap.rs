// SPDX-License-Identifier: Apache-2.0 OR MIT
//! libpcap: compiles texts to classic BPF.

use pcap::{BpfProgram, Capture, Linktype};

use super::classic::{ClassicProgram, RawInstruction};

/// What the first bytes of a packet are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstHeader {
    Ethernet,
    /// IPv4 or IPv6.
    Ip,
}

/// `DLT_RAW`. The pcap crate's constant is the number that stands in files.
const RAW_IP: Linktype = Linktype(12);

/// libpcap's reason when a text is right but matches no packet of the kind.
pub(super) const REJECTS_ALL: &str = "expression rejects all packets";

/// libpcap's reason when the parser does not understand a text.
pub(super) const SYNTAX_ERROR: &str = "syntax error";

/// Compiles a text, or says in libpcap's words why not.
pub(super) fn compile(text: &str, first_header: FirstHeader) -> Result<ClassicProgram, String> {
    let program = ask(text, first_header, true)?;
    let raw = program
        .get_instructions()
        .iter()
        .map(|instruction| {
            RawInstruction::parse(&instruction.to_string())
                .ok_or_else(|| format!("instruction `{instruction}` is not four numbers"))
        })
        .collect::<Result<_, _>>()?;
    ClassicProgram::new(raw).map_err(|error| error.to_string())
}

/// Like [`compile`], but asks only whether the text is right.
pub(super) fn check(text: &str, first_header: FirstHeader) -> Result<(), String> {
    ask(text, first_header, false).map(drop)
}

fn ask(text: &str, first_header: FirstHeader, optimize: bool) -> Result<BpfProgram, String> {
    let link_type = match first_header {
        FirstHeader::Ethernet => Linktype::ETHERNET,
        FirstHeader::Ip => RAW_IP,
    };
    Capture::dead(link_type).and_then(|capture| capture.compile(text, optimize)).map_err(|error| match error {
        // It says so in several ways, which depend on where the parser was.
        pcap::Error::PcapError(message) if message.contains(SYNTAX_ERROR) => SYNTAX_ERROR.to_owned(),
        pcap::Error::PcapError(message) => message,
        other => other.to_string(),
    })
}
