//! See `laws::frame`.
#![no_main]

#[path = "../laws.rs"]
#[allow(dead_code, reason = "the file has the laws of all targets; this one uses its own")]
mod laws;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| laws::frame(bytes));
