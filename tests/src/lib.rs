// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the functional tests are made with: network namespaces, the program under test, its events, and counters of the
//! kernel's own to compare them with.
//!
//! ```text
//! let topology = Topology::new()?;                                   // two namespaces, joined by a veth pair
//! let run = Tracer::collect(["-p", "ip_rcv"]).during(|_| {           // starts it, waits for `ready`
//!     topology.red.ping("10.0.0.2", 3)                               // traffic
//! })?;                                                               // SIGINT, waits for its end
//! let events = run.events()?;
//! ```
//!
//! Everything here needs root and a kernel that belongs to the test: see `tests/vm/README.md`.

mod capture;
mod condition;
mod counters;
mod events;
mod kernel;
mod ovs;
mod process;
mod topology;
mod trace;
mod tracer;
mod verifier;
mod xdp;

pub use capture::{Frame, PacketSocket, Tcpdump};
pub use condition::Condition;
pub use counters::{HitCounter, Snmp};
pub use events::{Event, Events, Identity, Link, Series};
pub use kernel::{Setting, kprobes, tracing, until_detached, until_kprobes};
pub use ovs::{Bridged, Ovs, OvsBuild};
pub use process::{Ended, Process};
pub use topology::{Line, Namespace, Topology, run};
pub use trace::{DropTrace, TracedDrop};
pub use tracer::{Collect, Recorded, Recording, Tracer, python};
pub use verifier::{Verdict, Verifier};
pub use xdp::Xdp;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// Longer than anything takes on an emulated processor; what is not there by then does not come.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again until the answer is yes.
///
/// # Errors
/// When it does not become true within [`PATIENCE`], or can't be found out.
pub fn until(what: &str, mut is_true: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !is_true()? {
        ensure!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        // Looking all the time would take the machine from what is waited for.
        std::thread::park_timeout(Duration::from_millis(2));
    }
    Ok(())
}

/// Prints figures past libtest, which shows the output of failed tests only.
pub fn note(text: impl std::fmt::Display) {
    use std::io::Write as _;
    // When nobody reads, nobody can be told.
    let _ = writeln!(std::io::stdout(), "\n  {text}");
}
