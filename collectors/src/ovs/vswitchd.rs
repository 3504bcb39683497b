// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What ovs-vswitchd tells itself, at its USDT probes.

use tracer_core::collector::Needs;
use tracer_core::kernel::Kernel;
use tracer_core::probe::usdt::user_files;
use tracer_core::probe::{AttachError, ProbeSpec};

/// The program.
const PROCESS: &str = "ovs-vswitchd";

/// It has received an upcall.
pub(super) const RECEIVE: &str = "dpif_recv:recv_upcall";
/// It is about to install a flow.
pub(super) const PUT: &str = "dpif_netlink_operate__:op_flow_put";
/// It is about to send a packet back.
pub(super) const EXECUTE: &str = "dpif_netlink_operate__:op_flow_execute";

/// Each with the variable of the hook by which it is known.
const PROBES: [(&str, &str); 3] = [(RECEIVE, "ovs_at_receive"), (PUT, "ovs_at_put"), (EXECUTE, "ovs_at_execute")];

/// Brings the probes that the running ovs-vswitchd has; says what is missing, if anything.
pub(super) fn look(kernel: &Kernel, needs: &mut Needs) {
    match missing(kernel) {
        Ok(()) => {
            needs.loss("usdt_missed", "ovs_untold");
            for (name, variable) in PROBES {
                let (provider, name) = name.split_once(':').unwrap_or_default();
                let probe = ProbeSpec::usdt(PROCESS, provider, name);
                needs.recognise(probe.clone(), variable);
                needs.decides_about(probe.clone());
                needs.watch(probe);
            }
        }
        Err(why) => needs
            .note(format!("{why}: upcalls have no events `recv_upcall` and `flow_operation`; all else is recorded")),
    }
}

/// Why there are no probes.
fn missing(kernel: &Kernel) -> Result<(), String> {
    let files = user_files(kernel, PROCESS).map_err(|error| match error {
        AttachError::NoProcess(_) => format!("no `{PROCESS}` runs"),
        other => format!("`{PROCESS}` can't be looked at ({other})"),
    })?;
    let has = |(wanted, _): &(&str, &str)| {
        let mut probes = files.iter().flat_map(|file| &file.probes);
        probes.any(|probe| wanted.split_once(':') == Some((&probe.provider, &probe.name)))
    };
    if PROBES.iter().all(has) {
        return Ok(());
    }
    let path = files.first().map_or(PROCESS, |program| &program.path);
    Err(format!("`{path}` was built without USDT probes (`configure --enable-usdt-probes` makes one with them)"))
}

#[cfg(test)]
mod tests {
    use tracer_core::kernel::Kernel;

    use super::missing;

    #[test]
    fn says_that_nothing_runs() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("proc")).unwrap();
        assert_eq!(missing(&Kernel::new(root.path())), Err("no `ovs-vswitchd` runs".to_owned()));
    }
}
