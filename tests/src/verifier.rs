// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's verifier, asked about a filter alone: without the programs around it that takes a few milliseconds.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Result, ensure};
use libbpf_sys::bpf_insn;
use tracer_core::filter::Program;
use tracer_ebpf::wire;

/// Loads filters in a program that calls them as the engine does.
#[derive(Debug)]
pub struct Verifier {
    /// Holds what a filter's R1 points to.
    memory: OwnedFd,
}

/// What the verifier says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It went through so many instructions; 0: it does not tell (5.10).
    Accepted(u32),
    /// With the end of its log.
    Refused(String),
}

/// The function `load`, as short as may be: R1 is the view, R2 the offset.
const LOAD: [u64; 12] = [
    // r3 = view->start + r2
    instruction(0x79, 3, 1, std::mem::offset_of!(wire::packet_view, start) as i16, 0),
    instruction(0x0f, 3, 2, 0, 0),
    // *(u64 *)(r10 - 8) = 0
    instruction(0x7a, 10, 0, -8, 0),
    // r0 = bpf_probe_read_kernel(r10 - 8, 4, r3)
    instruction(0xbf, 1, 10, 0, 0),
    instruction(0x07, 1, 0, 0, -8),
    instruction(0xb7, 2, 0, 0, 4),
    instruction(CALL, 0, 0, 0, libbpf_sys::BPF_FUNC_probe_read_kernel as i32),
    // if r0 == 0 goto +2
    instruction(0x15, 0, 0, 2, 0),
    // return OUT_OF_RANGE
    instruction(0xb7, 0, 0, 0, -1),
    instruction(EXIT, 0, 0, 0, 0),
    // return *(u32 *)(r10 - 8)
    instruction(0x61, 0, 10, -8, 0),
    instruction(EXIT, 0, 0, 0, 0),
];

pub(crate) const CALL: u8 = 0x85;
pub(crate) const EXIT: u8 = 0x95;
/// In place of a source register: what is called is a function of the program, what is loaded a map.
pub(crate) const FUNCTION: u64 = 1;
pub(crate) const MAP: u64 = 1;

pub(crate) const fn instruction(code: u8, destination: u64, source: u64, offset: i16, constant: i32) -> u64 {
    code as u64 | destination << 8 | source << 12 | (offset as u16 as u64) << 16 | (constant as u32 as u64) << 32
}

impl Verifier {
    /// For packet filters.
    ///
    /// # Errors
    /// When the kernel gives no memory.
    pub fn for_packet_filters() -> Result<Self> {
        Self::new(size_of::<wire::packet_view>() as u32)
    }

    /// For metadata filters.
    ///
    /// # Errors
    /// As there.
    pub fn for_metadata_filters() -> Result<Self> {
        Self::new(wire::SKB_COPY_SIZE)
    }

    fn new(size: u32) -> Result<Self> {
        Ok(Self { memory: memory(size)? })
    }

    /// Loads a filter and lets go of it.
    ///
    /// # Errors
    /// When the kernel fails at something else than at verifying it.
    pub fn verify(&self, filter: &Program) -> Result<Verdict> {
        let instructions = self.surround(filter);
        let mut log = vec![0_u8; 1 << 16];
        // Not for the first attempt: writing it takes most of the time.
        let program = match load(libbpf_sys::BPF_PROG_TYPE_KPROBE, &instructions, &mut []) {
            Ok(program) => program,
            Err(_) => match load(libbpf_sys::BPF_PROG_TYPE_KPROBE, &instructions, &mut log) {
                Ok(program) => program,
                Err(error) => {
                    let log = String::from_utf8_lossy(&log);
                    let log = log.trim_end_matches(['\0', '\n']);
                    ensure!(!log.is_empty(), "the program can't be loaded: {error}");
                    let lines: Vec<&str> = log.lines().collect();
                    return Ok(Verdict::Refused(format!(
                        "{error}\n{}",
                        lines[lines.len().saturating_sub(12)..].join("\n")
                    )));
                }
            },
        };
        let mut info = libbpf_sys::bpf_prog_info::default();
        let mut size = size_of_val(&info) as u32;
        // SAFETY: the kernel writes at most `size` bytes into `info`.
        let told =
            unsafe { libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut size) } == 0;
        ensure!(told, "no information about the program: {}", io::Error::last_os_error());
        Ok(Verdict::Accepted(info.verified_insns))
    }

    /// A program that calls the filter with the memory, and with numbers that it gets from its context.
    fn surround(&self, filter: &Program) -> Vec<u64> {
        let mut all = vec![
            // r6 = *(u64 *)(r1 + 0): a number of which nothing is known.
            instruction(0x79, 6, 1, 0, 0),
            // *(u32 *)(r10 - 4) = 0
            instruction(0x62, 10, 0, -4, 0),
            instruction(0xbf, 2, 10, 0, 0),
            instruction(0x07, 2, 0, 0, -4),
            // r1 = memory, in two instructions
            instruction(0x18, 1, MAP, 0, self.memory.as_raw_fd()),
            0,
            instruction(CALL, 0, 0, 0, libbpf_sys::BPF_FUNC_map_lookup_elem as i32),
            // if r0 == 0 goto the exit
            instruction(0x15, 0, 0, 4, 0),
            instruction(0xbf, 1, 0, 0, 0),
            instruction(0xbf, 2, 6, 0, 0),
            instruction(0xbf, 3, 6, 0, 0),
            instruction(CALL, 0, FUNCTION, 0, 1),
            instruction(EXIT, 0, 0, 0, 0),
        ];
        let start = all.len();
        let load = start + filter.instructions.len();
        all.extend(&filter.instructions);
        if filter.loads.is_empty() {
            return all;
        }
        for index in &filter.loads {
            let call = &mut all[start + index];
            *call = *call & 0xffff_ffff | ((load - (start + index + 1)) as u64) << 32;
        }
        all.extend(LOAD);
        all
    }
}

/// A map with one value of `size` bytes, which programs can write to.
pub(crate) fn memory(size: u32) -> Result<OwnedFd> {
    let (name, key, none) = (c"filter_memory", size_of::<u32>() as u32, std::ptr::null());
    // SAFETY: the name is a C string; there are no options.
    let fd = unsafe { libbpf_sys::bpf_map_create(libbpf_sys::BPF_MAP_TYPE_ARRAY, name.as_ptr(), key, size, 1, none) };
    ensure!(fd >= 0, "no map: {}", io::Error::last_os_error());
    // SAFETY: it was just opened for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn load(program_type: u32, instructions: &[u64], log: &mut [u8]) -> io::Result<OwnedFd> {
    let options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log_buf: if log.is_empty() { std::ptr::null_mut() } else { log.as_mut_ptr().cast() },
        ..Default::default()
    };
    // SAFETY: an instruction is eight bytes without padding, for which every value is valid; all pointers are to live memory
    // of the stated sizes.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            program_type,
            c"filter".as_ptr(),
            c"Dual BSD/GPL".as_ptr(),
            instructions.as_ptr().cast::<bpf_insn>(),
            instructions.len() as _,
            (&raw const options).cast_mut(),
        )
    };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: it was just opened for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
