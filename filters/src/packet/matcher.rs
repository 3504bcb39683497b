// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The packet filter on packets that are stored: libpcap's own interpreter decides.

use std::ffi::{c_uchar, c_uint};

use super::classic::{ClassicProgram, RawInstruction};
use super::{Compiled, compile};
use crate::error::FilterError;

/// Two addresses of an Ethernet header.
const ADDRESSES: usize = 12;
const ETHERNET_HEADER: usize = 14;

/// The types in an Ethernet header behind which there is IP. Of a packet that has no header, and no type yet, it is assumed.
const IP_TYPES: [[u8; 2]; 3] = [[0x08, 0x00], [0x86, 0xdd], [0, 0]];

/// A VLAN tag that travels beside the packet's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceleratedTag {
    /// Ethertype of the tag: 0x8100 or 0x88a8.
    pub proto: u16,
    /// Priority, drop eligibility and VLAN id, as in the tag.
    pub tci: u16,
}

/// A packet as events have it.
#[derive(Clone, Copy, Debug)]
pub struct RecordedPacket<'a> {
    /// The bytes that were recorded, from the Ethernet header on. One whose addresses are 0 stands in for none.
    pub data: &'a [u8],
    /// Bytes that the packet has, counted from the beginning of `data`.
    pub length: u32,
    /// The tag that is not in `data`.
    pub vlan: Option<AcceleratedTag>,
}

/// A packet filter for packets that are stored.
///
/// Bytes that were not recorded are not there: a filter that asks for them does not match, as in tcpdump.
#[derive(Clone, Debug)]
pub struct Matcher {
    ethernet: ClassicProgram,
    raw: Option<ClassicProgram>,
    sees_vlan_tags: bool,
}

impl Matcher {
    /// Compiles a text.
    pub fn new(text: &str) -> Result<Self, FilterError> {
        let Compiled { ethernet, raw, sees_vlan_tags } = compile(text)?;
        Ok(Self { ethernet, raw: raw.ok(), sees_vlan_tags })
    }

    /// Whether a packet matches.
    ///
    /// Of IP without an Ethernet header the program for IP decides, as in collection; but the loopback device's headers have no
    /// addresses either, so a text that has no meaning without Ethernet is asked about the header as it is.
    pub fn matches(&self, packet: &RecordedPacket<'_>) -> bool {
        let RecordedPacket { data, length, vlan } = *packet;
        let is_bare_ip = data.len() >= ETHERNET_HEADER
            && data[..ADDRESSES] == [0; ADDRESSES]
            && IP_TYPES.iter().any(|kind| data[ADDRESSES..ETHERNET_HEADER] == *kind);
        match (&self.raw, vlan) {
            (Some(raw), _) if is_bare_ip => {
                run(raw, &data[ETHERNET_HEADER..], length.saturating_sub(ETHERNET_HEADER as u32))
            }
            (_, Some(tag)) if self.sees_vlan_tags && data.len() >= ADDRESSES => {
                // The length is what the kernel says it is, as in collection: without the tag.
                run(&self.ethernet, &with_tag(data, tag), length)
            }
            _ => run(&self.ethernet, data, length),
        }
    }
}

fn with_tag(data: &[u8], tag: AcceleratedTag) -> Vec<u8> {
    let (addresses, rest) = data.split_at(ADDRESSES);
    [addresses, &tag.proto.to_be_bytes(), &tag.tci.to_be_bytes(), rest].concat()
}

/// Runs a program in libpcap's interpreter: `data` is the beginning of a packet of `length` bytes.
pub(super) fn run(program: &ClassicProgram, data: &[u8], length: u32) -> bool {
    unsafe extern "C" {
        fn bpf_filter(program: *const RawInstruction, data: *const c_uchar, length: c_uint, captured: c_uint)
        -> c_uint;
    }
    let captured = c_uint::try_from(data.len()).unwrap_or(c_uint::MAX);
    // SAFETY: libpcap exports this function since 0.4. `RawInstruction` is laid out as its `struct bpf_insn`. `ClassicProgram`
    // has only instructions, words of scratch memory and jumps that exist, and returns at its end, so the interpreter stays
    // within it; it checks offsets into `data` against `captured`, and keeps neither pointer.
    unsafe { bpf_filter(program.raw().as_ptr(), data.as_ptr(), length, captured) != 0 }
}
