//! See `claw_fuzz::session_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| claw_fuzz::session_log(data));
