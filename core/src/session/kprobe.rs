// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Kprobes one by one, for kernels that can't attach to many functions at once: each is a perf event of its own.
//!
//! libbpf would do the same, but for one after the other, and its links can't be given to threads. At an attachment the
//! kernel searches and rewrites its code under locks, which several threads overlap; at the end of one it waits several times for all
//! CPUs, mostly without a lock: threads wait together.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind};
use crate::kernel::Kernel;
use crate::kernel::features::owned;

/// More than so many get in each other's way.
pub(super) const ATTACH_THREADS: usize = 4;
/// The kernel does the last third of the work under a lock, so more threads only wait for it.
pub(super) const DETACH_THREADS: usize = 8;

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

    /// Attaches a program to the entry or to the return of a function. Without a cookie, it is done in the way of kernels that have
    /// none.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn attach(
        &self,
        program: BorrowedFd<'_>,
        function: &CStr,
        is_return: bool,
        cookie: Option<u64>,
    ) -> io::Result<OwnedFd> {
        let mut event = libbpf_sys::perf_event_attr {
            type_: self.event_type,
            size: size_of::<libbpf_sys::perf_event_attr>() as u32,
            config: u64::from(is_return) << self.return_bit,
            ..Default::default()
        };
        event.__bindgen_anon_3.kprobe_func = function.as_ptr() as u64;
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

/// Lets several threads do the same with each item; the results come in no order.
pub(super) fn in_threads<T: Send, R: Send>(threads: usize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = threads.min(items.len());
    let items = Mutex::new(items.into_iter());
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        let work = || std::iter::from_fn(&next).map(&work).collect::<Vec<R>>();
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results = running.into_iter().map(|thread| thread.join());
        results.flat_map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// Sees to it that so many more files can be open: every attachment is one.
///
/// # Errors
/// When the limit can't be raised so far.
pub(super) fn allow_open_files(more: usize) -> Result<(), Error> {
    /// What is open besides, with room.
    const OTHERS: u64 = 256;
    let wanted = more as u64 + OTHERS;
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
    Err(Error::new(ErrorKind::NotPermitted, format!("{more} probes need {wanted} open files: {error}"))
        .with_hint(format!("raise the limit: ulimit -n {wanted}")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{KprobeSource, in_threads};
    use crate::kernel::Kernel;

    #[test]
    fn every_item_is_worked_on_once() {
        let mut results = in_threads(4, (0..1000).collect(), |item| item * 2);
        results.sort_unstable();
        assert_eq!(results, (0..1000).map(|item| item * 2).collect::<Vec<_>>());
        assert_eq!(in_threads(4, Vec::<u8>::new(), |item| item), []);
    }

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
