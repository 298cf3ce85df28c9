//! See `claw_fuzz::drop`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| claw_fuzz::drop(data));
