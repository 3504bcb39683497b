// SPDX-License-Identifier: Apache-2.0 OR MIT
//! On 6.1, 6.12 and 7.

mod attach;
mod cap;
mod drops;
mod fallback;
mod filter_packets;
mod filters;
mod functions;
mod identity;
mod inspect;
mod metadata;
pub(crate) mod nic;
mod output;
mod ovs;
mod ovs_datapath;
mod ovs_upcalls;
mod paths;
mod payload;
mod privileges;
mod probe_stack;
mod start;
mod stop;
mod transformations;
mod trouble;
mod tunnels;
