//! tracer-profiles
