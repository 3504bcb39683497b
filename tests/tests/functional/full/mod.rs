// SPDX-License-Identifier: Apache-2.0 OR MIT
//! On 6.12 always, on 6.1 and 7 in the full tier: what depends little on the kernel, or takes long.

pub(crate) mod all_probes;
mod cap;
mod faults;
mod filter_packets;
mod flood;
mod many;
mod metadata;
mod output;
pub(crate) mod reuse;
mod start;
mod stop;
mod trouble;
mod tunnels;
