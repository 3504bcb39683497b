# SPDX-License-Identifier: Apache-2.0 OR MIT
# Everything is built with --release, so that one build serves the demo, the tests and the benchmarks.

VM := tests/vm/vm.py
KERNEL ?= 6.12
FUZZ_SECONDS ?= 30

.NOTPARALLEL:
.PHONY: help setup build demo test test-all bench vm-test fuzz lint unit

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: ## install missing packages and tools, download missing kernels, build Open vSwitch
	tests/vm/setup.sh
	$(VM) fetch

build: ## build target/release/tracer
	cargo build --release

demo: setup ## trace the first ping through Open vSwitch in a virtual machine
	$(VM) demo

test: setup lint unit ## what CI runs: lints, unit tests, a little fuzzing, quick tests on four kernels, instruction counts
	tests/fuzz/fuzz.py --seconds 12
	$(VM) matrix --tier quick
	$(VM) bench

test-all: setup lint unit fuzz ## like test, with every functional test on every kernel that it is made for
	$(VM) matrix --tier full
	$(VM) bench

bench: setup ## count the instructions of a hit
	$(VM) bench

vm-test: ## run functional tests on one kernel: make vm-test KERNEL=6.1 T=survives_clone
	$(VM) test $(KERNEL) -- $(T)

fuzz: setup ## feed random bytes to what reads files and packets, FUZZ_SECONDS each: make fuzz FUZZ_SECONDS=600
	tests/fuzz/fuzz.py --seconds $(FUZZ_SECONDS)

lint:
	cargo fmt --all --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --release -- -D warnings

# The functional tests need root and a kernel of their own: they run in the virtual machines only.
unit:
	cargo test --release --workspace --exclude tracer-tests
	cargo test --release -p tracer-tests --lib --bins
