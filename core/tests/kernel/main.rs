// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel is made of, read from made-up trees of `/proc` and `/sys`.

mod btf;
mod btf_builder;
mod fake_kernel;
mod inspect;
mod members;
mod overview;
mod resolve;
