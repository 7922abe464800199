//! What `POST /query` takes and what not.

use serde_json::{Value, json};

use super::{
    ask, base64,
    query::{COMMANDS, OUTPUT, STOP, start, started},
    refusal,
};
use crate::support::server::TestServer;

#[tokio::test]
async fn the_limits_are_those_of_the_other_door() {
    let server =
        TestServer::with_config(&format!("[limits]\nbody = \"300 KiB\"\noutput = \"1 KiB\"\npending = 1\n{COMMANDS}"))
            .await;
    let answer = start(&server, "raw", Some(&base64(&"x".repeat(96_000)))).await;
    assert!(refusal(&answer).contains("at most 96000 fit the environment"), "{answer}");
    assert_eq!(answer["errors"][0]["extensions"]["code"], "invalid-inputs");
    let answer = start(&server, "raw", Some(&base64(&"x".repeat(301 << 10)))).await;
    assert!(refusal(&answer).contains("limits.body allows 307200"), "{answer}");
    let answer = start(&server, "sleep", Some(&base64("{\"seconds\": \"x\"}"))).await;
    assert!(refusal(&answer).contains("/seconds"), "{answer}");
    let id = started(&server, "raw", None).await;
    server.wait_running(&id).await;
    let answer =
        ask(&server, OUTPUT, json!({"id": id, "value": base64(&format!("{{\"a\":\"{}\"}}", "x".repeat(1100)))})).await;
    assert!(refusal(&answer).contains("limits.output allows 1024"), "{answer}");
    // Only one may wait.
    let later = server.client().post(server.url("/v1/definitions/exit/instances?delay=1h")).json(&json!({}));
    assert_eq!(later.send().await.unwrap().status(), 201);
    let full = start(&server, "exit", None).await;
    assert!(refusal(&full).starts_with("the queue is full"), "{full}");
    assert_eq!(full["errors"][0]["extensions"]["code"], "queue-full");
    ask(&server, STOP, json!({ "id": id })).await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_as_on_every_route() {
    let server = TestServer::start().await;
    let send = async |kind: &str, body: String| {
        let request = server.client().post(server.url("/query")).header("content-type", kind).body(body);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let (status, problem) = send("application/json", "{".into()).await;
    assert_eq!((status, &problem["type"]), (400, &json!("/problems/malformed-request")));
    assert_eq!(send("text/plain", "{}".into()).await.0, 415);
    assert_eq!(send("application/graphql", "{ a }".into()).await.0, 415);
    assert_eq!(send("application/json", " ".repeat(2 << 20)).await.0, 413);
    assert_eq!(server.client().get(server.url("/query")).send().await.unwrap().status(), 400, "no WebSocket");
    for (body, said) in [
        ("{}", "must have `query`"),
        ("[{\"query\":\"{ __typename }\"}]", "send one operation a request"),
        ("{\"query\":\"{ __typename }\",\"variables\":[]}", "`variables` is an object"),
    ] {
        let (status, problem) = send("application/json", body.to_owned()).await;
        assert_eq!((status, &problem["type"]), (422, &json!("/problems/invalid-request")));
        assert!(problem["errors"][0]["detail"].as_str().is_some_and(|detail| detail.contains(said)), "{problem}");
    }
    for (body, said) in [
        (json!({"query": "{"}).to_string(), "expected"),
        (json!({"query": "{ nothing }"}).to_string(), "Unknown field \"nothing\""),
    ] {
        let (status, answer) = send("application/json", body).await;
        assert_eq!(status, 200);
        assert!(refusal(&answer).contains(said), "{answer}");
    }
}

/// What the usual tools ask to learn a schema.
const INTROSPECTION: &str = "query IntrospectionQuery { __schema { queryType { name } mutationType { name } \
    types { ...FullType } directives { name locations args { ...InputValue } } } } \
    fragment FullType on __Type { kind name description fields(includeDeprecated: true) { name args { ...InputValue } \
    type { ...TypeRef } isDeprecated } inputFields { ...InputValue } interfaces { ...TypeRef } enumValues { name } \
    possibleTypes { ...TypeRef } } fragment InputValue on __InputValue { name type { ...TypeRef } defaultValue } \
    fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name \
    ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";

#[tokio::test]
async fn a_query_is_bounded_and_the_schema_can_be_asked_for() {
    let server = TestServer::start().await;
    let known = ask(&server, INTROSPECTION, json!({})).await;
    assert_eq!(known.get("errors"), None, "{}", known["errors"]);
    assert_eq!(known["data"]["__schema"]["queryType"]["name"], "Query");
    let list = "taskInstances(organizationSlug: \"o\", deployID: \"d\", taskID: \"sleep\") { id }";
    let lists = |n: usize| (0..n).map(|n| format!("l{n}: {list} ")).collect::<String>();
    assert_eq!(ask(&server, &format!("{{ {} }}", lists(4)), json!({})).await.get("errors"), None);
    let deep = "{ __schema { types { fields { type { ofType { ofType { ofType { ofType { ofType { ofType { ofType { ofType \
        { ofType { ofType { ofType { ofType { name } } } } } } } } } } } } } } } }";
    let doubled = "{ ...A ...A } fragment A on Query { ...B ...B } fragment B on Query { ...C ...C } fragment C on Query { \
        ...D ...D } fragment D on Query { ...E ...E } fragment E on Query { a: __typename b: __typename c: __typename \
        d: __typename e: __typename f: __typename g: __typename h: __typename i: __typename j: __typename k: __typename \
        l: __typename m: __typename n: __typename o: __typename p: __typename }";
    let cycle = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }";
    let directives = format!("{{ __typename {} }}", "@include(if: true) ".repeat(9));
    let starts =
        (0..17).map(|n| format!("s{n}: taskStop(taskInstanceID: \"1\") {{ taskInstanceID }} ")).collect::<String>();
    for (what, query) in [
        ("complex", format!("{{ {} }}", lists(5))),
        ("deep", deep.to_owned()),
        ("repeats itself", cycle.to_owned()),
        ("directives", directives),
        ("aliases", format!("mutation {{ {starts} }}")),
        ("brackets", "{a".repeat(30_000)),
    ] {
        let answer = ask(&server, &query, json!({})).await;
        assert!(answer["errors"].is_array() && answer["data"].is_null(), "{what}: {answer}");
    }
    let begun = std::time::Instant::now();
    ask(&server, doubled, json!({})).await;
    assert!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());
}
