// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What carries whole packets, or hides them. Tunnels without a header of their own are in `ip`.

mod erspan;
pub(super) mod geneve;
pub(super) mod gre;
pub(super) mod gtp;
pub(super) mod ipsec;
pub(super) mod l2tp;
#[cfg(test)]
mod tests;
pub(super) mod vxlan;
pub(super) mod wireguard;
