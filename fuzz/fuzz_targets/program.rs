//! See `claw_fuzz::program`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| claw_fuzz::program(data));
