// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Collector `ovs`: what the datapath does with packets, each of a kind of its own.
//!
//! Every packet is sent twice: no flow fits the first one, so ovs-vswitchd decides and sends it back; the second one finds the flow.
//! Which actions are executed is what the flow says that the datapath itself shows.
//!
//! Cost: one Open vSwitch of each build, two sessions: 40 s.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tracer_tests::{Bridged, Event, Events, Namespace, OvsBuild, PacketSocket, Tracer, python, until};

/// The UDP port of packets that a flow drops.
const DROPPED: u16 = 1099;

/// A kind of packets.
struct Scene {
    /// The UDP port that they are for.
    port: u16,
    /// The port of the bridge that they come in at, and the tag that they have then.
    from: &'static str,
    tag: Option<u16>,
    /// What OpenFlow does with them.
    actions: &'static str,
    /// Actions that the datapath executes, with what they carry. A port `a|b` is one of the two.
    wanted: Vec<Value>,
}

fn scenes() -> Vec<Scene> {
    let output = |port: &str| json!({"action": "output", "port": port});
    let out = output("blue");
    let set = |field: &str| json!({"action": "set", "args": {"field": field}});
    let red = |port, actions, wanted| Scene { port, from: "red", tag: None, actions, wanted };
    vec![
        red(1000, "normal", vec![out.clone()]),
        red(
            1001,
            "controller,output:blue",
            vec![json!({"action": "userspace", "args": {"purpose": "controller"}}), out.clone()],
        ),
        red(
            1002,
            "ct(commit,zone=5,nat(src=10.0.0.9-10.0.0.12:1000-2000,random),table=1)",
            vec![
                json!({"action": "ct", "zone_id": 5, "flags": 1 | 4 | 16 | 32 | 128 | 256 | 2048, "nat": {
                    "dir": "src", "min_addr": "10.0.0.9", "max_addr": "10.0.0.12", "min_port": 1000, "max_port": 2000
                }}),
                json!({"action": "recirc"}),
                out.clone(),
            ],
        ),
        red(
            1003,
            "push_vlan:0x8100,set_field:4106->vlan_vid,set_field:3->vlan_pcp,output:blue",
            vec![json!({"action": "push_vlan", "args": {"vid": 10, "pcp": 3, "eth_type": 0x8100}}), out.clone()],
        ),
        red(
            1004,
            "push_mpls:0x8847,set_field:77->mpls_label,output:blue",
            vec![
                json!({"action": "push_mpls", "args": {"label": 77, "tc": 0, "bos": true, "ttl": 64, "eth_type": 0x8847}}),
                out.clone(),
            ],
        ),
        red(1005, "meter:7,output:blue", vec![json!({"action": "meter", "args": {"meter": 0}}), out.clone()]),
        red(
            1006,
            "mod_dl_dst:02:00:00:00:00:77,mod_nw_tos:32,dec_ttl,output:blue",
            vec![set("eth(dst=02:00:00:00:00:77)"), set("ipv4(tos=0x20/0xfc,ttl=63)"), out.clone()],
        ),
        red(
            1007,
            // Only what can't be undone makes Open vSwitch clone.
            "clone(ct(zone=7),output:blue),output:blue",
            vec![json!({"action": "clone"}), json!({"action": "ct", "zone_id": 7}), out.clone(), out.clone()],
        ),
        red(
            1008,
            "check_pkt_larger(100)->NXM_NX_REG0[0],resubmit(,2)",
            vec![json!({"action": "check_pkt_len", "args": {"size": 100}}), out.clone()],
        ),
        red(
            1009,
            "group:9",
            vec![json!({"action": "hash", "args": {"hash_alg": 0}}), json!({"action": "recirc"}), out.clone()],
        ),
        red(1010, "output(port=blue,max_len=60)", vec![json!({"action": "trunc", "args": {"size": 60}}), out.clone()]),
        red(1011, "ct_clear,ct(zone=6),output:blue", vec![json!({"action": "ct", "zone_id": 6}), out.clone()]),
        // To all ports; to the other bridge, and out there.
        red(1012, "flood", vec![out.clone(), output("mirror")]),
        red(1013, "output:patch0", vec![output("green")]),
        red(1014, "output:trunk", vec![output("trunk")]),
        // To all buckets; and to one member of a bond.
        red(1015, "group:10", vec![out.clone(), output("mirror")]),
        red(1016, "mod_dl_dst:02:00:00:00:00:99,normal", vec![output("bond1|bond2")]),
        red(
            1017,
            "sample(probability=32768,collector_set_id=1,obs_domain_id=3,obs_point_id=4),output:blue",
            vec![json!({"action": "sample", "args": {"probability": 2_147_516_416_u32}}), out.clone()],
        ),
        // What one port sends is mirrored.
        Scene { from: "watched", ..red(1018, "output:blue", vec![out, output("mirror")]) },
        // Between ports of VLAN 20: without a tag at those that are only in this one.
        Scene {
            from: "access",
            ..red(
                1019,
                "normal",
                vec![output("beside"), json!({"action": "push_vlan", "args": {"vid": 20}}), output("trunk")],
            )
        },
        Scene {
            from: "trunk",
            tag: Some(20),
            ..red(1020, "normal", vec![json!({"action": "pop_vlan"}), output("access"), output("beside")])
        },
    ]
}

impl Scene {
    fn frame(&self) -> Vec<u8> {
        let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let addresses = ([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let builder = match self.tag {
            Some(tag) => {
                let tag = tag.try_into().expect("it has twelve bits");
                builder.single_vlan(tag).ipv4(addresses.0, addresses.1, addresses.2)
            }
            None => builder.ipv4(addresses.0, addresses.1, addresses.2),
        };
        let mut frame = Vec::new();
        builder.udp(999, self.port).write(&mut frame, &[7; 100]).expect("a vector takes everything");
        frame
    }
}

/// The bridge with all its flows, and the namespaces behind it.
fn bridge(build: OvsBuild, name: &str) -> Result<(Bridged, Vec<(&'static str, Namespace)>)> {
    let bridged = Bridged::new(build, name)?;
    let ovs = &bridged.ovs;
    let mut namespaces = Vec::new();
    // Flows stay as long as the test.
    ovs.vsctl("set Open_vSwitch . other_config:max-idle=600000 -- add-br br1")?;
    ovs.vsctl(
        "add-port br0 patch0 -- set interface patch0 type=patch options:peer=patch1 \
         -- add-port br1 patch1 -- set interface patch1 type=patch options:peer=patch0",
    )?;
    let ports = ["green", "mirror", "trunk", "access", "beside", "watched", "bond1", "bond2"];
    for (number, port) in (3..).zip(ports) {
        let namespace = Namespace::new(format!("{name}-{port}"))?;
        ovs.plug(port, &namespace, number)?;
        namespaces.push((port, namespace));
    }
    ovs.vsctl(
        "add-port br1 green -- add-port br0 mirror -- add-port br0 watched -- add-port br0 trunk trunks=20 \
         -- add-port br0 access tag=20 -- add-port br0 beside tag=20 \
         -- add-bond br0 bond bond1 bond2 bond_mode=balance-slb \
         -- --id=@watched get port watched -- --id=@mirror get port mirror -- --id=@bridge get bridge br0 \
         -- --id=@m create mirror name=m select-src-port=@watched output-port=@mirror -- set bridge br0 mirrors=@m \
         -- --id=@ipfix create ipfix targets=\"127.0.0.1:4739\" \
         -- create Flow_Sample_Collector_Set id=1 bridge=@bridge ipfix=@ipfix",
    )?;
    // Whatever br1 has learned from packets that br0 floods.
    ovs.ofctl("add-flow br1 in_port=patch1,priority=9,actions=output:green")?;
    ovs.ofctl("-O OpenFlow13 add-meter br0 meter=7,kbps,band=type=drop,rate=100000")?;
    ovs.ofctl("-O OpenFlow15 add-group br0 group_id=9,type=select,selection_method=dp_hash,bucket=bucket_id=1,weight:100,actions=output:blue,bucket=bucket_id=2,weight:100,actions=output:blue")?;
    ovs.ofctl("-O OpenFlow13 add-group br0 group_id=10,type=all,bucket=output:blue,bucket=output:mirror")?;
    ovs.ofctl("add-flow br0 table=1,actions=output:blue")?;
    ovs.ofctl("add-flow br0 table=2,actions=output:blue")?;
    ovs.ofctl("add-flow br0 table=2,priority=9,reg0=1,actions=output:blue,output:mirror")?;
    for Scene { port, from, actions, .. } in scenes() {
        // A name with a comma in it is not one word of OpenFlow.
        ovs.run(
            "ovs-ofctl",
            [
                "-O",
                "OpenFlow13",
                "add-flow",
                "br0",
                &format!("in_port={from},udp,tp_dst={port},priority=9,actions={actions}"),
            ],
        )?;
    }
    ovs.ofctl("-O OpenFlow13 add-flow br0 in_port=red,udp,tp_dst=1099,priority=9,actions=drop")?;
    Ok((bridged, namespaces))
}

/// The number of a port in the datapath.
fn number(bridged: &Bridged, name: &str) -> Result<u64> {
    let shown = bridged.ovs.appctl("dpctl/show")?;
    let line = shown.lines().find(|line| line.trim_end().ends_with(&format!(": {name}"))).context("no such port")?;
    let number = line.trim().strip_prefix("port ").and_then(|rest| rest.split(':').next()).context("no number")?;
    Ok(number.parse()?)
}

/// Whether `found` has all that `wanted` has.
fn has(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| found.get(key).is_some_and(|found| has(found, wanted)))
        }
        _ => found == wanted,
    }
}

fn executed<'a>(series: &[&'a Event]) -> Vec<&'a Value> {
    let of = |event: &&'a Event| Some(event.get("/ovs")).filter(|ovs| ovs["event_type"] == "action_execute");
    series.iter().filter_map(of).collect()
}

/// The series of the packets to a UDP port, in the order in which they were sent.
fn to_port(events: &Events, port: u16) -> Vec<Vec<&Event>> {
    let flow = format!("udp4 10.0.0.1:999 > 10.0.0.2:{port}");
    events.series().into_values().filter(|series| series[0].flow().as_deref() == Some(flow.as_str())).collect()
}

/// Checks what was recorded of a kind of packets, sent twice.
fn check_scene(bridged: &Bridged, series: &[Vec<&Event>], scene: &Scene) -> Result<()> {
    ensure!(series.len() == 2, "{} packets", series.len());
    for (series, is_first) in series.iter().zip([true, false]) {
        let found = executed(series);
        let context = || {
            let lines: String = found.iter().map(|action| format!("    {action}\n")).collect();
            format!("first {is_first}:\n{lines}")
        };
        // In which order a packet goes out at several ports is not said.
        let mut rest = found.clone();
        for wanted in &scene.wanted {
            let mut wanted = wanted.clone();
            if let Some(names) = wanted["port"].as_str() {
                let numbers = names.split('|').map(|name| number(bridged, name)).collect::<Result<Vec<_>>>()?;
                let at = |number: &u64| found.iter().filter(|found| found["port"] == *number).count();
                let used: Vec<u64> = numbers.into_iter().filter(|number| at(number) > 0).collect();
                let [used] = used[..] else { bail!("goes out at {used:?} of {names}, {}", context()) };
                wanted["port"] = json!(used);
            }
            // The kernel turns what sets all of a field into what sets it by a mask; which it is, is not what is tested.
            if wanted["action"] == "set" {
                wanted.as_object_mut().context("an object")?.remove("action");
            }
            let at = rest.iter().position(|found| has(found, &wanted));
            rest.swap_remove(at.with_context(|| format!("no {wanted}, {}", context()))?);
        }
        let upcalls: BTreeSet<Option<u64>> = series
            .iter()
            .filter(|event| event.get("/ovs/event_type") == "upcall" && event.get("/ovs/cmd") == 1)
            .map(|event| event.get("/ovs/upcall_id").as_u64())
            .collect();
        let lookups: Vec<u64> = series
            .iter()
            .filter(|event| event.get("/ovs/event_type") == "flow_lookup")
            .filter_map(|event| event.get("/ovs/flow").as_u64())
            .collect();
        if is_first {
            ensure!(!upcalls.is_empty() && lookups.first() == Some(&0), "{upcalls:?}, {lookups:?}, {}", context());
            let answers: BTreeSet<Option<u64>> = found.iter().map(|action| action["upcall_id"].as_u64()).collect();
            ensure!(!answers.contains(&None), "{}", context());
            ensure!(answers.is_subset(&upcalls), "{answers:?} of {upcalls:?}, {}", context());
        } else {
            let all_fit = !lookups.is_empty() && lookups.iter().all(|flow| *flow != 0);
            ensure!(upcalls.is_empty() && all_fit, "{upcalls:?}, {lookups:?}, {}", context());
        }
        let received: Vec<&Value> = series
            .iter()
            .filter(|event| event.get("/ovs-vport/event") == "receive")
            .map(|event| event.get("/ovs-vport/name"))
            .collect();
        ensure!(received == [scene.from], "came in at {received:?}");
    }
    Ok(())
}

/// Checks what was recorded of two packets that a flow drops: newer kernels have reasons and an action for that, and newer builds
/// of Open vSwitch use it. Without, the flow has no actions, and the first packet does not come back from ovs-vswitchd.
fn check_drops(series: &[Vec<&Event>], build: OvsBuild, sorted: &str) -> Result<()> {
    let [first, second] = series else { bail!("{} packets are dropped", series.len()) };
    let types = std::fs::read("/sys/kernel/btf/openvswitch")?;
    let has_reasons = types.windows(17).any(|name| name == b"OVS_DROP_EXPLICIT");
    let drops = |series: &[&Event]| -> Vec<(Value, Value)> {
        let events = series.iter().filter(|event| !event.get("/skb-drop").is_null());
        events
            .map(|event| (event.get("/skb-drop/subsys").clone(), event.get("/skb-drop/drop_reason").clone()))
            .collect()
    };
    let actions = |series: &[&Event]| executed(series).into_iter().cloned().collect::<Vec<_>>();
    let own = |reason: &str| vec![(json!("openvswitch"), json!(reason))];
    let (wanted, is_told) = match (has_reasons, build) {
        (true, OvsBuild::Usdt) => (own("OVS_DROP_EXPLICIT"), true),
        (true, OvsBuild::Debian) => (own("OVS_DROP_LAST_ACTION"), false),
        // The packet is used up, for all that such a kernel says.
        (false, _) => (Vec::new(), false),
    };
    ensure!(drops(second) == wanted, "{:?}", drops(second));
    for series in [first, second] {
        let actions = actions(series);
        let is_drop = matches!(&actions[..], [action] if has(action, &json!({"action": "drop", "reason": 0})));
        ensure!(if is_told { is_drop } else { actions.is_empty() }, "{actions:?}");
    }
    ensure!(if is_told { drops(first) == wanted } else { drops(first).is_empty() }, "{:?}", drops(first));
    for verdict in ["⇒ not sent back by ovs-vswitchd", "⇒ dropped by flow ufid:"] {
        ensure!(sorted.matches(verdict).count() == usize::from(!is_told), "`{verdict}` in\n{sorted}");
    }
    Ok(())
}

fn executes_every_action(build: OvsBuild, name: &str) -> Result<()> {
    let (bridged, namespaces) = bridge(build, name)?;
    let ovs = &bridged.ovs;
    // A tag that is not beside the packet yet is part of it.
    let filter = "udp src port 999 or (vlan and udp src port 999)";
    let arguments = ["-c", "skb,skb-tracking,skb-drop,ovs,dev,ns", "-f", filter, "--ovs-track"];
    let mut frames: Vec<(&Namespace, Vec<u8>)> = Vec::new();
    for scene in scenes() {
        let from = namespaces.iter().find(|(port, _)| *port == scene.from).map_or(&bridged.red, |(_, from)| from);
        frames.push((from, scene.frame()));
    }
    let dropped = Scene { port: DROPPED, from: "red", tag: None, actions: "drop", wanted: Vec::new() };
    frames.push((&bridged.red, dropped.frame()));
    let send = || frames.iter().try_for_each(|(from, frame)| PacketSocket::open(from, "veth0")?.send(frame));
    let recorded = Tracer::collect(arguments).during(|_| {
        send()?;
        until("there is a flow for each kind", || {
            let flows = ovs.appctl("dpctl/dump-flows")?;
            let mut ports = scenes().into_iter().map(|scene| scene.port).chain([DROPPED]);
            Ok(ports.all(|port| flows.contains(&format!("dst={port})"))))
        })?;
        send()?;
        // What comes behind them has gone through.
        bridged.red.ping("10.0.0.2", 1)?;
        Ok(())
    })?;
    let events = recorded.events()?;

    let mut wrong = String::new();
    for scene in scenes() {
        if let Err(error) = check_scene(&bridged, &to_port(&events, scene.port), &scene) {
            wrong += &format!("{} from {}, `{}`: {error:#}\n", scene.port, scene.from, scene.actions);
        }
    }
    ensure!(wrong.is_empty(), "{build:?}:\n{wrong}");
    let text = Tracer::output(["sort".as_ref(), recorded.path().as_os_str()])?;
    check_drops(&to_port(&events, DROPPED), build, &text)?;

    // The number of a flow is the one that Open vSwitch shows.
    let flows = ovs.appctl("dpctl/dump-flows -m")?;
    let shown: BTreeSet<&str> =
        text.split("flow ufid:").skip(1).filter_map(|rest| rest.split([',', ' ']).next()).collect();
    ensure!(shown.len() > scenes().len() / 2, "{shown:?}");
    let unknown: Vec<_> = shown.iter().filter(|ufid| !flows.contains(*ufid)).collect();
    ensure!(unknown.is_empty(), "{unknown:?} are not in\n{flows}");
    for words in [
        "exec output(",
        "exec ct(commit,zone=5,nat(src=10.0.0.9-10.0.0.12:1000-2000,random))",
        "exec push_vlan(vid=10,pcp=3)",
    ] {
        ensure!(text.contains(words), "no `{words}` in\n{text}");
    }
    let read: Value = serde_json::from_str(&python("read_with_retis.py", [&recorded.path()])?)?;
    ensure!(read["events"] == events.0.len(), "{read}");
    Ok(())
}

#[test]
fn tells_what_the_datapath_does_with_packets_of_the_newest_open_vswitch() -> Result<()> {
    executes_every_action(OvsBuild::Usdt, "actions")
}

#[test]
fn tells_what_the_datapath_does_with_packets_of_an_older_open_vswitch() -> Result<()> {
    executes_every_action(OvsBuild::Debian, "older")
}

/// Packets larger than the MTU, with and without a VLAN tag, are upcalled in segments, which go on one by one.
#[test]
fn follows_segments_and_tags_through_user_space() -> Result<()> {
    let bridged = Bridged::new(OvsBuild::Usdt, "segments")?;
    for (namespace, own) in [(&bridged.red, 1), (&bridged.blue, 2)] {
        let other = 3 - own;
        namespace.configure(&format!(
            "link add link veth0 name vlan100 type vlan id 100\n\
             link set vlan100 up\n\
             address add 10.0.100.{own}/24 dev vlan100\n\
             neighbour add 10.0.100.{other} lladdr 02:00:00:00:00:0{other} dev vlan100 nud permanent\n"
        ))?;
    }
    bridged.ovs.vsctl("set Open_vSwitch . other_config:flow-limit=0")?;
    until("no flow may be installed", || Ok(bridged.ovs.appctl("upcall/show")?.contains("(limit 0)")))?;
    // The bridge learns where both are: packets go to one port from then on.
    bridged.red.ping("10.0.0.2", 1)?;
    bridged.red.ping("10.0.100.2", 1)?;
    let arguments = ["-c", "skb,skb-tracking,ovs", "--skb-sections", "gso,meta", "-f", "tcp port 5001", "--ovs-track"];
    let recorded = Tracer::collect(arguments).during(|_| {
        for address in ["10.0.0.2", "10.0.100.2"] {
            bridged.blue.enter(|| {
                let listener = std::net::TcpListener::bind((address, 5001))?;
                std::thread::scope(|scope| {
                    let sender = scope.spawn(|| {
                        bridged.red.enter(|| {
                            use std::io::Write as _;
                            Ok(std::net::TcpStream::connect((address, 5001))?.write_all(&[7; 100_000])?)
                        })
                    });
                    let received = std::io::copy(&mut listener.accept()?.0, &mut std::io::sink())?;
                    sender.join().expect("no thread panics")?;
                    ensure!(received == 100_000, "{received} bytes");
                    Ok(())
                })
            })?;
        }
        // The last packet of a connection ends it at this side. The first line is a heading.
        until("the connections are closed", || Ok(bridged.blue.run("cat", ["/proc/net/tcp"])?.lines().count() == 1))
    })?;
    let events = recorded.events()?;
    let (mut segments, mut tagged, mut upcalls) = (0, 0, BTreeSet::new());
    for (identity, series) in events.series() {
        let of = |kind: &str| series.iter().filter(|event| event.get("/ovs/event_type") == kind).collect::<Vec<_>>();
        let enqueued = of("upcall_enqueue");
        ensure!(
            enqueued.len() <= 1,
            "{identity:?} is queued {} times, {:?}: {series:#?}",
            enqueued.len(),
            events.losses()
        );
        let Some(enqueued) = enqueued.first().filter(|event| event.get("/ovs/ret") == 0) else { continue };
        let id = enqueued.get("/ovs/upcall_id").as_u64().context("no upcall_id")?;
        ensure!(upcalls.insert(id), "{id} names two upcalls");
        let executed = of("action_execute");
        ensure!(executed.len() == 1, "{identity:?} is executed {} times: {series:#?}", executed.len());
        ensure!(executed[0].get("/ovs/upcall_id") == id, "{identity:?}: {executed:?}");
        let tag = |event: &Event| event.get("/skb/vlan_accel/vid").clone();
        ensure!(tag(executed[0]) == tag(enqueued), "{:?} becomes {:?}", tag(enqueued), tag(executed[0]));
        tagged += u32::from(!tag(enqueued).is_null());
        segments += u32::from(series[0].link().is_some_and(|link| link.kind == "segment"));
    }
    ensure!(segments > 50 && tagged > 20, "{segments} segments, {tagged} with tags");
    let losses: Vec<_> =
        events.losses().into_keys().filter(|(cause, _)| cause.starts_with("tracking_upcall")).collect();
    ensure!(losses.is_empty(), "{losses:?}");
    Ok(())
}

/// Of what is cut short on its way to ovs-vswitchd, both ends have the same bytes. The packet itself stays whole.
#[test]
fn follows_what_is_cut_short() -> Result<()> {
    const LENGTH: usize = 200;
    let bridged = Bridged::new(OvsBuild::Usdt, "cut")?;
    bridged.without_ipv6()?;
    let [red, blue] = ["red", "blue"].map(|port| number(&bridged, port));
    let flow =
        format!("recirc_id(0),in_port({}),eth(),eth_type(0x0800),ipv4(proto=17,frag=no),udp(src=0/0,dst=0/0)", red?);
    // OpenFlow knows no such actions.
    let actions = format!("trunc({LENGTH}),userspace(pid=4294967295,slow_path(action)),{}", blue?);
    // To nobody, so that there are no answers.
    let addresses = || {
        let link = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9]);
        link.ipv4([10, 0, 0, 1], [10, 0, 0, 9], 64)
    };
    let (mut frame, mut other) = (Vec::new(), Vec::new());
    addresses().udp(7776, 7777).write(&mut frame, &[7; 1400])?;
    addresses().icmpv4_echo_reply(7, 7).write(&mut other, &[7; 40])?;
    let arguments = ["-c", "skb,skb-tracking,ovs", "--ovs-track", "-f", "udp port 7777"];
    let recorded = Tracer::collect(arguments).during(|_| {
        let socket = PacketSocket::open(&bridged.red, "veth0")?;
        let receiver = PacketSocket::open(&bridged.blue, "veth0")?;
        for _ in 0..8 {
            bridged.ovs.appctl(&format!("dpctl/mod-flow --may-create {flow} {actions}"))?;
            socket.send(&frame)?;
            receiver.receive()?;
        }
        // What comes behind them goes through ovs-vswitchd.
        socket.send(&other)?;
        receiver.receive()
    })?;
    let events = recorded.events()?;
    // In between, ovs-vswitchd finds that it has not made the flow.
    let is_cut = |series: &&[&Event]| executed(series).first().is_some_and(|action| action["action"] == "trunc");
    let all = events.series();
    let cut: Vec<&[&Event]> = all.values().map(|series| &series[..]).filter(is_cut).collect();
    ensure!(all.len() == 8 && cut.len() > 2, "{} of {} packets are cut", cut.len(), all.len());
    for series in cut {
        let told: Vec<String> = series.iter().map(|event| event.get("/ovs").to_string()).collect();
        let of = |kind: &str| series.iter().filter(|event| event.get("/ovs/event_type") == kind).collect::<Vec<_>>();
        let ports: Vec<_> = series.iter().filter_map(|event| event.get("/ovs-vport/name").as_str()).collect();
        ensure!(ports == ["red", "blue"], "{ports:?}");
        let actions: Vec<_> = of("action_execute").iter().map(|event| event.get("/ovs/action").clone()).collect();
        ensure!(actions == ["trunc", "userspace", "output"], "{actions:?}");
        let (queued, received) = (of("upcall_enqueue"), of("recv_upcall"));
        ensure!(queued.len() == 1 && queued[0].get("/ovs/cmd") == 2, "{told:?}");
        ensure!(received.len() == 1, "{told:?}");
        for received in received {
            ensure!(received.get("/ovs/pkt_size") == LENGTH, "{told:?}");
            ensure!(received.get("/ovs/queue_id") == queued[0].get("/ovs/queue_id"), "{told:?}");
        }
        let mut sent = series.iter().filter(|event| event.symbol() == "ovs_vport_send");
        ensure!(sent.all(|event| event.get("/packet/len") == frame.len()), "{told:?}");
    }
    ensure!(events.losses().is_empty(), "{:?}", events.losses());
    Ok(())
}

/// The profile that tells all but upcalls.
fn tells_what_the_datapath_does(bridged: &Bridged) -> Result<()> {
    let collect = Tracer::collect(["-f", "icmp"]).profile("ovs-datapath");
    let recorded = collect.during(|_| bridged.red.ping("10.0.0.2", 2))?;
    let events = recorded.events()?;
    let kinds: BTreeSet<&str> = events.hits().filter_map(|event| event.get("/ovs/event_type").as_str()).collect();
    ensure!(kinds == BTreeSet::from(["action_execute", "flow_lookup"]), "{kinds:?}");
    let ways: BTreeSet<&str> = events.hits().filter_map(|event| event.get("/ovs-vport/event").as_str()).collect();
    ensure!(ways == BTreeSet::from(["receive", "send"]), "{ways:?}");
    Ok(())
}

/// The profile that tells at which ports packets come in and go out, and nothing else.
#[test]
fn tells_at_which_ports_packets_come_and_go() -> Result<()> {
    let bridged = Bridged::new(OvsBuild::Debian, "ports")?;
    tells_what_the_datapath_does(&bridged)?;
    let recorded = Tracer::collect(["-f", "icmp"]).profile("ovs-vport").during(|_| bridged.red.ping("10.0.0.2", 2))?;
    let events = recorded.events()?;
    ensure!(events.counts().keys().copied().eq(["ovs_vport_receive", "ovs_vport_send"]), "{:?}", events.counts());
    let mut ways: Vec<Vec<&str>> = events
        .series()
        .into_values()
        .map(|series| series.iter().filter_map(|event| event.get("/ovs-vport/name").as_str()).collect())
        .collect();
    // The second one may be on its way before the first one is answered.
    ways.sort_unstable();
    let (there, back) = (["red", "blue"], ["blue", "red"]);
    ensure!(ways == [back, back, there, there], "{ways:?}");
    ensure!(events.hits().all(|event| event.get("/ovs-vport/datapath") == "ovs-system"));
    Ok(())
}
