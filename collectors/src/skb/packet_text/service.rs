// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Services that are known by their port.

pub(super) mod dhcp;
pub(super) mod dhcpv6;
pub(super) mod dns;
#[cfg(test)]
mod tests;
