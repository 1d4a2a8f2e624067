//! Heads of any size: neither the work nor what is sent on grows faster than they do.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mesh::fuzz_invariants::large_heads(bytes));
