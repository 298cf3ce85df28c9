//! See `claw_fuzz::lines`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| claw_fuzz::lines(data));
