# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Debian kernels, unpacked into the cache and never installed.

A kernel's folder is `kernels/SERIES/VERSION/` with `boot/vmlinuz-RELEASE`, `boot/config-RELEASE` and the modules in
`lib/modules/RELEASE` or `usr/lib/modules/RELEASE`: the layout from which virtme-ng finds everything by itself.
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cache import Failure, cache, locked, say


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


def version_key(version: str) -> list[int]:
    """Orders Debian versions of one source package, whose letters are the same throughout."""
    return [int(number) for number in re.findall(r"\d+", version)]


def cached(series: str) -> Kernel | None:
    """The newest kernel of a series in the cache."""
    if series not in SERIES:
        raise Failure(f"unknown kernel `{series}`: the choices are {', '.join(SERIES)}")
    for folder in sorted((cache() / "kernels" / series).glob("[0-9]*"), key=lambda f: version_key(f.name), reverse=True):
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


def debian_sites(lists_option: list[str]) -> dict[str, str]:
    """The addresses of this machine's Debian mirrors, by the label of what they hold."""
    targets = subprocess.run(
        ["apt-get", *lists_option, "indextargets", "--format", "$(LABEL)\t$(REPO_URI)"],
        check=True, capture_output=True, text=True).stdout
    return dict(line.split("\t", 1) for line in targets.splitlines() if line.startswith("Debian"))


def apt_for(suite: str) -> dict[str, str]:
    """Sets up an apt of our own for one suite, with this machine's mirrors; returns the environment that uses it."""
    root = cache() / "apt" / suite
    for folder in ("lists/partial", "cache/archives/partial", "machine/partial"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    sites = debian_sites([])
    if "Debian" not in sites:
        # An image without apt's lists: fetch them to a place of our own, the machine's stay as they are.
        own = ["-o", f"Dir::State::Lists={root}/machine"]
        subprocess.run(["apt-get", *own, "-qq", "update"], check=True)
        sites = debian_sites(own)
    if "Debian" not in sites:
        raise Failure("apt knows no Debian mirror: is this a Debian machine with apt sources?")
    keyrings = sorted(Path("/usr/share/keyrings").glob("debian-archive-keyring.*"))
    options = "target=Packages" + (f" signed-by={keyrings[0]}" if keyrings else "")
    lines = [f"deb [{options}] {sites['Debian']} {suite} main"]
    if suite != "sid" and "Debian-Security" in sites:
        lines.append(f"deb [{options}] {sites['Debian-Security']} {suite}-security main")
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
        # A suite that has moved to the archive in part still has kernels in the other part.
        say(f"apt-get update failed for Debian {suite}, going on with what there is")
    return environment


def candidates(series: str, environment: dict[str, str]) -> list[tuple[str, list[str]]]:
    """Versions on offer, newest first, each with its packages as `name=version`."""
    source = SERIES[series]
    names = subprocess.run(["apt-cache", "pkgnames", "linux-"], check=True, env=environment,
                           capture_output=True, text=True).stdout.split()
    found = []
    for name in names:
        match = re.fullmatch(source.image, name)
        if not match:
            continue
        table = subprocess.run(["apt-cache", "madison", name], check=True, env=environment,
                               capture_output=True, text=True).stdout
        versions = {line.split("|")[1].strip() for line in table.splitlines()}
        packages = [name, *(other.format(match[1]) for other in source.others)]
        found += [(version, [f"{package}={version}" for package in packages]) for version in versions]
    return sorted(found, key=lambda candidate: version_key(candidate[0]), reverse=True)


def download(series: str) -> None:
    """Brings the newest kernel of a series into the cache."""
    home = cache() / "kernels" / series
    home.mkdir(parents=True, exist_ok=True)
    environment = apt_for(SERIES[series].suite)
    offers = candidates(series, environment)
    if not offers:
        raise Failure(f"no package of kernel {series} in Debian {SERIES[series].suite}")
    # What an interrupted run has left.
    for leftover in home.glob("tmp-*"):
        shutil.rmtree(leftover)
    # An index can be ahead of, or behind, the files of a mirror: then an older version serves as well.
    for version, packages in offers[:3]:
        if (home / version).exists():
            say(f"kernel {series} {version} is the newest")
            return
        work = Path(tempfile.mkdtemp(prefix="tmp-", dir=home))
        try:
            say(f"downloading {shlex.join(packages)}")
            if subprocess.run(["apt-get", "-qq", "download", *packages], cwd=work, env=environment).returncode:
                say(f"kernel {version} can't be downloaded")
                continue
            unpack(work)
            # The rename makes it visible, complete, at once.
            (work / "tree").rename(home / version)
            return
        finally:
            shutil.rmtree(work, ignore_errors=True)
    raise Failure(f"kernel {series}: none of the newest packages could be downloaded")


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
