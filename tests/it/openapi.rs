//! `openapi.yaml` at the top level is what the code says.

use std::{env, fs};

#[test]
fn the_checked_in_contract_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml");
    let generated = taskwright::http::openapi::document_yaml();
    if env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(path, &generated).unwrap();
    }
    let checked_in = fs::read_to_string(path).unwrap_or_default();
    assert!(checked_in == generated, "openapi.yaml is not what the code says: run the tests with UPDATE_OPENAPI=1");
}
