#![no_main]
//! Negative control: holds that no body is ever an object with a member, which the fuzzer must refute within seconds.

use taskwright::domain::json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let compact = json::compact_bytes(bytes);
    assert!(!compact.is_ok_and(|text| text.starts_with("{\"")), "it is one");
});
