# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Runs a command as root in a virtual machine that shows this machine's own files (read-only) under another kernel.

QEMU emulates the processor (no KVM: it boots no stock kernel on the build machines). Without udev here the guest has
no ports for a script's output, so a shared folder carries it: the guest appends to the files `stdout` and `stderr` and
leaves the exit status in `status`; this side follows the files while they grow.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Callable

from cache import REPOSITORY, Failure, cache, say, tools
from kernels import Kernel

# A boot takes 10 to 25 s, icount 20 s; what takes this long is stuck.
BOOT_TIMEOUT = 180
# About one boot in a hundred panics before the first command.
BOOT_ATTEMPTS = 3
POLL = 0.05

# Standard input is a pipe that only we hold: when it ends, however we ended (kill -9 included), the machine goes too.
KEEPER = 'exec 3<&0 </dev/null; (read -r _ <&3; kill -KILL 0) & "$@" 3<&-'

# What the guest does first. virtme-ng has mounted proc, sys, dev and made /tmp, /var, /etc and /usr writable overlays.
PROLOGUE = """\
exec >>stdout 2>>stderr </dev/null
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mounted() { grep -q " $1 " /proc/mounts || mount -t "$2" "$2" "$1"; }
mounted /sys/fs/bpf bpf
mounted /sys/kernel/debug debugfs
mounted /sys/kernel/security securityfs
mounted /sys/kernel/tracing tracefs
ip link set lo up
# Each probe that goes waits for the kernel to be out of it: with this, not for a timer. Tests of times take it back.
echo 1 >/sys/kernel/rcu_expedited
"""


class BootFailure(Exception):
    """The guest never reached our script; holds the console's last lines."""


class Echo:
    """Writes to a stream at once; with a label, whole lines only, each behind the label and the time."""

    def __init__(self, stream: BinaryIO, label: str):
        self.stream, self.label, self.start, self.rest = stream, label, time.monotonic(), b""

    def __call__(self, data: bytes) -> None:
        if self.label:
            *lines, self.rest = (self.rest + data).split(b"\n")
            front = f"{self.label:5}{time.monotonic() - self.start:5.0f} s  ".encode()
            data = b"".join(front + line + b"\n" for line in lines)
        self.stream.write(data)
        self.stream.flush()


@dataclass
class Machine:
    """How to start the guest."""

    cpus: int = 2
    memory: str = "3G"
    # Guest time counts instructions: 1 ns each. Needs, and sets, one processor.
    icount: bool = False
    # Two virtio-net cards, eth0 and eth1, wired to each other: veth never exercises a driver's receive path.
    virtio_nic: bool = False
    # Seconds for the command, the boot not included.
    timeout: float = 1800
    environment: dict[str, str] = field(default_factory=dict)
    # Stands, with the time since the start, in front of each line of output: for several machines at once.
    label: str = ""

    def run(self, kernel: Kernel, command: list[str],
            on_stdout: Callable[[bytes], None] | None = None,
            collect: Callable[[Path], None] | None = None) -> int:
        """Runs `command` in the guest and returns its exit status. `on_stdout` sees the output as it comes; `collect`
        sees the shared folder at the end, before it is removed."""
        home = cache() / "run"
        home.mkdir(exist_ok=True)
        for leftover in home.iterdir():
            # Of a run that was killed; none takes a day.
            if leftover.stat().st_mtime < time.time() - 86400:
                shutil.rmtree(leftover, ignore_errors=True)
        for attempt in range(1, BOOT_ATTEMPTS + 1):
            shared = Path(tempfile.mkdtemp(prefix=f"{kernel.series}-", dir=home))
            try:
                status = self._boot(kernel, command, shared, on_stdout)
                if collect:
                    collect(shared)
                return status
            except BootFailure as failure:
                # The command has not begun: nothing of a test is repeated.
                say(f"boot {attempt} of {BOOT_ATTEMPTS} of kernel {kernel.release} failed: {failure}")
            finally:
                shutil.rmtree(shared, ignore_errors=True)
        raise Failure(f"kernel {kernel.release} does not boot")

    def _script(self, kernel: Kernel, command: list[str], shared: Path) -> str:
        environment = {
            **{name: value for name, value in os.environ.items() if name.startswith(("TRACER_", "RUST_"))},
            **self.environment,
            "TRACER_VM_KERNEL": kernel.series,
            "TRACER_VM_OUT": str(shared),
        }
        lines = [f"cd {shlex.quote(str(shared))}", PROLOGUE]
        if self.virtio_nic:
            lines.append("modprobe virtio_net")
        lines += [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
        lines += [
            f"cd {shlex.quote(str(REPOSITORY))}",
            "touch $TRACER_VM_OUT/started",
            shlex.join(command),
            # The rename makes the status visible at once, and it comes after all output: the folder has no cache.
            "echo $? >$TRACER_VM_OUT/status.tmp",
            "mv $TRACER_VM_OUT/status.tmp $TRACER_VM_OUT/status",
        ]
        return "\n".join(lines) + "\n"

    def _arguments(self, kernel: Kernel, shared: Path) -> list[str]:
        arguments = [
            "vng", "--verbose", "--run", str(kernel.image), "--disable-kvm", "--user", "root",
            "--force-9p", "--name", f"vm-{kernel.series.replace('.', '-')}",
            "--cpus", str(1 if self.icount else self.cpus), "--memory", self.memory, "--rwdir", str(shared),
        ]
        if self.icount:
            arguments.append("--qemu-opts=-accel tcg,thread=single -icount shift=0,sleep=off")
        if self.virtio_nic:
            arguments += ["--network", "loop"]
        return [*arguments, "--exec", f"bash {shlex.quote(str(shared / 'script'))}"]

    def _boot(self, kernel: Kernel, command: list[str], shared: Path,
              on_stdout: Callable[[bytes], None] | None) -> int:
        for name in ("stdout", "stderr"):
            (shared / name).touch()
        (shared / "script").write_text(self._script(kernel, command, shared))
        # A session of its own: one signal reaches virtme-ng and QEMU together, and the terminal's Ctrl-C only us.
        # virtme-ng looks for its own parts and for modprobe in PATH.
        path = f"{tools() / 'bin'}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"
        vng = subprocess.Popen(["bash", "-c", KEEPER, "vm", *self._arguments(kernel, shared)],
                               env={**os.environ, "PATH": path}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
        console: deque[bytes] = deque(maxlen=80)
        reader = threading.Thread(target=console.extend, args=(vng.stdout,), daemon=True)
        reader.start()
        try:
            with open(shared / "stdout", "rb") as stdout, open(shared / "stderr", "rb") as stderr:
                return self._follow(vng, shared, stdout, stderr, on_stdout)
        except BootFailure as failure:
            reader.join(timeout=1)
            raise BootFailure(f"{failure}; the console's last lines:\n{_text(console)}") from None
        except Failure as failure:
            reader.join(timeout=1)
            raise Failure(f"{failure}; the console's last lines:\n{_text(console)}") from None
        finally:
            # Nothing in the guest is worth an orderly shutdown.
            try:
                os.killpg(vng.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            vng.wait()

    def _follow(self, vng: subprocess.Popen, shared: Path, stdout: BinaryIO, stderr: BinaryIO,
                on_stdout: Callable[[bytes], None] | None) -> int:
        """Passes the guest's output on until the command has ended."""
        outputs = (stdout, Echo(sys.stdout.buffer, self.label), on_stdout), (stderr, Echo(sys.stderr.buffer, self.label), None)

        def pump() -> None:
            for source, echo, on_data in outputs:
                if data := source.read():
                    echo(data)
                    if on_data:
                        on_data(data)

        started = False
        deadline = time.monotonic() + BOOT_TIMEOUT
        while True:
            # In this order: what was written before the status, or before the end of QEMU, is seen by the last pump.
            gone = vng.poll() is not None
            status = (shared / "status").exists()
            if not started and (shared / "started").exists():
                started = True
                deadline = time.monotonic() + self.timeout
            pump()
            if status:
                return int((shared / "status").read_text())
            if gone:
                status = f"QEMU ended with status {vng.returncode}"
                raise Failure(f"the machine died under the command: {status}") if started else BootFailure(status)
            if time.monotonic() > deadline:
                if started:
                    raise Failure(f"timeout: the command took longer than {self.timeout:g} s")
                raise BootFailure(f"no sign of life after {BOOT_TIMEOUT} s")
            time.sleep(POLL)


def _text(lines: deque[bytes]) -> str:
    return b"".join(lines).decode(errors="replace").replace("\r", "")
