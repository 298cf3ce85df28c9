//! See `claw_fuzz::json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| claw_fuzz::json(data));
