#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dezky_fuzz::source(bytes));
