// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tracer`, with all collectors of this project.

use std::process::ExitCode;

// Collectors register themselves; without being named here they would not be linked.
use tracer_collectors as _;

fn main() -> ExitCode {
    tracer_cli::main()
}
