# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Debian kernels, unpacked into the cache and never installed.

A kernel's folder is `kernels/SERIES/VERSION/` with `boot/vmlinuz-RELEASE`, `boot/config-RELEASE` and the modules in
`lib/modules/RELEASE` or `usr/lib/modules/RELEASE`: the layout from which virtme-ng finds everything by itself.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import debian
from cache import Failure, cache, locked


@dataclass(frozen=True)
class Series:
    """Where a kernel series comes from. The first group of `image` is the kernel's release without `-amd64`."""

    suite: str
    image: str
    others: tuple[str, ...] = ()


# The patterns leave out the variants (cloud, rt) and the backports of a newer series.
SERIES = {
    "5.10": Series("bullseye", r"linux-image-(5\.10\.0-\d+)-amd64-unsigned"),
    "6.1": Series("bookworm", r"linux-image-(6\.1\.0-\d+)-amd64-unsigned"),
    "6.12": Series("trixie", r"linux-image-(6\.12\.\d+\+deb13[.\d]*)-amd64-unsigned"),
    # sid splits a kernel in three packages; unsigned twins of the image have another name.
    "7": Series("sid", r"linux-binary-(7\.[\d.]+[+\w.]*)-amd64", ("linux-modules-{}-amd64", "linux-base-{}-amd64")),
}


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel."""

    series: str
    folder: Path
    release: str

    @property
    def image(self) -> Path:
        """The file to boot."""
        return self.folder / "boot" / f"vmlinuz-{self.release}"

    def __str__(self) -> str:
        return f"{self.series}: {self.release} (Debian {self.folder.name})"


def cached(series: str) -> Kernel | None:
    """The newest kernel of a series in the cache."""
    if series not in SERIES:
        raise Failure(f"unknown kernel `{series}`: the choices are {', '.join(SERIES)}")
    for folder in debian.newest(cache() / "kernels" / series):
        for image in folder.glob("boot/vmlinuz-*"):
            return Kernel(series, folder, image.name.removeprefix("vmlinuz-"))
    return None


def get(series: str, update: bool = False) -> Kernel:
    """The kernel of a series, downloaded when the cache has none, or with `update` when Debian has a newer one."""
    kernel = cached(series)
    if kernel and not update:
        return kernel
    with locked("kernels"):
        # Another run may have brought it while this one waited.
        kernel = cached(series)
        if not kernel or update:
            download(series)
            kernel = cached(series)
    if not kernel:
        raise Failure(f"the package of kernel {series} holds no image where one is expected")
    return kernel


def candidates(series: str, environment: dict[str, str]) -> list[tuple[str, list[str]]]:
    """Versions on offer, each with its packages as `name=version`."""
    source = SERIES[series]
    names = subprocess.run(["apt-cache", "pkgnames", "linux-"], check=True, env=environment,
                           capture_output=True, text=True).stdout.split()
    found = []
    for name in names:
        match = re.fullmatch(source.image, name)
        if not match:
            continue
        packages = [name, *(other.format(match[1]) for other in source.others)]
        found += [(version, [f"{package}={version}" for package in packages])
                  for version in debian.versions(name, environment)]
    return found


def download(series: str) -> None:
    """Brings the newest kernel of a series into the cache."""
    suite = SERIES[series].suite
    environment = debian.apt_for(suite)
    offers = candidates(series, environment)
    if not offers:
        raise Failure(f"no package of kernel {series} in Debian {suite}")
    debian.bring(f"kernel {series}", cache() / "kernels" / series, offers, environment, unpack)


def unpack(work: Path) -> None:
    """Unpacks the downloaded packages of one kernel to `tree`, in the layout that virtme-ng understands."""
    tree = work / "tree"
    for package in work.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, tree], check=True)
    modules = next(tree.glob("**/lib/modules/*/kernel")).parent
    release = modules.name
    boot = tree / "boot"
    boot.mkdir(exist_ok=True)
    # Newer packages have image and config beside the modules.
    for name in ("vmlinuz", "config"):
        if not (boot / f"{name}-{release}").exists():
            (modules / name).rename(boot / f"{name}-{release}")
    depmod = shutil.which("depmod", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    subprocess.run([depmod or "depmod", "-b", modules.parent.parent.parent, release], check=True)
    shutil.rmtree(tree / "usr/share", ignore_errors=True)
