#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# The first ping through a bridge of Open vSwitch, between two namespaces: no flow fits it, so it goes through ovs-vswitchd. Traced and
# sorted. Runs in the guest; `vm.py demo` starts it.
set -euo pipefail

files=$(mktemp -d)
export PATH=$TRACER_OVS_USDT/bin:$PATH
export OVS_RUNDIR=$files OVS_LOGDIR=$files OVS_DBDIR=$files OVS_SYSCONFDIR=$files

modprobe -a veth openvswitch
ovsdb-tool create "$files/conf.db" "$TRACER_OVS_USDT/share/vswitch.ovsschema"
ovsdb-server --detach --no-chdir --log-file=/dev/null --pidfile --remote="punix:$files/db.sock" "$files/conf.db" 2>/dev/null
ovs-vsctl --no-wait init
ovs-vswitchd --detach --no-chdir --log-file=/dev/null --pidfile "unix:$files/db.sock" 2>/dev/null
ovs-vsctl add-br br0
number=1
for name in red blue; do
    ip netns add $name
    ip link add $name type veth peer name eth0 netns $name
    ip link set $name up
    ip -n $name link set eth0 address 02:00:00:00:00:0$number up
    ip -n $name address add 10.0.0.$number/24 dev eth0
    ip -n $name neighbour add 10.0.0.$((3 - number)) lladdr 02:00:00:00:00:0$((3 - number)) dev eth0 nud permanent
    ovs-vsctl add-port br0 $name
    number=$((number + 1))
done

events=$TRACER_VM_OUT/events.json
set -x
"$TRACER_BIN" --profile ovs-upcall collect -f icmp -o "$events" --cmd 'ip netns exec red ping -c 1 10.0.0.2'
"$TRACER_BIN" sort "$events"
