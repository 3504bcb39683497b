// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The metadata filter: programs are run over the memory of a made-up kernel.

mod errors;
mod events;
mod machine;
mod programs;
mod random;
