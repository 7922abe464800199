//! The contract as an OpenAPI 3.1 document, for `/openapi.yaml`, `/openapi.json` and `taskwright openapi`.
//!
//! Tests hold it against the table of routes, against the file `openapi.yaml` at the top level, and against what the
//! server really answers.

mod operations;
mod parameters;
mod schemas;

use std::sync::{LazyLock, OnceLock};

use ::http::StatusCode;
use bytes::Bytes;
use utoipa::openapi::{
    Components, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, ServerBuilder,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::{Response, accept::Media, call::Call, problem::Problem, reply};

const ABOUT: &str = "Starts, watches and stops tasks: Rust handlers that are compiled in, and programs in any language.\n\n\
    An instance is one run of a task. `{id}` is its UUID or its short number. Every refusal is an RFC 9457 problem. \
    Durations are a number of seconds or a text such as `30s` or `2h`; answers give seconds. Times are RFC 3339 in UTC. \
    DELETE asks for a stop and keeps the record. \
    `?pretty` indents the JSON of any answer.";

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(document);

/// The document as YAML.
pub fn document_yaml() -> String {
    yaml_of(&DOCUMENT)
}

/// The document as JSON.
pub fn document_json() -> String {
    json_of(&DOCUMENT)
}

fn yaml_of(document: &OpenApi) -> String {
    document.to_yaml().expect("the document holds only what YAML can express")
}

fn json_of(document: &OpenApi) -> String {
    let mut text = document.to_pretty_json().expect("the document holds only what JSON can express");
    text.push('\n');
    text
}

fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Taskwright")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build()))
        .build();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token that is configured under [[tokens]]; needed once one is."))
        .build();
    let mut components = Components::new();
    components.schemas = schemas::all();
    components.responses = operations::refusals();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url("/").build()]))
        .paths(operations::all())
        .components(Some(components))
        .build()
}

/// The document as one server answers it: with its base path. Made once, since making it takes milliseconds, and
/// everybody may ask for it as often as he likes.
#[derive(Default)]
pub(super) struct Served {
    yaml: OnceLock<Bytes>,
    json: OnceLock<Bytes>,
}

/// The document for those who ask this server.
fn served(call: &Call, text: fn(&OpenApi) -> String) -> Bytes {
    let mut document = DOCUMENT.clone();
    if !call.base_path().is_empty() {
        document.servers = Some(vec![ServerBuilder::new().url(call.base_path()).build()]);
    }
    text(&document).into()
}

/// `GET /openapi.yaml`
pub(super) async fn yaml(call: &mut Call) -> Result<Response, Problem> {
    call.query(&[])?;
    let text = call.app.document().yaml.get_or_init(|| served(call, yaml_of)).clone();
    Ok(reply::with_body(StatusCode::OK, Media::Yaml, text))
}

/// `GET /openapi.json`
pub(super) async fn json(call: &mut Call) -> Result<Response, Problem> {
    call.query(&[])?;
    let text = call.app.document().json.get_or_init(|| served(call, json_of)).clone();
    Ok(reply::with_body(StatusCode::OK, Media::Json, text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::http::{render, routes};

    fn parsed() -> Value {
        serde_json::from_str(&document_json()).expect("JSON")
    }

    #[test]
    fn the_document_lists_exactly_the_routes_that_there_are() {
        let document = parsed();
        let documented: BTreeSet<String> = document["paths"]
            .as_object()
            .expect("paths")
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().expect("an item").keys();
                methods.map(move |method| format!("{} {path}", method.to_uppercase()))
            })
            .collect();
        let routed: BTreeSet<String> = routes().map(|(path, method)| format!("{method} {path}")).collect();
        assert_eq!(documented, routed);
    }

    #[test]
    fn every_answer_is_described_and_every_schema_there() {
        let text = document_json();
        let document = parsed();
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let responses = document["components"]["responses"].as_object().expect("responses");
        for (place, known) in [("#/components/schemas/", schemas), ("#/components/responses/", responses)] {
            for piece in text.split(place).skip(1) {
                let name = piece.split('"').next().unwrap_or_default();
                assert!(known.contains_key(name), "{name}");
            }
        }
        for operation in
            document["paths"].as_object().expect("paths").values().flat_map(|item| item.as_object()).flatten()
        {
            for (status, answer) in operation.1["responses"].as_object().expect("responses") {
                if answer.get("$ref").is_some() {
                    continue;
                }
                assert!(
                    answer["description"].as_str().is_some_and(|text| !text.is_empty()),
                    "{} {status}",
                    operation.0
                );
            }
        }
    }

    #[test]
    fn an_instance_has_the_members_that_its_schema_promises() {
        let document = parsed();
        let promised = |name: &str| -> BTreeSet<String> {
            let properties = document["components"]["schemas"][name]["properties"].as_object().expect("properties");
            properties.keys().cloned().collect()
        };
        let written = |write: &dyn Fn(&mut Vec<u8>)| -> BTreeSet<String> {
            let mut out = Vec::new();
            write(&mut out);
            let value: Value = serde_json::from_slice(&out).expect("JSON");
            value.as_object().expect("an object").keys().cloned().collect()
        };
        let instance = render::tests::started();
        assert_eq!(promised("Instance"), written(&|out| render::instance(out, &instance, None)));
        assert_eq!(promised("Summary"), written(&|out| render::summary(out, &instance, None)));
        assert_eq!(promised("InstanceEvent"), written(&|out| render::event(out, &instance, None)));
    }
}
