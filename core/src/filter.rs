// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Filters as eBPF: what stands between a text, which `tracer-filters` translates, and the programs, into which a session
//! links the result.
//!
//! Two functions are generated. Each gets a pointer in R1 and returns in R0 whether the packet matches (0: no). R6 to R9 need
//! not be saved. The stack of a function is at most [`STACK_LIMIT`] bytes.
//!
//! - The **packet filter**: R1 points to a `struct packet_view`, in memory that takes variable offsets (a map's value). There
//!   are two, for packets that begin with an Ethernet header and for packets that begin with an IP header. Bytes outside the
//!   window are had by calling `load` ([`Program::loads`]): R1 is the view, R2 the offset (64 bits), R3 the size (1, 2 or 4
//!   bytes); it returns the big-endian number there, or [`OUT_OF_RANGE`] when the packet ends before it.
//! - The **metadata filter**: R1 points to a copy of the packet's `struct sk_buff` (`SKB_COPY_SIZE` bytes, in memory as above), and
//!   R2 is its address in the kernel; both are 0 at a probe that has no packet. It calls helpers of the kernel only.

/// What the function `load` returns when the packet has no such bytes.
pub const OUT_OF_RANGE: u64 = u64::MAX;

/// Bytes of stack that a filter may use.
pub const STACK_LIMIT: i16 = 128;

/// The body of a filter function: every way through it ends with `exit`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The instructions, encoded.
    pub instructions: Vec<u64>,
    /// Which of them call the function `load`: calls of another eBPF function (`BPF_PSEUDO_CALL`) whose target is filled in when
    /// the program is linked.
    pub loads: Vec<usize>,
}
