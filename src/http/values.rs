//! `GET …/status`, `…/progress`, `…/output`, `…/result`: one thing each, also for scripts without a JSON reader.

use ::http::{HeaderValue, StatusCode, header::RETRY_AFTER};

use super::{
    Response,
    accept::Media,
    call::Call,
    prefer::Wait,
    problem::{Kind, Problem},
    query::{Parameter, flag},
    render, reply,
};
use crate::domain::{Outcome, Phase};

const FORMS: [Media; 2] = [Media::Json, Media::Text];
const WAIT: &[Parameter] = &[flag("wait")];

/// `{"status":"running"}` or `running`.
pub async fn status(call: &mut Call) -> Result<Response, Problem> {
    let key = call.key()?;
    call.query(&[])?;
    let media = call.accept_for(key, &FORMS).await?;
    let instance = call.engine().instance(key).await?;
    let status = instance.status();
    let body = match media {
        Media::Text => format!("{status}\n"),
        _ => format!("{{\"status\":\"{status}\"}}\n"),
    };
    Ok(reply::fresh(StatusCode::OK, media, body))
}

/// `{"progress":0.5,"message":null}` or `0.5`.
pub async fn progress(call: &mut Call) -> Result<Response, Problem> {
    let key = call.key()?;
    call.query(&[])?;
    let media = call.accept_for(key, &FORMS).await?;
    let instance = call.engine().instance(key).await?;
    let body = reply::json(|out| match media {
        Media::Text => render::value(out, &instance.progress.value()),
        _ => {
            out.extend_from_slice(b"{\"progress\":");
            render::value(out, &instance.progress.value());
            out.extend_from_slice(b",\"message\":");
            render::value(out, &instance.progress.message);
            out.push(b'}');
        }
    });
    Ok(reply::fresh(StatusCode::OK, media, body))
}

/// The bare output; `null` before there is one.
pub async fn output(call: &mut Call) -> Result<Response, Problem> {
    let key = call.key()?;
    call.query(&[])?;
    let media = call.accept_for(key, &FORMS).await?;
    let instance = call.engine().instance(key).await?;
    let output = instance.output.as_ref().map_or("null", |output| output.as_str());
    Ok(reply::fresh(StatusCode::OK, media, bare(output, media)))
}

/// The bare result once the instance is completed; 202 before, 409 if it ended in another way.
pub async fn result(call: &mut Call) -> Result<Response, Problem> {
    let key = call.key()?;
    let wait = Wait::of(&call.query(WAIT)?, call.headers())?;
    let media = call.accept_for(key, &FORMS).await?;
    let instance = call.settled(key, wait.time).await?;
    let ended = |kind, detail: String| {
        Problem::new(kind, detail).instance_id(instance.id.to_string()).task_id(&instance.task_id)
    };
    let mut response = match &instance.phase {
        Phase::Done { outcome: Outcome::Completed, .. } => {
            let result = instance.output.as_ref().map_or("null", |output| output.result().get());
            reply::fresh(StatusCode::OK, media, bare(result, media))
        }
        Phase::Done { outcome: Outcome::Failed(error), .. } => {
            return Err(ended(Kind::TaskFailed, "the task failed".to_owned()).error(Some(error)));
        }
        Phase::Done { outcome: Outcome::Cancelled, .. } => {
            return Err(ended(Kind::TaskCancelled, "the task was stopped before it had a result".to_owned()));
        }
        Phase::Pending | Phase::Running => {
            let body = match media {
                Media::Text => format!("{}\n", instance.status()).into_bytes(),
                _ => {
                    let reason = call.engine().pending_reason(&instance);
                    reply::json(|out| render::summary(out, &instance, reason))
                }
            };
            let mut response = reply::fresh(StatusCode::ACCEPTED, media, body);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    };
    wait.tell(&mut response);
    Ok(response)
}

/// A JSON text and a newline; as plain text a string loses its quotes.
fn bare(json: &str, media: Media) -> String {
    let mut text = match media {
        Media::Text if json.starts_with('"') => serde_json::from_str(json).unwrap_or_else(|_| json.to_owned()),
        _ => json.to_owned(),
    };
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strings_are_bare_in_plain_text() {
        assert_eq!(bare(r#""a\"b""#, Media::Text), "a\"b\n");
        assert_eq!(bare(r#""a""#, Media::Json), "\"a\"\n");
        assert_eq!(bare(r#"{"a":"b"}"#, Media::Text), "{\"a\":\"b\"}\n");
        assert_eq!(bare("1e400", Media::Text), "1e400\n");
    }
}
