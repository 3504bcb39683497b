// SPDX-License-Identifier: Apache-2.0 OR MIT
//! On 6.12 always, on 6.1 and 7 in the full tier.

pub(crate) mod all_probes;
mod faults;
mod flood;
mod many;
pub(crate) mod reuse;
