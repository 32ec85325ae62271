#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| topreward_fuzz::sqlite(data));
