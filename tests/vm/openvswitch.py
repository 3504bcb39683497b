# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Open vSwitch in the cache, never installed: Debian's own build, which has no USDT probes, and a newer one that is built with
them from its source package.

An installation's folder is `openvswitch/BUILD/VERSION/` with the programs in `bin` and `vswitch.ovsschema` in `share`.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import debian
from cache import Failure, cache, locked, say

# By the variable that tells the guest where an installation is.
BUILDS = {"TRACER_OVS_DEBIAN": "debian", "TRACER_OVS_USDT": "usdt"}

# Each with its folder in the build tree.
PROGRAMS = {
    "ovs-vswitchd": "vswitchd", "ovsdb-server": "ovsdb", "ovsdb-tool": "ovsdb", "ovsdb-client": "ovsdb",
    "ovs-vsctl": "utilities", "ovs-ofctl": "utilities", "ovs-appctl": "utilities", "ovs-dpctl": "utilities",
}


def get(build: str, update: bool = False) -> Path:
    """The folder of an installation; made when the cache has none, or with `update` when Debian has a newer version."""
    home = cache() / "openvswitch" / build
    if update or not debian.newest(home):
        with locked("openvswitch"):
            # Another run may have brought it while this one waited.
            if update or not debian.newest(home):
                {"debian": unpack_debian, "usdt": build_usdt}[build](home)
    return debian.newest(home)[0]


def environment() -> dict[str, str]:
    """What tells the guest where the installations are."""
    return {variable: str(get(build)) for variable, build in BUILDS.items()}


def unpack_debian(home: Path) -> None:
    """Of this machine's own suite: the libraries that it needs are those that `setup.sh` installs."""
    apt = debian.apt_for(platform.freedesktop_os_release()["VERSION_CODENAME"])
    packages = ["openvswitch-common", "openvswitch-switch"]
    offers = [(version, [f"{package}={version}" for package in packages])
              for version in debian.versions(packages[0], apt)]

    def make(work: Path) -> None:
        for package in work.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, work / "all"], check=True)
        found = {path.name: path for path in (work / "all").rglob("*") if path.is_file() and not path.is_symlink()}
        keep(work, [found[program] for program in PROGRAMS], found["vswitch.ovsschema"])

    debian.bring("Open vSwitch", home, offers, apt, make)


def build_usdt(home: Path) -> None:
    """Of sid: older suites' sources leave the mirrors."""
    apt = debian.apt_for("sid", sources=True)
    offers = [(version, [f"openvswitch={version}"]) for version in debian.versions("openvswitch", apt)]
    debian.bring("Open vSwitch's source", home, offers, apt, compile_source, ("source", "--download-only"))


def compile_source(work: Path) -> None:
    archive = next(work.glob("*.orig.tar.*"))
    source = work / "source"
    source.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", source, "--strip-components=1"], check=True)
    # Its own configure is there, made by another automake than this machine may have: in this order, none is asked for.
    for names in (["aclocal.m4"], ["Makefile.in", "config.h.in", "configure"]):
        stamp = max(path.stat().st_mtime_ns for path in source.iterdir()) + 1_000_000_000
        for name in names:
            os.utime(source / name, ns=(stamp, stamp))
    say(f"building Open vSwitch with USDT probes ({archive.name}): a minute or two")
    log = work / "log"

    def run(*command: str) -> None:
        with log.open("ab") as output:
            if subprocess.run(command, cwd=source, stdout=output, stderr=subprocess.STDOUT).returncode:
                sys.stderr.write("".join(log.read_text(errors="replace").splitlines(keepends=True)[-40:]))
                raise Failure(f"`{' '.join(command)}` failed in the source of Open vSwitch")

    run("./configure", "--quiet", "--enable-usdt-probes", "--disable-ssl", "--disable-libcapng", "--disable-shared",
        "CFLAGS=-O2")
    make = ["make", f"-j{os.cpu_count()}", *(f"{tool}=:" for tool in ("AUTOMAKE", "ACLOCAL", "AUTOCONF", "AUTOHEADER"))]
    # Headers that others include: the makefile makes them first only where it makes everything.
    (source / "generated.mk").write_text("include Makefile\ngenerated: $(BUILT_SOURCES)\n")
    run(*make, "-f", "generated.mk", "generated")
    schema = "vswitchd/vswitch.ovsschema"
    run(*make, schema, *(f"{folder}/{program}" for program, folder in PROGRAMS.items()))
    keep(work, [source / folder / program for program, folder in PROGRAMS.items()], source / schema)


def keep(work: Path, programs: list[Path], schema: Path) -> None:
    """Puts an installation together."""
    for folder, files in (("bin", programs), ("share", [schema])):
        (work / "tree" / folder).mkdir(parents=True)
        for file in files:
            shutil.copy2(file, work / "tree" / folder)
