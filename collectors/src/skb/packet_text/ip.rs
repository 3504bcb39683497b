// SPDX-License-Identifier: Apache-2.0 OR MIT

//! IP of both versions, the choice of what a packet carries, and the protocols that IP itself needs.

mod group_records;
mod icmpv4;
mod icmpv6;
mod igmp;
pub(super) mod ipv4;
mod ipv4_options;
pub(super) mod ipv6;
mod ipv6_extensions;
mod ndp;
#[cfg(test)]
mod tests;
pub(super) mod upper_layer;
mod vrrp;
