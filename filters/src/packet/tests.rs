// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Our eBPF, run in rbpf, against libpcap's own interpreter; and what is said of bad texts.

mod bad_texts;
mod differential;
mod machine;
mod packets;
mod random_programs;
mod steer;
mod stored;
mod translation;
