// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An XDP program that passes all packets.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::ptr;

use anyhow::{Context as _, Result, ensure};

use crate::topology::Namespace;
use crate::verifier::{EXIT, instruction, load};

/// Where an XDP program gets its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Xdp {
    /// From the driver.
    Native,
    /// From the kernel, behind the driver.
    Generic,
}

impl Xdp {
    /// Attaches a program to a device that passes every packet.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub fn pass(self, namespace: &Namespace, device: &str) -> Result<()> {
        const XDP_PASS: i32 = 2;
        let program = [instruction(0xb7, 0, 0, 0, XDP_PASS), instruction(EXIT, 0, 0, 0, 0)];
        let program = load(libbpf_sys::BPF_PROG_TYPE_XDP, &program, &mut []).context("an XDP program")?;
        self.attach(namespace, device, program.as_raw_fd())
    }

    /// Takes the program off again.
    ///
    /// # Errors
    /// When there is none.
    pub fn remove(self, namespace: &Namespace, device: &str) -> Result<()> {
        self.attach(namespace, device, -1)
    }

    fn attach(self, namespace: &Namespace, device: &str, program: RawFd) -> Result<()> {
        let flags = match self {
            Self::Native => libbpf_sys::XDP_FLAGS_DRV_MODE,
            Self::Generic => libbpf_sys::XDP_FLAGS_SKB_MODE,
        };
        let name = CString::new(device)?;
        namespace.enter(|| {
            // SAFETY: the name is a C string.
            let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
            ensure!(index > 0, "no device `{device}`: {}", io::Error::last_os_error());
            // SAFETY: there are no options.
            let error = unsafe { libbpf_sys::bpf_xdp_attach(index as i32, program, flags, ptr::null()) };
            ensure!(error == 0, "XDP at `{device}`: {}", io::Error::from_raw_os_error(-error));
            Ok(())
        })
    }
}
