//! libFuzzer's way into `fuzz::remote_write`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::begin(), |bytes: &[u8]| fuzz::remote_write::run(bytes));
