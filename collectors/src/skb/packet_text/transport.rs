// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What carries data between ports.

pub(super) mod dccp;
mod mptcp;
pub(super) mod sctp;
pub(super) mod tcp;
mod tcp_options;
#[cfg(test)]
mod tests;
pub(super) mod udp;
