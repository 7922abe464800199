//! What a page of commands cannot show: every form of `?wait`, and what comes while nothing happens.

use super::session::Session;

#[tokio::test]
async fn docs_every_form_of_wait() {
    let mut session = Session::start().await;
    for (form, is_waited_for) in
        [("wait", true), ("wait=30", true), ("wait=30s", true), ("wait=2m", true), ("wait=0", false)]
    {
        let line = format!("curl --json '{{\"seconds\":0.3}}' 'localhost:8080/v1/definitions/sleep/instances?{form}'");
        let ran = session.run(&line).await;
        assert_eq!(ran.printed.contains("\"status\":\"completed\""), is_waited_for, "{line}\n{}", ran.printed);
    }
    let refused = session.run("curl -H 'Accept: text/plain' 'localhost:8080/v1/instances/1?wait=soon'").await;
    assert!(refused.printed.contains("wait") && refused.printed.lines().count() == 1, "{}", refused.printed);
}

#[tokio::test]
async fn docs_an_empty_line_comes_while_nothing_happens() {
    let mut session = Session::start().await;
    let line =
        "curl -sN --max-time 20 -H 'Accept: application/x-ndjson' 'localhost:8080/v1/events?task_id=sleep'; echo $?";
    let ran = session.run(line).await;
    assert!(ran.printed.ends_with("28\n"), "{}", ran.printed);
    let lines: Vec<&str> = ran.printed.lines().collect();
    let (end, lines) = lines.split_last().expect("the exit code");
    assert_eq!(*end, "28");
    assert!(lines.contains(&""), "no heartbeat: {lines:?}");
    for line in lines.iter().filter(|line| !line.is_empty()) {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}
