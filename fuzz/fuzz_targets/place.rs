//! See `claw_fuzz::place`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| claw_fuzz::place(data));
