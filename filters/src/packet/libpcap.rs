// SPDX-License-Identifier: Apache-2.0 OR MIT
//! libpcap: compiles texts to classic BPF.

use pcap::{Capture, Linktype};

use super::classic::{ClassicProgram, RawInstruction};

/// What the first bytes of a packet are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstHeader {
    Ethernet,
    /// IPv4 or IPv6.
    Ip,
}

/// libpcap's reason when a text is right but matches no packet of the kind.
pub(super) const REJECTS_ALL: &str = "expression rejects all packets";

/// Compiles a text, or says in libpcap's words why not.
pub(super) fn compile(text: &str, first_header: FirstHeader) -> Result<ClassicProgram, String> {
    let link_type = match first_header {
        FirstHeader::Ethernet => Linktype::ETHERNET,
        FirstHeader::Ip => Linktype::RAW,
    };
    let program =
        Capture::dead(link_type).and_then(|capture| capture.compile(text, true)).map_err(|error| match error {
            pcap::Error::PcapError(message) => message,
            other => other.to_string(),
        })?;
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
