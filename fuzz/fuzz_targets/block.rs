//! libFuzzer's way into `fuzz::block`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::begin(), |bytes: &[u8]| fuzz::block::run(bytes));
