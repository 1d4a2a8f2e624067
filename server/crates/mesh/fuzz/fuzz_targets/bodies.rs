//! Chunked bodies as they arrive: in pieces, cut anywhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| http1::fuzz_invariants::bodies(bytes));
