//! libFuzzer's way into `fuzz::otlp`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::begin(), |bytes: &[u8]| fuzz::otlp::run(bytes));
