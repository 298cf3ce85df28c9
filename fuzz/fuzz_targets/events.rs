//! See `claw_fuzz::events`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| claw_fuzz::events(data));
