// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What libbpf has to say. It reports reasons, the verifier's among them, only through a callback that has no argument of
//! ours; so they are kept in a global until somebody wants to know why a call failed.

use std::sync::Mutex;

use libbpf_rs::{PrintLevel, set_print};

/// Bytes that are kept; the end of a message says most.
const KEPT: usize = 1 << 20;

static MESSAGES: Mutex<String> = Mutex::new(String::new());

/// Keeps libbpf's warnings from now on, instead of printing them.
pub(super) fn keep() {
    set_print(Some((PrintLevel::Warn, |_, message| {
        let Ok(mut messages) = MESSAGES.lock() else { return };
        if messages.len() + message.len() > KEPT {
            messages.clear();
        }
        messages.push_str(&message);
    })));
}

/// The messages since the last call.
pub(super) fn take() -> String {
    MESSAGES.lock().map(|mut messages| std::mem::take(&mut *messages)).unwrap_or_default()
}
