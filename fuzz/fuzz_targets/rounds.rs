//! See `laws::rounds`.
#![no_main]

#[path = "../laws.rs"]
// The file has the laws of all targets; this one uses its own.
#[allow(dead_code)]
mod laws;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| laws::rounds(bytes));
