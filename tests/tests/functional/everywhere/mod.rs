// SPDX-License-Identifier: Apache-2.0 OR MIT
//! On 6.1, 6.12 and 7: what depends on the kernel.

mod attach;
mod conntrack;
mod drops;
mod fallback;
mod filters;
mod functions;
mod identity;
mod inspect;
mod iptables;
mod nft;
pub(crate) mod nic;
mod ovs;
mod paths;
mod payload;
mod privileges;
mod probe_stack;
mod transformations;
pub(crate) mod usdt;
mod verdicts;
