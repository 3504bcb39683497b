// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--probe-stack`: functions that stand in the stacks of recorded packets become probes while collection goes on.
//!
//! The thread that writes events names each address once anyway; a name that is new it leaves here. The thread that waits for the end
//! attaches what was found, many in one call, every now and then: nothing is done where packets are.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::attach::{self, Attachments};
use super::load::Loaded;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::kernel::features::Features;
use crate::probe::{PacketPlace, Probe, ProbeSpec, ProbeType, resolve};

/// So many probes can be added.
pub(super) const MAX_ADDED: usize = 512;

/// What passes between the two threads.
#[derive(Debug, Default)]
pub(super) struct Growth {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Functions that were found in stacks, and not yet looked at.
    found: Vec<String>,
    /// All functions that were found, and those that are probed from the start.
    known: HashSet<String>,
    /// The probes that were added, in the order of their indices.
    added: Vec<Probe>,
}

impl Growth {
    /// `probes` are there already.
    pub(super) fn new(probes: &[Probe]) -> Self {
        let functions = probes.iter().filter(|probe| probe.probe_type == ProbeType::Kprobe);
        let known = functions.map(|probe| probe.target.clone()).collect();
        Self { state: Mutex::new(State { known, ..State::default() }) }
    }

    /// A frame of a stack, `SYMBOL+0xOFFSET [MODULE]`, was seen for the first time.
    pub(super) fn frame(&self, frame: &str) {
        let Some((function, _)) = frame.split_once("+0x") else { return };
        let mut state = self.lock();
        if !state.known.contains(function) {
            state.known.insert(function.to_owned());
            state.found.push(function.to_owned());
        }
    }

    /// The probe that was added with this number.
    pub(super) fn added(&self, number: usize) -> Option<Probe> {
        self.lock().added.get(number).cloned()
    }

    /// The names of all that were added.
    pub(super) fn names(&self) -> Vec<String> {
        self.lock().added.iter().map(Probe::to_string).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Attaches to functions with a packet that were found since the last time, and returns them. What can't be probed is left out without a word:
/// nobody asked for it by name.
///
/// # Errors
/// When the programs can't be told about a probe.
pub(super) fn grow(
    kernel: &Kernel,
    loaded: &Loaded,
    features: Features,
    growth: &Growth,
    attachments: &mut Attachments,
) -> Result<Vec<String>, Error> {
    let found = std::mem::take(&mut growth.lock().found);
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let spec = |target: String| ProbeSpec::at(ProbeType::Kprobe, &target).suggested();
    let specs: Vec<ProbeSpec> = found.into_iter().map(spec).collect();
    let mut probes = resolve(kernel, &specs)?.probes;
    probes.retain(|probe| probe.packet != PacketPlace::Nowhere);
    let first = growth.lock().added.len();
    probes.truncate(MAX_ADDED - first);
    if probes.is_empty() {
        return Ok(Vec::new());
    }
    // In this order: from the moment that a probe is attached, its events come and must be understood.
    for (number, probe) in probes.iter().enumerate() {
        loaded.configure_added(first + number, probe)?;
    }
    growth.lock().added.extend(probes.iter().cloned());
    let attached = attach::attach_added(kernel, loaded, features, &probes, loaded.added_index(first), attachments)?;
    Ok(probes.iter().zip(attached).filter(|(_, attached)| *attached).map(|(probe, _)| probe.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::Growth;

    #[test]
    fn each_function_is_found_once() {
        let growth = Growth::new(&[]);
        for frame in ["ip_rcv+0x10", "ip_rcv+0x20", "veth_xmit+0x1 [veth]", "0xffffffffc0001234", "no_offset"] {
            growth.frame(frame);
        }
        assert_eq!(growth.lock().found, ["ip_rcv", "veth_xmit"]);
    }
}
