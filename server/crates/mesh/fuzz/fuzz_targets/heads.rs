//! Bytes of a client or of an upstream, as a sidecar's parsers meet them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mesh::fuzz_invariants::heads(bytes));
