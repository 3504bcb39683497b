// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A metadata filter that is asked about every packet at a tracepoint, without the program around it: dozens of them fit into a
//! second.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, ensure};
use tracer_core::filter::Program;
use tracer_ebpf::wire::SKB_COPY_SIZE;

use crate::verifier::{CALL, EXIT, FUNCTION, MAP, instruction, load, memory};

/// Bytes of a `struct sk_buff` that are copied: all of it, on the kernels of the tests.
const COPIED: i32 = 232;
/// Where, behind the copy, the program counts.
const ASKED: i16 = SKB_COPY_SIZE as i16;
const HELD: i16 = ASKED + 8;

/// A condition that is attached; detached when dropped.
#[derive(Debug)]
pub struct Condition {
    memory: OwnedFd,
    _attachment: OwnedFd,
}

impl Condition {
    /// Attaches a filter to a tracepoint whose first argument is a packet.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub fn attach(filter: &Program, tracepoint: &CStr) -> Result<Self> {
        let memory = memory(SKB_COPY_SIZE + 16)?;
        let mut log = vec![0; 1 << 16];
        let program = load(libbpf_sys::BPF_PROG_TYPE_RAW_TRACEPOINT, &surround(filter, &memory), &mut log)
            .with_context(|| String::from_utf8_lossy(&log).trim_end_matches('\0').to_owned())?;
        // SAFETY: the name is a C string.
        let fd = unsafe { libbpf_sys::bpf_raw_tracepoint_open(tracepoint.as_ptr(), program.as_raw_fd()) };
        ensure!(fd >= 0, "{tracepoint:?}: {}", io::Error::last_os_error());
        // SAFETY: it was just opened for us.
        Ok(Self { memory, _attachment: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// How many packets it was asked about, and for how many it held.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn counts(&self) -> Result<(u64, u64)> {
        let (key, mut value) = (0_u32, [0_u8; SKB_COPY_SIZE as usize + 16]);
        // SAFETY: key and value are as long as the map's.
        let found = unsafe {
            libbpf_sys::bpf_map_lookup_elem(self.memory.as_raw_fd(), (&raw const key).cast(), value.as_mut_ptr().cast())
        };
        ensure!(found == 0, "the map can't be read: {}", io::Error::last_os_error());
        let number = |at: i16| -> Result<u64> {
            let at = at as usize;
            Ok(u64::from_ne_bytes(value[at..at + 8].try_into()?))
        };
        Ok((number(ASKED)?, number(HELD)?))
    }
}

/// A program that copies the packet's `sk_buff`, asks the filter, and counts.
fn surround(filter: &Program, memory: &OwnedFd) -> Vec<u64> {
    let mut all = vec![
        // r6 = the packet
        instruction(0x79, 6, 1, 0, 0),
        // *(u32 *)(r10 - 4) = 0
        instruction(0x62, 10, 0, -4, 0),
        instruction(0xbf, 2, 10, 0, 0),
        instruction(0x07, 2, 0, 0, -4),
        // r1 = memory, in two instructions
        instruction(0x18, 1, MAP, 0, memory.as_raw_fd()),
        0,
        instruction(CALL, 0, 0, 0, libbpf_sys::BPF_FUNC_map_lookup_elem as i32),
        // if r0 == 0 goto the exit
        instruction(0x15, 0, 0, 17, 0),
        // r7 = memory; bpf_probe_read_kernel(r7, COPIED, r6)
        instruction(0xbf, 7, 0, 0, 0),
        instruction(0xbf, 1, 7, 0, 0),
        instruction(0xb7, 2, 0, 0, COPIED),
        instruction(0xbf, 3, 6, 0, 0),
        instruction(CALL, 0, 0, 0, libbpf_sys::BPF_FUNC_probe_read_kernel as i32),
        // *(u64 *)(r7 + ASKED) += 1
        instruction(0x79, 1, 7, ASKED, 0),
        instruction(0x07, 1, 0, 0, 1),
        instruction(0x7b, 7, 1, ASKED, 0),
        instruction(0xbf, 1, 7, 0, 0),
        instruction(0xbf, 2, 6, 0, 0),
        instruction(0xb7, 3, 0, 0, 1),
        instruction(CALL, 0, FUNCTION, 0, 6),
        // if r0 == 0 goto the exit; *(u64 *)(r7 + HELD) += 1
        instruction(0x15, 0, 0, 3, 0),
        instruction(0x79, 1, 7, HELD, 0),
        instruction(0x07, 1, 0, 0, 1),
        instruction(0x7b, 7, 1, HELD, 0),
        instruction(0xb7, 0, 0, 0, 0),
        instruction(EXIT, 0, 0, 0, 0),
    ];
    all.extend(&filter.instructions);
    all
}
