// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The registry of collectors: one [`Collector`] value describes each, and everything else derives from it.

use crate::event::section::SectionDescriptor;

/// A collector: what it is called, what it adds to events, and the eBPF hook that gathers it.
#[derive(Debug)]
pub struct Collector {
    /// The name that `-c` takes, e.g. `skb-tracking`.
    pub name: &'static str,
    /// One sentence for the help text.
    pub about: &'static str,
    /// The sections that it writes.
    pub sections: &'static [SectionDescriptor],
}

inventory::collect!(Collector);
