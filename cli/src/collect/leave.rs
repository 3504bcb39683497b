// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ending at once, although probes are attached.
//!
//! The kernel detaches what a process leaves behind before the process is gone; with many single kprobes that takes minutes.
//! A child that holds the same attachments outlives us and bears that wait.

use std::fs::{self, DirEntry};
use std::os::fd::RawFd;
use std::os::unix::fs::FileTypeExt as _;

/// Ends the process without waiting for anything.
pub(super) fn leave(code: i32) -> ! {
    // SAFETY: the call takes no pointers.
    let own = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) } as RawFd;
    let pipes = pipes();
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
            for &file in [0, 1, 2].iter().chain(&pipes) {
                libc::dup2(null, file);
            }
            while libc::poll(&raw mut ended, 1, -1) < 0 && *libc::__errno_location() == libc::EINTR {}
            libc::_exit(0);
        }
    }
    // SAFETY: nothing that would run at an orderly exit matters any more.
    unsafe { libc::_exit(code) }
}

/// What is open and may have somebody waiting at its other end.
fn pipes() -> Vec<RawFd> {
    let files = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let is_pipe = |file: &DirEntry| {
        fs::metadata(file.path())
            .is_ok_and(|metadata| metadata.file_type().is_fifo() || metadata.file_type().is_socket())
    };
    files.filter(is_pipe).filter_map(|file| file.file_name().to_str()?.parse().ok()).collect()
}
