# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Packages of any Debian suite, brought into the cache and never installed."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Callable

from cache import Failure, cache, say


def version_key(version: str) -> list[int]:
    """Orders Debian versions of one source package, whose letters are the same throughout."""
    return [int(number) for number in re.findall(r"\d+", version)]


def newest(home: Path) -> list[Path]:
    """What is in the cache under this folder, by version, newest first."""
    return sorted(home.glob("[0-9]*"), key=lambda folder: version_key(folder.name), reverse=True)


def sites(lists_option: list[str]) -> dict[str, str]:
    """The addresses of this machine's Debian mirrors, by the label of what they hold."""
    targets = subprocess.run(
        ["apt-get", *lists_option, "indextargets", "--format", "$(LABEL)\t$(REPO_URI)"],
        check=True, capture_output=True, text=True).stdout
    return dict(line.split("\t", 1) for line in targets.splitlines() if line.startswith("Debian"))


def apt_for(suite: str, sources: bool = False) -> dict[str, str]:
    """Sets up an apt of our own for the packages of one suite, or for their `sources`, with this machine's mirrors; returns
    the environment that uses it."""
    root = cache() / "apt" / (f"{suite}-sources" if sources else suite)
    for folder in ("lists/partial", "cache/archives/partial", "machine/partial"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    mirrors = sites([])
    if "Debian" not in mirrors:
        # An image without apt's lists: fetch them to a place of our own, the machine's stay as they are.
        own = ["-o", f"Dir::State::Lists={root}/machine"]
        subprocess.run(["apt-get", *own, "-qq", "update"], check=True)
        mirrors = sites(own)
    if "Debian" not in mirrors:
        raise Failure("apt knows no Debian mirror: is this a Debian machine with apt sources?")
    keyrings = sorted(Path("/usr/share/keyrings").glob("debian-archive-keyring.*"))
    kind, target = ("deb-src", "Sources") if sources else ("deb", "Packages")
    options = f"target={target}" + (f" signed-by={keyrings[0]}" if keyrings else "")
    lines = [f"{kind} [{options}] {mirrors['Debian']} {suite} main"]
    if suite != "sid" and "Debian-Security" in mirrors:
        lines.append(f"{kind} [{options}] {mirrors['Debian-Security']} {suite}-security main")
    (root / "sources.list").write_text("\n".join(lines) + "\n")
    (root / "status").touch()
    (root / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in {
        "Dir::Etc::SourceList": root / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": root / "lists",
        "Dir::State::status": root / "status",
        "Dir::Cache": root / "cache",
        "Acquire::Retries": 3,
        # apt's own user may not write into a home directory.
        "APT::Sandbox::User": "root",
    }.items()))
    environment = {**os.environ, "APT_CONFIG": str(root / "apt.conf"), "LC_ALL": "C"}
    if subprocess.run(["apt-get", "-qq", "update"], env=environment).returncode:
        # A suite that has moved to the archive in part still has packages in the other part.
        say(f"apt-get update failed for Debian {suite}, going on with what there is")
    return environment


def versions(package: str, environment: dict[str, str]) -> set[str]:
    """The versions of a package on offer."""
    table = subprocess.run(["apt-cache", "madison", package], check=True, env=environment,
                           capture_output=True, text=True).stdout
    return {line.split("|")[1].strip() for line in table.splitlines()}


def bring(what: str, home: Path, offers: list[tuple[str, list[str]]], environment: dict[str, str],
          make: Callable[[Path], None], command: tuple[str, ...] = ("download",)) -> None:
    """Brings the newest of the `offers` (versions, each with its packages as `name=version`) into the cache, as a folder in `home`
    named by its version. `make` turns the downloaded packages in a folder into `tree` in it."""
    home.mkdir(parents=True, exist_ok=True)
    # What an interrupted run has left.
    for leftover in home.glob("tmp-*"):
        shutil.rmtree(leftover)
    # An index can be ahead of, or behind, the files of a mirror: then an older version serves as well.
    for version, packages in sorted(offers, key=lambda offer: version_key(offer[0]), reverse=True)[:3]:
        if (home / version).exists():
            say(f"{what} {version} is the newest")
            return
        work = Path(tempfile.mkdtemp(prefix="tmp-", dir=home))
        try:
            say(f"downloading {shlex.join(packages)}")
            if subprocess.run(["apt-get", "-qq", *command, *packages], cwd=work, env=environment).returncode:
                say(f"{what} {version} can't be downloaded")
                continue
            make(work)
            # The rename makes it visible, complete, at once.
            (work / "tree").rename(home / version)
            return
        finally:
            shutil.rmtree(work, ignore_errors=True)
    raise Failure(f"{what}: none of the newest packages could be downloaded")
