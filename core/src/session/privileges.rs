// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Giving up privileges, once everything is attached: from then on packets, names and programs that others made are looked at,
//! and nothing that this takes is for root only.

use caps::{CapSet, Capability, CapsHashSet, errors::CapsError};

use crate::error::{Error, ErrorKind};

/// Gives up all capabilities but those `kept`, for good, in the calling thread: each thread has its own, and threads
/// and programs that it starts get no more than it has.
pub(crate) fn drop_privileges(kept: &[Capability]) -> Result<(), Error> {
    let failed = |error: String| Error::new(ErrorKind::Failure, format!("privileges can't be given up: {error}"));
    // SAFETY: the call takes no pointers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(failed(format!("PR_SET_NO_NEW_PRIVS: {}", std::io::Error::last_os_error())));
    }
    drop_capabilities(kept).map_err(|error| failed(error.to_string()))
}

fn drop_capabilities(kept: &[Capability]) -> Result<(), CapsError> {
    // The bounding set is what a program that is started could get. Without CAP_SETPCAP it stays, and `no_new_privs` does the same.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        for capability in caps::runtime::thread_all_supported() {
            if !kept.contains(&capability) {
                caps::drop(None, CapSet::Bounding, capability)?;
            }
        }
    }
    // What is permitted bounds what is effective, so that goes first; the ambient set follows by itself.
    let permitted = caps::read(None, CapSet::Permitted)?;
    let left: CapsHashSet = kept.iter().copied().filter(|capability| permitted.contains(capability)).collect();
    caps::set(None, CapSet::Effective, &left)?;
    caps::set(None, CapSet::Permitted, &left)?;
    caps::clear(None, CapSet::Inheritable)
}
