//! libFuzzer's way into `fuzz::rules`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::begin(), |bytes: &[u8]| fuzz::rules::run(bytes));
