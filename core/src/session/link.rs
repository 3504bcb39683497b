// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Linking: the engine's programs and the hooks of the enabled collectors become one object, in memory.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _};

use libbpf_rs::Linker;

use crate::error::{Error, ErrorKind};

/// Links compiled objects with libbpf's static linker. No file system is involved: the result lives in a memfd until it is
/// read back.
///
/// # Errors
/// When the linker refuses an object or memory runs out.
pub(super) fn link(objects: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let mut file = memory_file(c"tracer-linked")
        .map_err(|error| Error::new(ErrorKind::Failure, format!("memfd_create: {error}")))?;
    let failed = |error: libbpf_rs::Error| {
        Error::new(ErrorKind::Failure, format!("the eBPF objects can't be linked: {error:#}"))
    };
    let mut linker = Linker::new(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(failed)?;
    for object in objects {
        linker.add_buf(object).map_err(failed)?;
    }
    linker.link().map_err(failed)?;
    drop(linker);
    let mut linked = Vec::new();
    file.read_to_end(&mut linked).map_err(|error| {
        Error::new(ErrorKind::Failure, format!("the linked eBPF object can't be read back: {error}"))
    })?;
    Ok(linked)
}

fn memory_file(name: &CStr) -> std::io::Result<File> {
    // SAFETY: the name ends with a zero byte; the result is checked.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel just opened it for us.
    Ok(unsafe { File::from_raw_fd(fd) })
}
