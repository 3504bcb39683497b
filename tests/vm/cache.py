# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The cache outside the work tree: the place of kernels, Python tools and the folders of running machines."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent


class Failure(Exception):
    """Something the user has to be told; ends the command with exit status 1."""


def cache() -> Path:
    """The cache directory, made when it is missing."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(os.environ.get("TRACER_CACHE") or Path(base) / "tracer").absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path


def say(text: str) -> None:
    """A message of ours: on stderr, because stdout belongs to the command in the guest."""
    print(f"vm: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(name: str):
    """Holds a lock that two runs at the same time compete for. The kernel releases it when its holder dies."""
    with open(cache() / f"{name}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that holds the lock on {name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tools() -> Path:
    """The virtual environment with the Python tools, built when it is missing. Its key is what is in it."""
    requirements = HERE / "requirements.txt"
    # Debian's own interpreter: it is the one that the package python3-venv belongs to.
    python = "/usr/bin/python3"
    key = hashlib.sha256(requirements.read_bytes() + os.path.realpath(python).encode()).hexdigest()[:12]
    venv = cache() / f"venv-{key}"
    # A venv can't be moved, so it is built in place; the stamp tells a complete one from an interrupted one.
    stamp = venv / "complete"
    if stamp.exists():
        return venv
    with locked("venv"):
        if not stamp.exists():
            say("installing the Python tools")
            shutil.rmtree(venv, ignore_errors=True)
            subprocess.run([python, "-m", "venv", venv], check=True, stdout=sys.stderr)
            subprocess.run([venv / "bin/pip", "install", "--quiet", "--requirement", requirements],
                           check=True, stdout=sys.stderr)
            stamp.touch()
    return venv
