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
    busybox-static dpkg file kmod python3 python3-venv qemu-system-x86 xz-utils zstd
    # what the tests run in the guest
    ethtool iproute2 iputils-ping netbase nftables procps socat tcpdump
    # what the text of packets is compared with
    tshark
)

installed=$(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null |
    sed -n 's/^installed //p') || true
missing=$(comm -23 <(printf '%s\n' "${packages[@]}" | sort -u) <(sort -u <<<"$installed"))

if [[ -n $missing ]]; then
    echo "setup: installing" $missing >&2
    root=()
    [[ $(id -u) -eq 0 ]] || root=(sudo)
    apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
    # A third-party source that is down must not stop us; what is really missing fails in the next step.
    "${apt[@]}" update || echo "setup: apt-get update failed, going on with the lists there are" >&2
    "${apt[@]}" install --yes --no-install-recommends $missing >/dev/null
fi

exec python3 "$(dirname "$0")/vm.py" tools
