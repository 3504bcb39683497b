//! tracer-collectors
