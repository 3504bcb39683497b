# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The functional tests: which of them run on which kernel, and their results."""

import json
import os
import re
import subprocess
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import kernels
import openvswitch
from cache import REPOSITORY, Failure, say, tools
from machine import Machine

MODERN = frozenset({"6.1", "6.12", "7"})
# A test's top module says where it runs.
TIERS = {
    "quick": {
        "everywhere": MODERN,
        "full": frozenset({"6.12"}),
        "locked": frozenset({"6.12"}),
        "long": frozenset(),
        "legacy": frozenset({"5.10"}),
        "verifier": frozenset(kernels.SERIES),
    },
}
TIERS["full"] = {**TIERS["quick"], "full": MODERN, "locked": MODERN, "long": MODERN}
# These change the kernel for good: they have a boot of their own.
APART = {"locked"}


@dataclass
class Result:
    """What came out on one kernel."""

    kernel: str
    passed: int = 0
    failed: int = 0
    seconds: float = 0
    error: str = ""
    # What libtest says of the tests that failed.
    failures: str = ""

    @property
    def ok(self) -> bool:
        return self.passed > 0 and not self.failed and not self.error


def cargo(kind: str, name: str, *command: str) -> Path:
    """Builds with cargo and returns the executable of the target `name`."""
    build = subprocess.run(["cargo", *command, "--message-format=json-render-diagnostics"], cwd=REPOSITORY,
                           stdout=subprocess.PIPE, text=True)
    if build.returncode:
        raise Failure(f"`cargo {' '.join(command)}` failed")
    for line in build.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == name and kind in message["target"]["kind"]:
            return Path(message["executable"])
    raise Failure(f"`cargo {' '.join(command)}` built no {kind} target `{name}`")


def build_tracer() -> Path:
    """The program under test, built as it is shipped."""
    return cargo("bin", "tracer", "build", "--release")


def build_tests() -> Path:
    return cargo("test", "functional", "test", "--release", "--no-run", "-p", "tracer-tests")


def choose(binary: Path, kernel: str, tier: str, arguments: list[str]) -> list[str]:
    """The names of the tests that `arguments` (filters and flags of libtest) and the tier leave for a kernel."""
    listing = subprocess.run([binary, "--list", "--format", "terse", *arguments], check=True, stdout=subprocess.PIPE,
                             text=True).stdout
    names = [line.removesuffix(": test") for line in listing.splitlines() if line.endswith(": test")]
    for name in names:
        if name.split("::")[0] not in TIERS[tier]:
            raise Failure(f"test `{name}` would never run: its top module must be one of {', '.join(TIERS[tier])}")
    return [name for name in names if kernel in TIERS[tier][name.split("::")[0]]]


def flags_of(arguments: list[str]) -> list[str]:
    """libtest's flags without the filters, which `choose` has applied; so it has `--skip`, which `--exact` breaks."""
    flags, rest = [], list(arguments)
    while rest:
        argument = rest.pop(0)
        takes_value = argument in ("--skip", "--format", "--color", "--logfile", "-Z") and rest
        value = [rest.pop(0)] if takes_value else []
        if argument.startswith("-") and not argument.startswith("--skip") and argument != "--exact":
            flags += [argument, *value]
    return flags


def run(kernel: str, tier: str, arguments: list[str], tracer: Path, tests: Path, timeout: float,
        label: str = "") -> Result:
    """Runs the tests of a kernel, in one boot but for those in `APART`. That no test ran is a failure."""
    start = time.monotonic()
    result = Result(kernel)
    try:
        names = choose(tests, kernel, tier, arguments)
        if not names:
            raise Failure("no test to run")
        say(f"{len(names)} tests on kernel {kernel}")
        output = bytearray()
        environment = {
            "TRACER_BIN": str(tracer),
            # With the packages of requirements.txt.
            "TRACER_PYTHON": str(tools() / "bin/python"),
            # The guest can't write snapshots into the repository, and insta must not run cargo to find it.
            "INSTA_UPDATE": "no",
            "INSTA_WORKSPACE_ROOT": str(REPOSITORY),
            **openvswitch.environment(),
        }
        machine = Machine(virtio_nic=True, timeout=timeout, environment=environment, label=label)
        boots = ([name for name in names if (name.split("::")[0] in APART) == apart] for apart in (False, True))
        statuses = [machine.run(kernels.get(kernel), [str(tests), "--test-threads=1", *flags_of(arguments), "--exact", *boot],
                                on_stdout=output.extend) for boot in boots if boot]
        for counts in re.finditer(rb"^test result: .*? (\d+) passed; (\d+) failed;", output, re.MULTILINE):
            result.passed += int(counts[1])
            result.failed += int(counts[2])
        failures = re.findall(rb"^failures:\n\n(?:---- .*?)(?=^failures:\n)", output, re.MULTILINE | re.DOTALL)
        result.failures = re.sub(r"^[Ss]tack backtrace:\n(?: .*\n)*", "", b"".join(failures).decode(errors="replace"),
                                 flags=re.MULTILINE)
        if result.passed + result.failed == 0:
            result.error = "no test ran"
        elif any(statuses) and not result.failed:
            result.error = f"exit status {max(statuses)}"
    except Failure as failure:
        say(f"kernel {kernel}: error: {failure}")
        result.error = str(failure).splitlines()[0]
    result.seconds = time.monotonic() - start
    return result


def run_all(tier: str, tracer: Path, tests: Path, timeout: float) -> list[Result]:
    """Runs the tests of all kernels. An emulated machine with two processors seldom keeps more than one busy, so there are as many
    machines at once as there are processors here."""
    # The longest first.
    waiting = deque(sorted(kernels.SERIES, key=lambda kernel: -len(choose(tests, kernel, tier, []))))
    results: dict[str, Result] = {}

    def work() -> None:
        while waiting:
            kernel = waiting.popleft()
            results[kernel] = run(kernel, tier, [], tracer, tests, timeout, label=kernel)

    # Daemons: nothing waits for them when the command is stopped, and their machines go with it.
    workers = [threading.Thread(target=work, daemon=True) for _ in range(min(os.cpu_count() or 1, len(waiting)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [results.get(kernel) or Result(kernel, error="the run broke off") for kernel in kernels.SERIES]


def summary(results: list[Result]) -> str:
    """A table with one line a kernel."""
    lines = [f"{'kernel':8}{'passed':>8}{'failed':>8}{'seconds':>9}"]
    for result in results:
        verdict = result.error or ("ok" if result.ok else "FAILED")
        lines.append(f"{result.kernel:8}{result.passed:8}{result.failed:8}{result.seconds:9.0f}  {verdict}")
    # At the end of a long log, they are found.
    lines[:0] = [f"on {result.kernel}: {result.failures}" for result in results if result.failures]
    return "\n".join(lines)
