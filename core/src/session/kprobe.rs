// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Kprobes one by one, for kernels that can't attach to many functions at once: each is a perf event of its own.
//!
//! The kernel attaches under locks, going through its code each time: several threads only hinder each other. For each that is
//! detached it waits several times until all CPUs have passed some point, mostly without a lock: threads wait together.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;
use crate::kernel::features::owned;

/// `_IO('$', 0)` and `_IOW('$', 8, int)` of `linux/perf_event.h`.
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

/// The kernel's source of events for kprobes.
pub(super) struct KprobeSource {
    event_type: u32,
    /// In the event's configuration: it is a return probe.
    return_bit: u32,
}

impl KprobeSource {
    /// Asks the kernel for its numbers.
    ///
    /// # Errors
    /// When it has no such source.
    pub(super) fn find(kernel: &Kernel) -> Result<Self, Error> {
        let number = |file: &str, prefix: &str| {
            let path = kernel.path("sys/bus/event_source/devices/kprobe").join(file);
            let lacks = |why: &dyn std::fmt::Display| {
                Error::new(ErrorKind::KernelLacks, format!("kprobes can't be attached: `{}`: {why}", path.display()))
            };
            let text = fs::read_to_string(&path).map_err(|error| lacks(&error))?;
            let number = text.trim().strip_prefix(prefix).and_then(|number| number.parse().ok());
            number.ok_or_else(|| lacks(&format_args!("`{}` is not understood", text.trim())))
        };
        Ok(Self { event_type: number("type", "")?, return_bit: number("format/retprobe", "config:")? })
    }

    /// Attaches a program to the entry or to the return of a function, by its address where that is known: 5.10 takes several
    /// times as long to find a name. Without a cookie, it is done in the way of kernels that have none.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn attach(
        &self,
        program: BorrowedFd<'_>,
        function: &CStr,
        address: Option<u64>,
        is_return: bool,
        cookie: Option<u64>,
    ) -> io::Result<OwnedFd> {
        let mut event = libbpf_sys::perf_event_attr {
            type_: self.event_type,
            size: size_of::<libbpf_sys::perf_event_attr>() as u32,
            config: u64::from(is_return) << self.return_bit,
            ..Default::default()
        };
        match address {
            Some(address) => event.__bindgen_anon_4.kprobe_addr = address,
            None => event.__bindgen_anon_3.kprobe_func = function.as_ptr() as u64,
        }
        let (any_process, first_cpu, no_group) = (-1, 0, -1);
        // SAFETY: the event and the name that it points to live until the call returns.
        let opened = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const event,
                any_process,
                first_cpu,
                no_group,
                libbpf_sys::PERF_FLAG_FD_CLOEXEC,
            )
        };
        if opened < 0 {
            return Err(io::Error::last_os_error());
        }
        let event = owned(opened as i32)?;
        let Some(cookie) = cookie else {
            // SAFETY: neither call takes a pointer.
            let failed = unsafe {
                libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()) != 0
                    || libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_ENABLE, 0) != 0
            };
            return if failed { Err(io::Error::last_os_error()) } else { Ok(event) };
        };
        let mut options = libbpf_sys::bpf_link_create_opts {
            sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
            ..Default::default()
        };
        options.__bindgen_anon_1.perf_event.bpf_cookie = cookie;
        // The link keeps the event.
        // SAFETY: the options live until the call returns.
        owned(unsafe {
            libbpf_sys::bpf_link_create(
                program.as_raw_fd(),
                event.as_raw_fd(),
                libbpf_sys::BPF_PERF_EVENT,
                &raw const options,
            )
        })
    }
}

/// Closes attachments, in several threads.
pub(super) fn close_all(attachments: Vec<OwnedFd>) {
    /// The kernel does about half of it under a lock, so more threads than these only wait for each other.
    const THREADS: usize = 8;
    let threads = THREADS.min(attachments.len());
    let attachments = Mutex::new(attachments);
    let next = || attachments.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let close = || std::iter::from_fn(next).for_each(drop);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Without more threads it only takes longer.
            let _ = std::thread::Builder::new().spawn_scoped(scope, close);
        }
        close();
    });
}

/// Sees to it that so many files can be open for attachments: each is one.
///
/// # Errors
/// When the limit can't be raised so far.
pub(super) fn allow_open_files(attachments: usize) -> Result<(), Error> {
    /// What is open besides, with room.
    const OTHERS: u64 = 256;
    let wanted = attachments as u64 + OTHERS;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if limit.rlim_cur >= wanted {
        return Ok(());
    }
    let raised = libc::rlimit { rlim_cur: wanted, rlim_max: limit.rlim_max.max(wanted) };
    // SAFETY: `raised` is read only.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(Error::new(ErrorKind::NotPermitted, format!("{attachments} attachments need {wanted} open files: {error}"))
        .with_hint(format!("raise the limit: ulimit -n {wanted}")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::KprobeSource;
    use crate::kernel::Kernel;

    #[test]
    fn numbers_of_the_source_are_read_and_their_absence_is_explained() {
        let root = tempfile::tempdir().unwrap();
        let kernel = Kernel::new(root.path());
        let error = KprobeSource::find(&kernel).err().unwrap().to_string();
        assert!(error.contains("kprobe/type`: No such file"), "{error}");
        let folder = root.path().join("sys/bus/event_source/devices/kprobe");
        fs::create_dir_all(folder.join("format")).unwrap();
        fs::write(folder.join("type"), "6\n").unwrap();
        fs::write(folder.join("format/retprobe"), "config:0\n").unwrap();
        let source = KprobeSource::find(&kernel).unwrap();
        assert_eq!((source.event_type, source.return_bit), (6, 0));
        fs::write(folder.join("format/retprobe"), "event:1\n").unwrap();
        let error = KprobeSource::find(&kernel).err().unwrap().to_string();
        assert!(error.contains("`event:1` is not understood"), "{error}");
    }
}
