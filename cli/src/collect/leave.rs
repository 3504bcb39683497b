// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ending at once, although probes are attached.
//!
//! The kernel detaches what a process leaves behind before the process is gone; with many single kprobes that takes minutes.
//! A child that holds the same attachments outlives us and bears that wait.

use std::os::fd::RawFd;

/// No process has more files open, as kernels are set up.
const MOST_FILES: libc::rlim_t = 1 << 20;

/// Ends the process without waiting for anything.
pub(super) fn leave(code: i32) -> ! {
    // SAFETY: the call takes no pointers.
    let own = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) } as RawFd;
    let mut files = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `files` is writable.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut files) };
    // SAFETY: no other thread runs in the child, which calls nothing but the system.
    if own >= 0 && unsafe { libc::fork() } == 0 {
        let mut ended = libc::pollfd { fd: own, events: libc::POLLIN, revents: 0 };
        // SAFETY: the path ends with a zero byte, and `ended` is one entry, as said. When a call fails, the child ends too
        // soon, and we wait for the kernel.
        unsafe {
            // The terminal's next Ctrl-C is not for the child, and whoever reads what we write, on stdout or elsewhere, is not to
            // wait for it.
            libc::setsid();
            let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
            (0..files.rlim_cur.min(MOST_FILES) as RawFd).filter(|&file| file < 3 || is_pipe(file)).for_each(|file| {
                libc::dup2(null, file);
            });
            while libc::poll(&raw mut ended, 1, -1) < 0 && *libc::__errno_location() == libc::EINTR {}
            libc::_exit(0);
        }
    }
    // SAFETY: nothing that would run at an orderly exit matters any more.
    unsafe { libc::_exit(code) }
}

/// Whether somebody may be waiting for the end of what is written there.
fn is_pipe(file: RawFd) -> bool {
    // SAFETY: an all-zero value is a valid one to be overwritten by the call.
    let (found, mode) = unsafe {
        let mut metadata: libc::stat = std::mem::zeroed();
        (libc::fstat(file, &raw mut metadata) == 0, metadata.st_mode)
    };
    found && matches!(mode & libc::S_IFMT, libc::S_IFIFO | libc::S_IFSOCK)
}
