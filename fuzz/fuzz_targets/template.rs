//! libFuzzer's way into `fuzz::template`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::begin(), |bytes: &[u8]| fuzz::template::run(bytes));
