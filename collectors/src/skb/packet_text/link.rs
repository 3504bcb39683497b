// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What is next to the wire: Ethernet, its tags and labels, PPP, and the protocols that neighbours speak.

mod arp;
mod eapol;
pub(super) mod ether_type;
pub(super) mod ethernet;
mod llc;
mod lldp;
mod macsec;
pub(super) mod mpls;
pub(super) mod ppp;
mod pppoe;
mod ptp;
mod slow;
mod stp;
#[cfg(test)]
mod tests;
