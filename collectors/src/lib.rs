// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collectors of `tracer`, one folder each. They register themselves; a program that wants them says
//! `use tracer_collectors as _;`.

/// Declares a module `wire` with the types of a collector's `event.h`.
macro_rules! wire {
    ($name:literal) => {
        #[expect(
            non_camel_case_types,
            unreachable_pub,
            clippy::allow_attributes,
            reason = "generated; documented in event.h"
        )]
        mod wire {
            include!(concat!(env!("OUT_DIR"), "/", $name, "_event.rs"));
        }
    };
}

mod ct;
mod dev;
mod iptables;
mod nft;
mod ns;
mod ovs;
mod skb;
mod skb_drop;
mod skb_tracking;

/// The hooks that the build script compiled, and the dispatcher that calls them.
mod hooks {
    use tracer_core::collector::Hook;

    include!(concat!(env!("OUT_DIR"), "/hooks.rs"));
}

/// The eBPF function that calls the hooks of the collectors, compiled; a session links it with the engine's programs.
pub fn dispatcher() -> &'static [u8] {
    hooks::DISPATCHER
}
