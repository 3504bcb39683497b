#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 OR MIT
# Installs what building and testing need: Debian packages that are missing, and the Python tools of the test bed.
# Does nothing, quickly, when all of it is there.
set -euo pipefail

packages=(
    # eBPF C, its bindings, and the C libraries that are linked statically
    bpftool clang g++ gcc libc6-dev libclang-dev libelf-dev libpcap-dev llvm make pkg-config zlib1g-dev
    # libelf's own build, for libbpf-sys
    autoconf automake autopoint bison flex gawk gettext libtool
    # the virtual machines and the kernels in them
    busybox-static dpkg file kmod python3 python3-venv xz-utils zstd
    # what the tests run in the guest
    ethtool iproute2 iputils-ping netbase nftables procps socat tcpdump
    # Open vSwitch: libraries of Debian's build, and what builds the one with USDT probes. Itself it is only unpacked: installed,
    # its daemons would start on this machine.
    libcap-ng0 libnuma1 libunbound8 libxdp1 systemtap-sdt-dev
    # what the text of packets is compared with
    tshark
)

# QEMU before 8.1 may run an instruction that another emulated processor has already changed: guests died of an int3 that
# was no longer there, when probes came and went and sometimes while booting. Backports have a newer one.
qemu=qemu-system-x86 qemu_since=1:8.1

root=()
[[ $(id -u) -eq 0 ]] || root=(sudo)
apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)

update() { # apt's options
    # A third-party source that is down must not stop us; what is really missing fails in the next step.
    "${apt[@]}" "$@" update || echo "setup: apt-get update failed, going on with the lists there are" >&2
}

install() { # apt's options and packages
    echo "setup: installing" "$@" >&2
    "${apt[@]}" install --yes --no-install-recommends "$@" >/dev/null
}

version_of() { # package, as installed; "0" when it is not
    dpkg-query --show --showformat '${db:Status-Status} ${Version}' "$1" 2>/dev/null | sed -n 's/^installed //p' | grep . || echo 0
}

# Backports are no source of this machine's apt; they are one for these two calls only.
install_backport() { # package
    local suite mirror sources
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME-backports")
    mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' | sed -n 's/^Debian //p' | head -n 1)
    sources=$(mktemp -d)
    chmod 755 "$sources"
    find /etc/apt/sources.list.d -type f \( -name '*.list' -o -name '*.sources' \) -exec cp {} "$sources" \;
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$sources/backports.list"
    update -o "Dir::Etc::SourceParts=$sources"
    install -o "Dir::Etc::SourceParts=$sources" --target-release "$suite" "$1"
    rm -rf "$sources"
}

installed=$(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null |
    sed -n 's/^installed //p') || true
missing=$(comm -23 <(printf '%s\n' "${packages[@]}" | sort -u) <(sort -u <<<"$installed"))

if [[ -n $missing ]]; then
    update
    install $missing
fi
if dpkg --compare-versions "$(version_of $qemu)" lt $qemu_since; then
    [[ -n $missing ]] || update
    candidate=$(apt-cache policy $qemu | sed -n 's/^  Candidate: //p')
    if dpkg --compare-versions "$candidate" ge $qemu_since; then
        install $qemu
    else
        install_backport $qemu
    fi
fi

exec python3 "$(dirname "$0")/vm.py" tools
