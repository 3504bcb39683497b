#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Three pings between two namespaces, traced and sorted. Runs in the guest; `vm.py demo` starts it.
set -euo pipefail

modprobe veth
ip netns add red
ip netns add blue
ip link add veth0 netns red type veth peer name veth0 netns blue
ip -n red address add 10.0.0.1/24 dev veth0
ip -n blue address add 10.0.0.2/24 dev veth0
ip -n red link set veth0 up
ip -n blue link set veth0 up

events=$TRACER_VM_OUT/events.json
set -x
"$TRACER_BIN" --profile generic collect -o "$events" --cmd 'ip netns exec red ping -c 3 -i 0.2 10.0.0.2'
"$TRACER_BIN" sort "$events"
