//! libFuzzer's way into `fuzz::segment`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::begin(), |bytes: &[u8]| fuzz::segment::run(bytes));
