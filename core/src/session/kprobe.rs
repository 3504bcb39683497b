// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Single kprobes, placed by address. By name, the kernel goes through all of its symbols for each, to find out whether the
//! name is ambiguous; we know that already.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use libbpf_rs::{Link, PerfEventOpts, ProgramMut};

use crate::kernel::Kernel;

use super::attach::io_error;

/// The kernel's performance events of type kprobe, which is how a kprobe is made and goes away with its descriptor.
pub(super) struct KprobeEvents {
    event_type: u32,
    /// Bit of `config` that makes it a return probe.
    return_bit: u32,
}

impl KprobeEvents {
    /// Reads what the kernel calls them; nothing when it was built without.
    pub(super) fn find(kernel: &Kernel) -> Option<Self> {
        let source = kernel.path("sys/bus/event_source/devices/kprobe");
        let event_type = fs::read_to_string(source.join("type")).ok()?.trim().parse().ok()?;
        let format = fs::read_to_string(source.join("format/retprobe")).ok()?;
        let return_bit = format.trim().strip_prefix("config:")?.parse().ok().filter(|bit| *bit < 64)?;
        Some(Self { event_type, return_bit })
    }

    /// Attaches a program to the function at `address`. `cookie` must be 0 where the kernel has no cookies.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn attach(
        &self,
        program: &ProgramMut<'_>,
        address: u64,
        is_return: bool,
        cookie: u64,
    ) -> io::Result<Link> {
        let mut attributes = libbpf_sys::perf_event_attr {
            type_: self.event_type,
            size: size_of::<libbpf_sys::perf_event_attr>() as u32,
            config: if is_return { 1 << self.return_bit } else { 0 },
            ..Default::default()
        };
        // No name (a zero `config1`), so that the address counts.
        attributes.__bindgen_anon_4 = libbpf_sys::perf_event_attr__bindgen_ty_4 { config2: address };
        let (any_process, cpu, no_group): (libc::pid_t, i32, i32) = (-1, 0, -1);
        // SAFETY: `attributes` has the stated size and lives until the call returns. The kernel ignores the CPU for kprobes.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attributes,
                any_process,
                cpu,
                no_group,
                libbpf_sys::PERF_FLAG_FD_CLOEXEC as libc::c_ulong,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just opened it for us.
        let event = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let link = program
            .attach_perf_event_with_opts(event.as_raw_fd(), PerfEventOpts { cookie, ..PerfEventOpts::default() })
            .map_err(|error| io_error(&error))?;
        // The link closes it.
        std::mem::forget(event);
        Ok(link)
    }
}
