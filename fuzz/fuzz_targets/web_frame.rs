//! See `claw_fuzz::web_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| claw_fuzz::web_frame(data));
