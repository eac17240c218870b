//! libFuzzer's way into `fuzz::query`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::begin(), |bytes: &[u8]| fuzz::query::run(bytes));
