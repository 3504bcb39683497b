// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What takes minutes: in the full tier only, on 6.1, 6.12 and 7.
//!
//! Cost: 230,000 packets, twice: see the figures that they print; what Open vSwitch does, each a minute or more.

mod ovs_datapath;
mod ovs_tunnels;
mod ovs_upcalls;
mod ovs_vswitchd;

use anyhow::Result;

use crate::full::reuse::{Hosts, torture};

const PACKETS: u64 = 200_000;

#[test]
fn nothing_of_another_flow_is_recorded_among_many_packets_at_veth() -> Result<()> {
    torture(&Hosts::veth()?, PACKETS)
}

#[test]
fn nothing_of_another_flow_is_recorded_among_many_packets_at_a_network_card() -> Result<()> {
    torture(&Hosts::cards()?, PACKETS)
}
