//! tracer-tests
