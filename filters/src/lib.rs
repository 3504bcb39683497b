// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Filters: the packet filter (`-f`, libpcap's syntax) and the metadata filter (`-m`). Text in, eBPF instructions out, which the
//! core links into its programs; and the same filters for events that are stored.

mod assembler;
mod error;
pub mod metadata;
pub mod packet;

pub use error::{FilterError, Language};
