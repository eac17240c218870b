//! libFuzzer's way into `fuzz::wal`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::begin(), |bytes: &[u8]| fuzz::wal::run(bytes));
