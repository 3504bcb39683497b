// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The filters of a collection: that of all probes, and those of single ones.

use tracer_core::error::{Error, ErrorKind};
use tracer_core::filter::{Filter, FilterText, MetadataProgram, PacketPrograms};
use tracer_core::kernel::Kernel;
use tracer_core::kernel::tunnels::{self, Found, TunnelPorts};
use tracer_core::probe::ProbeSpec;
use tracer_filters::metadata::MetadataFilter;
use tracer_filters::packet::PacketFilter;

use super::CollectArgs;
use crate::report;

/// Translates the filter of all probes and those that single probes have, each once.
pub(super) fn translate(all: &FilterText, probes: &[ProbeSpec], kernel: &Kernel) -> anyhow::Result<Vec<Filter>> {
    let mut filters: Vec<Filter> = Vec::new();
    for text in std::iter::once(all).chain(probes.iter().filter_map(|probe| probe.filter.as_ref())) {
        if !text.is_empty() && !filters.iter().any(|filter| filter.text == *text) {
            filters.push(filter(text, kernel)?);
        }
    }
    Ok(filters)
}

/// Where inner packets are looked for, if that is asked for.
pub(super) fn tunnel_ports(
    args: &CollectArgs,
    filters: &[Filter],
    kernel: &Kernel,
) -> Result<Option<TunnelPorts>, Error> {
    if !args.filter_inner {
        return Ok(None);
    }
    if filters.iter().all(|filter| filter.packet.is_none()) {
        let what = "`--filter-inner` is about a packet filter, and there is none";
        return Err(Error::new(ErrorKind::Usage, what).with_hint("`-f` or `/filter=` behind a probe gives one"));
    }
    let Found { mut ports, warning } = tunnels::find(kernel);
    if let Some(warning) = warning {
        report::warning(warning);
    }
    args.tunnel_port.iter().for_each(|&tunnel| ports.set(tunnel));
    report::line(format_args!("note: tunnels over UDP are looked for at the ports {ports}"));
    Ok(Some(ports))
}

fn filter(text: &FilterText, kernel: &Kernel) -> Result<Filter, Error> {
    let packet = text.packet.as_deref().map(packet_programs).transpose()?;
    let metadata = text.metadata.as_deref().map(|text| metadata_program(text, kernel)).transpose()?;
    Ok(Filter { text: text.clone(), packet, metadata })
}

fn packet_programs(text: &str) -> Result<PacketPrograms, Error> {
    let filter = PacketFilter::compile(text)?;
    if let Some(reason) = filter.raw_note() {
        report::line(format_args!(
            "note: `{text}` has no meaning without an Ethernet header: where packets have none, it matches none of them ({reason})"
        ));
    }
    Ok(PacketPrograms {
        ethernet: filter.ethernet().clone(),
        raw: filter.raw().cloned(),
        sees_vlan_tags: filter.sees_vlan_tags(),
    })
}

fn metadata_program(text: &str, kernel: &Kernel) -> Result<MetadataProgram, Error> {
    // Without types it is not the filter that is wrong.
    kernel.vmlinux()?;
    let filter = MetadataFilter::compile(text, kernel)?;
    Ok(MetadataProgram { program: filter.program().clone(), needs_packet: filter.needs_packet() })
}
