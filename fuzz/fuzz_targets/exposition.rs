//! libFuzzer's way into `fuzz::exposition`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::begin(), |bytes: &[u8]| fuzz::exposition::run(bytes));
