// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel's BPF can do, found out by trying: version numbers say little on kernels with backports.

use std::ffi::{CStr, c_char};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr;

use libbpf_sys::{bpf_func_info, bpf_insn};

use super::Kernel;
use super::btf::Types;

/// The features that decide how probes are attached and which code is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Atomic operations that return the old value (5.12).
    pub fetch_atomics: bool,
    /// kprobe programs can ask for a cookie that was given at their attachment (5.15).
    pub cookies: bool,
    /// Raw tracepoint programs too (6.10).
    pub tracepoint_cookies: bool,
    /// Many functions in one attachment (5.18 with CONFIG_FPROBE).
    pub kprobe_multi: bool,
    /// One program for entry and return, with memory between the two (6.10 with CONFIG_FPROBE).
    pub kprobe_session: bool,
    /// Programs can load from any address without a helper (6.2, with a JIT compiler).
    pub direct_reads: bool,
    /// Programs can read the kernel's memory; a kernel that is locked down for confidentiality does not let them.
    pub reads_memory: bool,
    /// The hits of kprobes that are skipped are counted for each attachment (6.7).
    pub counts_misses: bool,
}

/// What else may be of interest. It decides nothing before it is tried in earnest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoreFeatures {
    /// The ring that events come through (5.8).
    pub ring_buffer: bool,
    /// Programs at functions without kprobes, with which packets are tracked (5.5).
    pub fentry: bool,
}

impl Features {
    /// Asks the running kernel, and its BTF; takes a few milliseconds and needs the rights to load programs.
    ///
    /// # Errors
    /// When not even an empty program can be loaded: with the reason of that.
    pub fn probe(kernel: &Kernel) -> io::Result<Self> {
        let kprobe = libbpf_sys::BPF_PROG_TYPE_KPROBE;
        let tracepoint = libbpf_sys::BPF_PROG_TYPE_RAW_TRACEPOINT;
        load(kprobe, 0, &[MOVE_0, EXIT])?;
        let multi = |attach_type| {
            let Ok(program) = load(kprobe, attach_type, &[MOVE_0, EXIT]) else { return false };
            // A function that can't exist: a kernel that knows how to attach says that it is missing (ESRCH).
            attach_multi(&program, attach_type, &[c"?"], &[])
                .is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH))
        };
        Ok(Self {
            fetch_atomics: load(kprobe, 0, &[MOVE_0, STORE_0, FETCH_ADD, MOVE_0, EXIT]).is_ok(),
            cookies: load(kprobe, 0, &[CALL_COOKIE, EXIT]).is_ok(),
            tracepoint_cookies: load(tracepoint, 0, &[CALL_COOKIE, EXIT]).is_ok(),
            kprobe_multi: multi(libbpf_sys::BPF_TRACE_KPROBE_MULTI),
            kprobe_session: multi(libbpf_sys::BPF_TRACE_KPROBE_SESSION),
            direct_reads: cast(kernel).is_some_and(|call| load(kprobe, 0, &call).is_ok()),
            reads_memory: load(kprobe, 0, &[FRAME, FRAME_MINUS_8, SIZE_8, FROM_0, CALL_READ, MOVE_0, EXIT]).is_ok(),
            counts_misses: link_info_size(kernel).is_some_and(|size| size >= LINK_INFO_WITH_MISSES),
        })
    }
}

/// Size of `struct bpf_link_info` from which on kernels count the hits that a link missed (6.7).
const LINK_INFO_WITH_MISSES: u32 = 56;

fn link_info_size(kernel: &Kernel) -> Option<u32> {
    Types::new(kernel.vmlinux().ok()?, None).struct_size("bpf_link_info")
}

/// A program that loads from an address which is no pointer for the verifier until a function of the kernel has made it one; `None`
/// where there is no such function.
fn cast(kernel: &Kernel) -> Option<[[u8; 8]; 6]> {
    let types = Types::new(kernel.vmlinux().ok()?, None);
    let (function, target) = (types.function_id("bpf_rdonly_cast")?, types.struct_id("sk_buff")?);
    let type_of_target = instruction(0xb7, 2, 0, target.cast_signed());
    // BPF_PSEUDO_KFUNC_CALL
    let call = instruction(0x85, 0x20, 0, function.cast_signed());
    Some([ADDRESS_0, type_of_target, call, LOAD, MOVE_0, EXIT])
}

impl MoreFeatures {
    /// Asks the running kernel. An empty program is attached for a moment, to the function with the number `function` in BTF.
    pub fn probe(function: Option<u32>) -> Self {
        Self {
            ring_buffer: make_ring().is_ok(),
            fentry: function.is_some_and(|function| attach_function(function).is_ok()),
        }
    }
}

fn make_ring() -> io::Result<OwnedFd> {
    let (name, options, page) = (c"tracer_probe", ptr::null(), 4096);
    // SAFETY: the name is a C string; without options there is nothing else that is pointed to.
    let fd =
        unsafe { libbpf_sys::bpf_map_create(libbpf_sys::BPF_MAP_TYPE_RINGBUF, name.as_ptr(), 0, 0, page, options) };
    owned(fd)
}

fn attach_function(function: u32) -> io::Result<OwnedFd> {
    let options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        expected_attach_type: libbpf_sys::BPF_TRACE_FENTRY,
        attach_btf_id: function,
        ..Default::default()
    };
    let program = load_with(libbpf_sys::BPF_PROG_TYPE_TRACING, &[MOVE_0, EXIT], options)?;
    // SAFETY: programs of this type are attached without a name.
    owned(unsafe { libbpf_sys::bpf_raw_tracepoint_open(ptr::null(), program.as_raw_fd()) })
}

const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> [u8; 8] {
    let (offset, immediate) = (offset.to_ne_bytes(), immediate.to_ne_bytes());
    [code, registers, offset[0], offset[1], immediate[0], immediate[1], immediate[2], immediate[3]]
}

/// r0 = 0
const MOVE_0: [u8; 8] = instruction(0xb7, 0, 0, 0);
/// *(u64 *)(r10 - 8) = 0
const STORE_0: [u8; 8] = instruction(0x7a, 0x0a, -8, 0);
/// r0 = atomic_fetch_add((u64 *)(r10 - 8), r0)
const FETCH_ADD: [u8; 8] = instruction(0xdb, 0x0a, -8, 0x01);
/// r0 = bpf_get_attach_cookie(r1)
const CALL_COOKIE: [u8; 8] = instruction(0x85, 0, 0, libbpf_sys::BPF_FUNC_get_attach_cookie as i32);
/// r1 = r10
const FRAME: [u8; 8] = instruction(0xbf, 0xa1, 0, 0);
/// r1 += -8
const FRAME_MINUS_8: [u8; 8] = instruction(0x07, 0x01, 0, -8);
/// r2 = 8
const SIZE_8: [u8; 8] = instruction(0xb7, 0x02, 0, 8);
/// r3 = 0
const FROM_0: [u8; 8] = instruction(0xb7, 0x03, 0, 0);
/// r0 = bpf_probe_read_kernel(r1, r2, r3)
const CALL_READ: [u8; 8] = instruction(0x85, 0, 0, libbpf_sys::BPF_FUNC_probe_read_kernel as i32);
/// r1 = 0
const ADDRESS_0: [u8; 8] = instruction(0xb7, 1, 0, 0);
/// r0 = *(u64 *)r0
const LOAD: [u8; 8] = instruction(0x79, 0, 0, 0);
/// return r0
const EXIT: [u8; 8] = instruction(0x95, 0, 0, 0);

fn load(program_type: u32, attach_type: u32, instructions: &[[u8; 8]]) -> io::Result<OwnedFd> {
    let options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        expected_attach_type: attach_type,
        ..Default::default()
    };
    load_with(program_type, instructions, options)
}

fn load_with(
    program_type: u32,
    instructions: &[[u8; 8]],
    options: libbpf_sys::bpf_prog_load_opts,
) -> io::Result<OwnedFd> {
    let instructions: Vec<bpf_insn> = instructions
        .iter()
        // SAFETY: `bpf_insn` is eight bytes without padding, for which every value is valid.
        .map(|bytes| unsafe { std::mem::transmute::<[u8; 8], bpf_insn>(*bytes) })
        .collect();
    load_instructions(program_type, c"tracer_probe", &instructions, options)
}

/// Loads a program that is complete: its maps are filled in, its accesses relocated. `types` tells the verifier about its
/// functions: those that are global it then goes through only once.
///
/// # Errors
/// What the kernel says.
pub(crate) fn load_program(
    program_type: u32,
    attach_type: u32,
    name: &CStr,
    instructions: &[bpf_insn],
    types: Option<(BorrowedFd<'_>, &[bpf_func_info])>,
) -> io::Result<OwnedFd> {
    let mut options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        expected_attach_type: attach_type,
        ..Default::default()
    };
    if let Some((btf, functions)) = types {
        options.prog_btf_fd = btf.as_raw_fd() as u32;
        options.func_info = functions.as_ptr().cast();
        options.func_info_cnt = functions.len() as u32;
        options.func_info_rec_size = size_of::<bpf_func_info>() as u32;
    }
    load_instructions(program_type, name, instructions, options)
}

fn load_instructions(
    program_type: u32,
    name: &CStr,
    instructions: &[bpf_insn],
    options: libbpf_sys::bpf_prog_load_opts,
) -> io::Result<OwnedFd> {
    // SAFETY: all pointers are to live memory of the stated sizes; the callers see to those in the options.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            program_type,
            name.as_ptr(),
            c"Dual BSD/GPL".as_ptr(),
            instructions.as_ptr(),
            instructions.len() as _,
            (&raw const options).cast_mut(),
        )
    };
    owned(fd)
}

/// Attaches a program to many functions at once. `cookies` is empty, or as long as `functions`.
///
/// # Errors
/// What the kernel says; one bad function refuses them all.
pub(crate) fn attach_multi(
    program: &impl std::os::fd::AsFd,
    attach_type: u32,
    functions: &[&CStr],
    cookies: &[u64],
) -> io::Result<OwnedFd> {
    debug_assert!(cookies.is_empty() || cookies.len() == functions.len());
    let mut names: Vec<*const c_char> = functions.iter().map(|name| name.as_ptr()).collect();
    let mut options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
        ..Default::default()
    };
    options.__bindgen_anon_1.kprobe_multi.cnt = functions.len() as u32;
    options.__bindgen_anon_1.kprobe_multi.syms = names.as_mut_ptr();
    options.__bindgen_anon_1.kprobe_multi.cookies = if cookies.is_empty() { ptr::null() } else { cookies.as_ptr() };
    // SAFETY: the option's arrays live until the call returns and have the stated length.
    let fd = unsafe { libbpf_sys::bpf_link_create(program.as_fd().as_raw_fd(), 0, attach_type, &raw const options) };
    owned(fd)
}

/// Attaches a program to a tracepoint. `cookie` must be 0 where the kernel has no cookies for tracepoints.
///
/// # Errors
/// What the kernel says.
pub(crate) fn attach_tracepoint(program: &impl std::os::fd::AsFd, name: &CStr, cookie: u64) -> io::Result<OwnedFd> {
    let mut options = libbpf_sys::bpf_raw_tp_opts {
        sz: size_of::<libbpf_sys::bpf_raw_tp_opts>() as _,
        tp_name: name.as_ptr(),
        cookie,
    };
    // SAFETY: the options live until the call returns.
    let fd = unsafe { libbpf_sys::bpf_raw_tracepoint_open_opts(program.as_fd().as_raw_fd(), &raw mut options) };
    owned(fd)
}

/// A descriptor that libbpf or a system call has just returned, or the error that it stands for.
///
/// # Errors
/// When it is negative.
pub(crate) fn owned(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: it was just opened for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
