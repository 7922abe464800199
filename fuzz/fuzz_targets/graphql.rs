#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| taskwright::http::fuzzing::graphql(bytes));
