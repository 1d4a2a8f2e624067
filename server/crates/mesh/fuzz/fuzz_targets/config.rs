//! Objects of a cluster and words of a control plane, as the routes are made from them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mesh::fuzz_invariants::config(bytes));
