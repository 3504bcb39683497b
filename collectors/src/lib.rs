// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The collectors of `tracer`, one folder each. They register themselves; a program that wants them says
//! `use tracer_collectors as _;`.

mod dev;
mod ns;
mod skb;
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
