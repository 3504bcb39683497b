#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Builds the fuzz targets with the stable toolchain and runs them for a while, beginning with what the tests have as samples.

    tests/fuzz/fuzz.py [--seconds N] [TARGET ...]
    tests/fuzz/fuzz.py --input FILE TARGET          # run one input, e.g. one that made a target crash
"""

import argparse
import base64
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGETS = ["event_reader", "packet_text"]
TRIPLE = subprocess.run(["rustc", "--print", "host-tuple"], capture_output=True, text=True, check=True).stdout.strip()
BUILT = ROOT / "target" / "fuzz"

# What `cargo fuzz` passes too, as far as stable compilers have it: counters in each basic block, and the operands of comparisons.
FLAGS = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
]


def build():
    environment = dict(os.environ, CARGO_ENCODED_RUSTFLAGS="\x1f".join(FLAGS))
    # With `--target`, build scripts are compiled without the flags.
    command = ["cargo", "build", "--release", "--locked", "--target", TRIPLE, "--target-dir", BUILT]
    subprocess.run(command, cwd=HERE, env=environment, check=True)


def event_files():
    return sorted((ROOT / "tests" / "fixtures").rglob("*.json"))


def packets_of_events():
    for path in event_files():
        for line in path.read_text().splitlines():
            section = json.loads(line).get("packet")
            if section:
                yield section["len"], base64.b64decode(section["data"])


def packets_of_captures():
    for path in sorted((ROOT / "collectors" / "tests" / "packets").glob("*.pcap")):
        capture = path.read_bytes()
        order = "<" if capture[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
        (link_type,) = struct.unpack_from(order + "I", capture, 20)
        if link_type & 0xFFFF != 1:
            continue
        at = 24
        while at + 16 <= len(capture):
            captured, length = struct.unpack_from(order + "II", capture, at + 8)
            yield length, capture[at + 16 : at + 16 + captured]
            at += 16 + captured


def seeds(target):
    """Inputs to begin with."""
    if target == "event_reader":
        for path in event_files():
            lines = path.read_bytes().splitlines(keepends=True)
            yield b"".join(lines[:4])
            yield from lines
            yield b"[" + b",".join(line.strip() for line in lines[-3:]) + b"]\n"
    else:
        for length, packet in [*packets_of_events(), *packets_of_captures()]:
            yield struct.pack(">H", min(max(length - len(packet), 0), 0xFFFF)) + packet


def run(target, seconds):
    corpus, made, crashes = (BUILT / kind / target for kind in ("corpus", "seeds", "crashes"))
    for folder in (corpus, made, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    for old in made.iterdir():
        old.unlink()
    samples = list(seeds(target))
    for number, seed in enumerate(samples):
        (made / f"{number:04}").write_bytes(seed)
    print(f"{target}: begins with {len(samples)} samples", flush=True)
    limits = ["-timeout=20", "-rss_limit_mb=1024", "-max_len=16384"]
    command = [program(target), f"-max_total_time={seconds}", f"-artifact_prefix={crashes}/", "-print_final_stats=1"]
    ended = subprocess.run([*command, *limits, corpus, made], stderr=subprocess.PIPE, text=True, errors="replace")
    if ended.returncode == 0:
        for line in ended.stderr.splitlines():
            if line.startswith("Done ") or "DONE" in line:
                print(f"{target}: {line.strip()}")
        return True
    # What libFuzzer says of its progress on the way is of no use any more.
    print("\n".join(ended.stderr.splitlines()[-60:]), file=sys.stderr)
    inputs = sorted(crashes.iterdir(), key=lambda path: path.stat().st_mtime)
    if inputs:
        print(f"{target} failed; to run it again: tests/fuzz/fuzz.py --input {inputs[-1]} {target}", file=sys.stderr)
    return False


def program(target):
    return BUILT / TRIPLE / "release" / target


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30, help="how long each target runs (default: %(default)s)")
    parser.add_argument("--input", type=Path, help="run just this input")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=" or ".join(TARGETS))
    arguments = parser.parse_args()
    targets = arguments.targets or TARGETS
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    build()
    if arguments.input:
        sys.exit(subprocess.run([program(targets[0]), arguments.input]).returncode)
    if not all([run(target, arguments.seconds) for target in targets]):
        sys.exit(1)


if __name__ == "__main__":
    main()
