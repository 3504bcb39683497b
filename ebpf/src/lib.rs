// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The eBPF programs, compiled, and the wire format that they share with user space.
//!
//! The sources are in `programs/`, the headers for them and for the collectors' hooks in `include/tracer/`.

/// The compiled programs; `tracer-core` links the ones that a session needs.
pub mod objects {
    include!(concat!(env!("OUT_DIR"), "/objects.rs"));
}

/// The structs and constants of `include/tracer/wire.h`.
#[expect(missing_docs, non_camel_case_types, clippy::allow_attributes, reason = "generated; documented in the header")]
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/wire.rs"));
}
