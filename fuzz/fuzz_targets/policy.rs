//! libFuzzer's way into `fuzz::policy`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::begin(), |bytes: &[u8]| fuzz::policy::run(bytes));
