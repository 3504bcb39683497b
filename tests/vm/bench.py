#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Counts the instructions that tracer's programs execute at a hit. Runs in the guest; `vm.py bench` starts it.

Under QEMU's icount a nanosecond of guest time is an instruction, so the kernel's run time statistics of BPF programs
count instructions, the same in every run. Guest time leaps while the guest idles, so nothing here may use a timeout.
"""

import json
import os
import signal
import subprocess
import sys
import threading

PINGS = 1000

TEN_PROBES = ["kprobe:ip_rcv", "kprobe:ip_local_deliver", "kprobe:icmp_rcv", "kprobe:ip_output",
              "kprobe:__dev_queue_xmit", "kprobe:dev_hard_start_xmit", "kprobe:veth_xmit", "kprobe:__netif_rx",
              "tp:net:net_dev_queue", "tp:net:netif_receive_skb"]

FILTER = ["-f", "tcp port 4242"]

# A connection that is refused at once: two packets that the filter takes.
CONNECT = ["ip", "netns", "exec", "red", sys.executable, "-c",
           "import socket, errno; "
           "assert socket.socket().connect_ex(('10.0.0.2', 4242)) == errno.ECONNREFUSED"]

# A budget is the number of instructions a run that a program with "kprobe" in its name may take.
SCENARIOS = [
    {"name": "skb", "arguments": ["-c", "skb", "-p", "kprobe:ip_rcv"], "budget": 2000},
    {"name": "skb, tracking, dev, ns", "arguments": ["-c", "skb,skb-tracking,dev,ns", "-p", "kprobe:ip_rcv"],
     "budget": 3000},
    {"name": "the same, ten probes",
     "arguments": ["-c", "skb,skb-tracking,dev,ns", *(word for probe in TEN_PROBES for word in ("-p", probe))]},
    # One event a second: nearly all hits are left out. With one probe each of them is the first of its packet.
    {"name": "left out",
     "arguments": ["-c", "skb,skb-tracking,dev,ns", "-p", "kprobe:ip_rcv", "--max-events-per-second", "1"],
     "budget": 1500},
    {"name": "left out, ten probes",
     "arguments": ["-c", "skb,skb-tracking,dev,ns", *(word for probe in TEN_PROBES for word in ("-p", probe)),
                   "--max-events-per-second", "1"],
     "budget": 1000},
    # Pings are not what the filter takes.
    {"name": "filtered out", "arguments": ["-c", "skb,skb-tracking,dev,ns", "-p", "kprobe:ip_rcv", *FILTER],
     "budget": 700},
    # Once a packet was tracked it is looked up whether a packet is.
    {"name": "filtered out, tracking", "arguments": ["-c", "skb,skb-tracking,dev,ns", "-p", "kprobe:ip_rcv", *FILTER],
     "first": CONNECT, "budget": 700},
    {"name": "filtered out, ten probes",
     "arguments": ["-c", "skb,skb-tracking,dev,ns", *(word for probe in TEN_PROBES for word in ("-p", probe)), *FILTER],
     "first": CONNECT},
]


def programs() -> dict[int, dict]:
    """All loaded BPF programs by id."""
    listing = subprocess.run(["bpftool", "-j", "prog", "show"], check=True, stdout=subprocess.PIPE).stdout
    return {program["id"]: program for program in json.loads(listing)}


def topology() -> None:
    """Two namespaces with a veth pair."""
    for command in ["modprobe veth", "ip netns add red", "ip netns add blue",
                    "ip link add veth0 netns red type veth peer name veth0 netns blue",
                    "ip -n red addr add 10.0.0.1/24 dev veth0", "ip -n blue addr add 10.0.0.2/24 dev veth0",
                    "ip -n red link set veth0 up", "ip -n blue link set veth0 up",
                    "ip netns exec red ping -q -c 1 10.0.0.2", "sysctl -q kernel.bpf_stats_enabled=1"]:
        subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)


def measure(tracer: str, scenario: dict) -> list[dict]:
    """The programs that ran during one scenario, with how often and how long."""
    others = programs().keys()
    process = subprocess.Popen([tracer, "collect", *scenario["arguments"], "-o", "/dev/null"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    messages = []
    for line in process.stderr:
        messages.append(line)
        if line.startswith("ready"):
            break
    else:
        sys.exit(f"bench: tracer ended before it was ready, with status {process.wait()}:\n{''.join(messages)}")
    threading.Thread(target=messages.extend, args=(process.stderr,), daemon=True).start()

    if "first" in scenario:
        subprocess.run(scenario["first"], check=True)
    before = programs()
    subprocess.run(["ip", "netns", "exec", "red", "ping", "-q", "-i", "0.002", "-c", str(PINGS), "10.0.0.2"],
                   check=True, stdout=subprocess.DEVNULL)
    after = programs()
    process.send_signal(signal.SIGINT)
    if status := process.wait():
        sys.exit(f"bench: tracer ended with status {status}:\n{''.join(messages)}")

    rows = []
    for number in sorted(after.keys() - others):
        runs, nanoseconds = (after[number].get(key, 0) - before.get(number, {}).get(key, 0)
                             for key in ("run_cnt", "run_time_ns"))
        if runs:
            rows.append({"scenario": scenario["name"], "program": after[number].get("name", str(number)), "runs": runs,
                         "instructions": round(nanoseconds / runs, 1)})
    return rows


def violations(scenario: dict, rows: list[dict]) -> list[str]:
    """What is wrong with a scenario's figures. One in which nothing ran measures nothing."""
    if not rows:
        return [f"{scenario['name']}: no program ran"]
    if "budget" not in scenario:
        return []
    probed = [row for row in rows if "kprobe" in row["program"]]
    if not probed:
        return [f"{scenario['name']}: no program with `kprobe` in its name ran"]
    return [f"{scenario['name']}: `{row['program']}` takes {row['instructions']:.0f} instructions, "
            f"the budget is {scenario['budget']}" for row in probed if row["instructions"] > scenario["budget"]]


def main() -> None:
    names = sys.argv[1:]
    tracer = os.environ["TRACER_BIN"]
    topology()
    result = {"rows": [], "violations": []}
    for scenario in (scenario for scenario in SCENARIOS if not names or scenario["name"] in names):
        print(f"bench: {scenario['name']}", file=sys.stderr, flush=True)
        rows = measure(tracer, scenario)
        result["rows"] += rows
        result["violations"] += violations(scenario, rows)
    with open(os.path.join(os.environ["TRACER_VM_OUT"], "bench.json"), "w") as file:
        json.dump(result, file, indent=2)


if __name__ == "__main__":
    main()
