// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The engine of `tracer`: it knows no collector by name.

pub mod collector;
pub mod companion;
pub mod error;
pub mod event;
pub mod filter;
pub mod kernel;
pub mod overview;
pub mod probe;
pub mod session;
pub mod similar;
