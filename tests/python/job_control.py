# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Plays a shell with job control on a terminal: starts tracer with a command that reads lines, types to it, stops both with
Ctrl-Z, lets them go on, and interrupts them with Ctrl-C.

Arguments: the program, and the file of events."""

import os
import pty
import select
import signal
import sys

PATIENCE = 120
COMMAND = "while read -r line; do echo \"got $line\"; done"


def shell(program: str, path: str, to_parent: int, from_parent: int) -> None:
    """Runs tracer as a job; what becomes of it is told through the pipe."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execv(program, [program, "collect", "-p", "ip_rcv", "-o", path, "--cmd", COMMAND])
    while True:
        _, status = os.waitpid(job, os.WUNTRACED)
        os.tcsetpgrp(0, os.getpgrp())
        if not os.WIFSTOPPED(status):
            os.write(to_parent, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
        os.write(to_parent, b"stopped\n")
        os.read(from_parent, 1)
        os.tcsetpgrp(0, job)
        os.killpg(job, signal.SIGCONT)


def wait_for(descriptor: int, wanted: str, seen: str = "") -> str:
    """Reads until the text is there; returns what came."""
    while wanted not in seen:
        if not select.select([descriptor], [], [], PATIENCE)[0]:
            sys.exit(f"waited in vain for {wanted!r}: {seen!r}")
        seen += os.read(descriptor, 4096).decode()
    return seen


def main() -> None:
    told, tell = os.pipe()
    proceed, go_on = os.pipe()
    child, terminal = pty.fork()
    if child == 0:
        shell(sys.argv[1], sys.argv[2], tell, proceed)
    wait_for(terminal, "ready")
    os.write(terminal, b"one\n")
    wait_for(terminal, "got one")
    os.write(terminal, b"\x1a")
    wait_for(told, "stopped")
    os.write(go_on, b"x")
    os.write(terminal, b"two\n")
    wait_for(terminal, "got two")
    os.write(terminal, b"\x03")
    wait_for(told, "ended 0")
    wait_for(terminal, "SIGINT")
    print("all well")


if __name__ == "__main__":
    main()
