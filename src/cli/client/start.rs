//! `start`: one start, and waiting for its end where that is asked for.

use std::{collections::BTreeMap, future::Future, time::Duration};

use super::{
    absence::Absence,
    inputs, last_started,
    outcome::{self, Shown, Until},
    output,
    session::{self, Session},
    times,
};
use crate::{
    cli::{
        args::client::{self, Format, StartOptions},
        failure::{Failure, USAGE},
    },
    client::{Answer, ClientError, Start, calls::new_key},
    domain::Json,
};

/// How long a start whose answer was lost is sent again, with the same key.
const LOST_ANSWER: Duration = Duration::from_secs(60);

pub(super) fn run(verb: client::Start) -> Result<(), Failure> {
    let session = Session::open(&verb.common)?;
    let wait = wait_of(verb.wait.as_deref())?;
    let base = verb.inputs.base()?;
    session.run(async {
        let start = request(&session, &verb.task, (base.as_ref(), &verb.inputs.pairs), &verb.options).await?;
        if verb.dry_run {
            return check(&session, &start).await;
        }
        let shown = begin(&session, &start, verb.options.key.as_deref()).await?;
        match wait {
            None => print(&session, &shown),
            Some(timeout) => {
                if session.output.is_table() || session.output.format == Format::Id {
                    print(&session, &shown)?;
                }
                finish(&session, &[shown.image.number.to_string()], timeout).await
            }
        }
    })
}

/// `--wait[=DURATION]`: whether to wait, and how long at most.
pub(super) fn wait_of(wait: Option<&str>) -> Result<Option<Option<Duration>>, Failure> {
    match wait {
        None => Ok(None),
        Some("forever") => Ok(Some(None)),
        Some(text) => session::duration("--wait", text).map(|timeout| Some(Some(timeout))),
    }
}

/// Waits for what was started, and prints how it ended.
pub(super) async fn finish(session: &Session, ids: &[String], timeout: Option<Duration>) -> Result<(), Failure> {
    outcome::all_done(session, ids, Until::after(timeout), |shown| {
        if session.output.format == Format::Id {
            return Ok(());
        }
        outcome::print(session, shown)?;
        match shown.image.result_text() {
            Some(result) if session.output.is_table() && ids.len() == 1 => {
                output::stream(format!("{result}\n").as_bytes()).map(drop)
            }
            _ => Ok(()),
        }
    })
    .await
}

/// The start that the command line asks for.
pub(super) async fn request(
    session: &Session,
    task: &str,
    (base, pairs): (Option<&Json>, &[String]),
    options: &StartOptions,
) -> Result<Start, Failure> {
    if task.is_empty() {
        return Err(Failure::new(USAGE, "the TASK is empty: give its id or name; taskwright tasks lists them"));
    }
    let pair = |label: &String| {
        let label = times::label_of(label);
        let (key, value) = label.split_once(':').unwrap_or((&label, ""));
        (key.to_owned(), value.to_owned())
    };
    let options = options.clone();
    Ok(Start {
        task_id: Some(task.to_owned()),
        inputs: inputs::of_start(session, task, base, pairs).await?,
        labels: options.label.iter().map(pair).collect::<BTreeMap<_, _>>(),
        priority: options.priority,
        max_attempts: options.max_attempts,
        retry_delay: options.retry_delay,
        timeout: options.task_timeout,
        queue_timeout: options.queue_timeout,
        delay: options.delay,
        run_at: options.run_at,
    })
}

/// `--dry-run`.
pub(super) async fn check(session: &Session, start: &Start) -> Result<(), Failure> {
    let answer = session.client.check_start(start).await.map_err(|error| session.failure(&error))?;
    let text = match session.output.format {
        Format::Table => "valid\n",
        Format::Json | Format::Jsonl => answer.text(),
        Format::Id | Format::None => "",
    };
    output::stream(text.as_bytes()).map(drop)
}

/// Starts it and remembers it as the last.
pub(super) async fn begin(session: &Session, start: &Start, key: Option<&str>) -> Result<Shown, Failure> {
    let key = key.map_or_else(new_key, str::to_owned);
    let answer = keyed(session, || session.client.start(start, &key)).await?;
    let shown = Shown::of(session, answer)?;
    last_started::remember(session, shown.image.id);
    Ok(shown)
}

/// Sends a request that has an Idempotency-Key, and again where its answer was lost: nothing is done twice.
pub(super) async fn keyed<F>(session: &Session, send: impl Fn() -> F) -> Result<Answer, Failure>
where
    F: Future<Output = Result<Answer, ClientError>>,
{
    let mut absence = Absence::of(session, LOST_ANSWER);
    loop {
        match send().await {
            Ok(answer) => {
                absence.met();
                return Ok(answer);
            }
            Err(error) => {
                if matches!(error, ClientError::Broken { .. } | ClientError::Timeout { .. }) {
                    // It was there: the request may have arrived.
                    absence = absence.known();
                }
                absence.outlast(&error).await?;
            }
        }
    }
}

/// Says what was started.
pub(super) fn print(session: &Session, shown: &Shown) -> Result<(), Failure> {
    let image = &shown.image;
    let text = match session.output.format {
        Format::Table => format!("started {}  {}\n", image.number, image.id),
        Format::Json | Format::Jsonl => shown.answer.text().to_owned(),
        Format::Id => format!("{}\n", image.id),
        Format::None => String::new(),
    };
    output::stream(text.as_bytes()).map(drop)
}
