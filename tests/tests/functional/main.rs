// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs the program on real kernels. `tests/vm/README.md` says how, and on which kernel the tests of each module run.

mod everywhere;
mod full;
mod legacy;
mod locked;
mod long;
mod verifier;
