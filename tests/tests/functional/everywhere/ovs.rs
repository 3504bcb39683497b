// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Open vSwitch in the test bed. Costs: 10 s for each build.

use anyhow::{Result, ensure};
use tracer_tests::{Bridged, OvsBuild};

#[test]
fn a_bridge_of_open_vswitch_forwards() -> Result<()> {
    for build in OvsBuild::ALL {
        let bridged = Bridged::new(build, "smoke")?;
        bridged.red.ping("10.0.0.2", 3)?;
        bridged.red.ping("fd00::2", 3)?;
        let flows = bridged.ovs.appctl("dpctl/dump-flows")?;
        ensure!(flows.lines().filter(|flow| flow.contains("eth_type(0x0800)")).count() == 2, "{build:?}: {flows}");
    }
    Ok(())
}
