//! libFuzzer's way into `fuzz::families`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::begin(), |bytes: &[u8]| fuzz::families::run(bytes));
