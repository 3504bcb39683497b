// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What tshark finds in packets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The values of each field of a packet, outermost first.
pub(crate) type Layers = BTreeMap<String, Vec<String>>;

/// What a line of tshark's JSON is, as far as it is read.
#[derive(serde::Deserialize)]
struct Dissected {
    #[serde(rename = "_source")]
    source: Source,
}

#[derive(serde::Deserialize)]
struct Source {
    layers: Layers,
}

/// The values of these fields in each packet of the files, one after the other: to start tshark takes longer than all packets.
///
/// Each packet is looked at on its own: nothing is put together or numbered relative to others.
pub(crate) fn dissect(files: &[PathBuf], fields: &[&str]) -> Vec<Layers> {
    // Files of different link types fit together in this format only.
    let mut merge = Command::new("mergecap")
        .args(["-a", "-F", "pcapng", "-w", "-"])
        .args(files)
        .stdout(Stdio::piped())
        .spawn()
        .expect("mergecap, which comes with tshark");
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "json", "-r", "-"]).stdin(merge.stdout.take().unwrap());
    for preference in [
        "ip.defragment:FALSE",
        "ipv6.defragment:FALSE",
        "tcp.desegment_tcp_streams:FALSE",
        "tcp.relative_sequence_numbers:FALSE",
        "tcp.analyze_sequence_numbers:FALSE",
        "ip.check_checksum:FALSE",
        "sctp.relative_tsns:FALSE",
        "sctp.tsn_analysis:FALSE",
        "udp.try_heuristic_first:FALSE",
    ] {
        command.args(["-o", preference]);
    }
    // Nothing in a packet says whether a control word stands in front of the frame in it; with this label there is one.
    command.args(["-d", "mpls.label==31,pwethcw"]);
    // It would decompress the payload, which we leave alone.
    command.args(["--disable-protocol", "ipcomp"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark, which tests/vm/setup.sh installs");
    assert!(merge.wait().unwrap().success(), "mergecap failed");
    assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let packets: Vec<Dissected> = serde_json::from_slice(&output.stdout).unwrap();
    packets.into_iter().map(|packet| packet.source.layers).collect()
}
