//! tracer-cli
