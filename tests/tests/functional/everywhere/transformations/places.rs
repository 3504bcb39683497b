// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the traffic goes. Namespaces take most of the time, so scenes share them.

use anyhow::Result;
use tracer_tests::{Line, Namespace, Topology, run};

/// All of them are there until the session is over: the names of namespaces are looked up when an event is written.
pub(super) struct Places {
    /// A router that looks at every packet alone.
    pub(super) routed: Line,
    /// A router that knows connections, for which it puts datagrams together.
    pub(super) tracked: Line,
    /// A bridge, with addresses 10.0.0.1 (red), 10.0.0.2 (blue) and 10.0.0.3 (green). The third host is at its device `third`.
    pub(super) bridged: Line,
    pub(super) green: Namespace,
    /// Two hosts whose devices have VLAN tags in the packet's bytes.
    pub(super) pair: Topology,
    /// Two hosts that are joined twice; none where the kernel has no PRP.
    pub(super) redundant: Option<Topology>,
}

impl Places {
    pub(super) fn new() -> Result<Self> {
        // On 6.1 it puts datagrams together in every namespace that is made while it is there. Other tests load it.
        run("modprobe", ["-r", "openvswitch"])?;
        let (bridged, green) = bridged()?;
        let places = Self {
            routed: Line::routed("routed")?,
            tracked: Line::routed("tracked")?,
            bridged,
            green,
            pair: Topology::new()?,
            redundant: if run("modprobe", ["hsr"]).is_ok() { Some(Topology::ipv4_only()?) } else { None },
        };
        for line in [&places.routed, &places.tracked] {
            narrow(line)?;
        }
        for host in [&places.pair.red, &places.pair.blue] {
            host.run("ethtool", ["-K", "veth0", "txvlan", "off", "rxvlan", "off"])?;
        }
        Ok(places)
    }
}

/// To 10.0.2.2 the router takes apart what it forwards.
fn narrow(line: &Line) -> Result<()> {
    line.red.sysctl("ipv4/ip_no_pmtu_disc", "1")?;
    line.blue.configure("address add 10.0.2.2/24 dev veth0\n")?;
    line.middle.configure("route add 10.0.2.2 dev right mtu lock 1000\n")
}

fn bridged() -> Result<(Line, Namespace)> {
    let line = Line::joined("bridged")?;
    let green = Namespace::new("bridged-green".to_owned())?;
    green.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
    line.middle.configure(&format!(
        "link add third type veth peer name veth0 netns {}\nlink set third up\n\
         link add bridge type bridge mcast_snooping 1\n\
         link set left master bridge\nlink set right master bridge\nlink set third master bridge\nlink set bridge up\n",
        green.name()
    ))?;
    green.configure("link set veth0 address 02:00:00:00:00:03\nlink set lo up\nlink set veth0 up\n")?;
    for (host, number) in [(&line.red, 1), (&line.blue, 2), (&green, 3)] {
        host.configure(&format!("address add 10.0.0.{number}/24 broadcast 10.0.0.255 dev veth0\n"))?;
    }
    for (host, other) in [(&line.red, 2), (&line.blue, 1)] {
        host.configure(&format!(
            "neighbour add 10.0.0.{other} lladdr 02:00:00:00:00:0{other} dev veth0 nud permanent\n"
        ))?;
    }
    Ok((line, green))
}
