//! `openapi`: the HTTP contract as a document.

use crate::{
    cli::{
        args::operator::{DocumentFormat, Openapi},
        failure::Failure,
        print,
    },
    http,
};

pub(super) fn run(openapi: &Openapi) -> Result<(), Failure> {
    print::all(&match openapi.format {
        DocumentFormat::Yaml => http::openapi::document_yaml(),
        DocumentFormat::Json => http::openapi::document_json(),
    })
}
