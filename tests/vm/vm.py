#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Runs commands, tests and benchmarks on real kernels in virtual machines. See README.md beside this file."""

import argparse
import json
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import kernels
import openvswitch
import suite
from bench import SCENARIOS
from cache import HERE, Failure, say, tools
from machine import Machine


def fetch(arguments: argparse.Namespace) -> int:
    for series in arguments.kernels or kernels.SERIES:
        print(kernels.get(series, arguments.update))
    for build in openvswitch.BUILDS.values():
        print(f"Open vSwitch ({build}): {openvswitch.get(build, arguments.update).name}")
    return 0


def run(arguments: argparse.Namespace) -> int:
    machine = Machine(cpus=arguments.cpus, memory=arguments.memory, icount=arguments.icount,
                      virtio_nic=arguments.nic == "virtio", timeout=arguments.timeout,
                      environment=openvswitch.environment())
    return machine.run(kernels.get(arguments.kernel), arguments.command)


def test(arguments: argparse.Namespace) -> int:
    # Whoever names a test wants it to run, whatever its tier.
    tier = arguments.tier or ("full" if arguments.libtest else "quick")
    result = suite.run(arguments.kernel, tier, arguments.libtest, suite.build_tracer(), suite.build_tests(),
                       arguments.timeout)
    print(suite.summary([result]))
    return 0 if result.ok else 1


def matrix(arguments: argparse.Namespace) -> int:
    tracer, tests = suite.build_tracer(), suite.build_tests()
    results = suite.run_all(arguments.tier, tracer, tests, arguments.timeout)
    print(suite.summary(results))
    return 0 if all(result.ok for result in results) else 1


def demo(arguments: argparse.Namespace) -> int:
    environment = {"TRACER_BIN": str(suite.build_tracer()), **openvswitch.environment()}
    return Machine(environment=environment, timeout=300).run(kernels.get(arguments.kernel), [str(HERE / "demo.sh")])


def bench(arguments: argparse.Namespace) -> int:
    tracer = arguments.tracer.resolve() if arguments.tracer else suite.build_tracer()
    machine = Machine(icount=True, environment={"TRACER_BIN": str(tracer)}, timeout=1200)
    result: dict = {}

    def collect(shared: Path) -> None:
        if (shared / "bench.json").exists():
            result.update(json.loads((shared / "bench.json").read_text()))
            if arguments.json:
                shutil.copy(shared / "bench.json", arguments.json)

    if machine.run(kernels.get(arguments.kernel), [str(HERE / "bench.py"), *arguments.scenarios], collect=collect):
        raise Failure("the benchmark did not run to its end")
    print(f"{'scenario':26}{'program':18}{'runs':>8}{'instructions a run':>20}")
    for row in result["rows"]:
        print(f"{row['scenario']:26}{row['program']:18}{row['runs']:8}{row['instructions']:20.1f}")
    for violation in result["violations"]:
        say(f"error: {violation}")
    return 1 if result["violations"] else 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function, about: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about)
        sub.set_defaults(function=function)
        return sub

    command("tools", lambda _: print(tools() / "bin/python"), "install missing Python tools, print their interpreter")
    sub = command("fetch", fetch, "download kernels and make Open vSwitch where missing, and list them")
    sub.add_argument("kernels", nargs="*", metavar="KERNEL", help=f"of {', '.join(kernels.SERIES)}; default: all")
    sub.add_argument("--update", action="store_true", help="look for newer packages")

    sub = command("run", run, "run a command as root in a guest, in this repository, and exit with its status")
    sub.add_argument("kernel", metavar="KERNEL")
    sub.add_argument("--cpus", type=int, default=2)
    sub.add_argument("--memory", default="3G")
    sub.add_argument("--icount", action="store_true", help="one processor, guest time counts instructions")
    sub.add_argument("--timeout", type=float, default=1800, metavar="SECONDS", help="for the command, boot not included")
    sub.add_argument("--nic", choices=["virtio"], help="two virtio-net cards wired to each other, eth0 and eth1")
    sub.add_argument("command", nargs="+", metavar="COMMAND")

    def tested(name: str, function, about: str) -> argparse.ArgumentParser:
        sub = command(name, function, about)
        sub.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="for the tests of one kernel")
        return sub

    sub = tested("test", test, "run the functional tests of one kernel")
    sub.add_argument("kernel", metavar="KERNEL")
    sub.add_argument("--tier", choices=suite.TIERS, help="default: quick, or full when tests are named")
    sub.add_argument("libtest", nargs="*", metavar="FILTER", help="after `--`: test names and flags of libtest")
    sub = tested("matrix", matrix, "run the functional tests on all kernels")
    sub.add_argument("--tier", choices=suite.TIERS, required=True)

    sub = command("demo", demo, "trace the first ping through Open vSwitch")
    sub.add_argument("--kernel", default="6.12")
    sub = command("bench", bench, "count the instructions of a hit and compare them with the budgets")
    sub.add_argument("--kernel", default="6.12")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE, too")
    sub.add_argument("--scenario", action="append", default=[], dest="scenarios", metavar="NAME",
                     choices=[scenario["name"] for scenario in SCENARIOS], help="only this one, and others so named")
    sub.add_argument("--tracer", type=Path, metavar="FILE", help="measure this program instead of the one built here")
    return top


def main() -> int:
    # Ends in the same way as Ctrl-C: the guest is killed on the way out.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = parser().parse_args()
    try:
        return arguments.function(arguments) or 0
    except Failure as failure:
        say(f"error: {failure}")
        return 1
    except subprocess.CalledProcessError as failure:
        say(f"error: `{shlex.join(map(str, failure.cmd))}` ended with status {failure.returncode}")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
