//! libFuzzer's way into `fuzz::config`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::begin(), |bytes: &[u8]| fuzz::config::run(bytes));
