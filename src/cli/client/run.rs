//! `run`: start and follow.

use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    absence::Absence,
    exit_code::{INTERRUPTED, TERMINATED, TIMED_OUT},
    log_lines::{self, Style},
    outcome::{self, Until},
    output,
    progress::{self, Shower},
    session::{self, Session},
    start, times,
};
use crate::{
    cli::{
        ansi,
        args::client::{Format, Run},
        failure::{FAILURE, Failure},
        runtime,
    },
    client::{Image, LogSlice},
    domain::Status,
};

pub(super) fn run(run: Run) -> Result<(), Failure> {
    let mut session = Session::open(&run.common)?;
    let until = Until::after(session::optional_duration("--timeout", run.timeout.as_deref())?);
    let base = run.inputs.base()?;
    runtime()?.block_on(async {
        let asked = start::request(&session, &run.task, (base.as_ref(), &run.inputs.pairs), &run.options);
        let request = until.bound("nothing was started", asked).await?;
        if run.dry_run {
            return start::check(&session, &request).await;
        }
        // From here on a signal is ours: the task must not be left without a word.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
        let begun = start::begin(&session, &request, run.options.key.as_deref());
        let image = until.bound("the daemon has not said whether it was started", begun).await?.image;
        if session.output.format == Format::Id {
            output::stream(format!("{}\n", image.id).as_bytes())?;
        }
        let id = image.id.to_string();
        if session.output.is_table() {
            session.say(&format!("started {}  {id}", image.number));
        }
        session.bar = progress::bar(session.output);
        let style = Style {
            timestamps: run.timestamps,
            as_json: false,
            to_stderr: matches!(session.output.format, Format::Json | Format::Jsonl),
        };
        let left = tokio::select! {
            shown = follow(&session, &id, style) => Err(shown),
            _ = interrupt.recv() => Ok(INTERRUPTED),
            _ = terminate.recv() => Ok(TERMINATED),
            () = over(until) => Ok(TIMED_OUT),
        };
        session.bar.finish_and_clear();
        match left {
            Err(followed) => {
                followed?;
                finish(&session, &id).await
            }
            Ok(code) if run.stop_on_interrupt => {
                let goes_on = || session.say(&format!("taskwright: {0} may go on. Stop it: taskwright stop {0}", image.number));
                tokio::select! {
                    stopped = stop(&session, &id) => if let Err(failure) = stopped {
                        session.say(&format!("taskwright: {}", failure.message));
                        goes_on();
                    },
                    _ = interrupt.recv() => goes_on(),
                    _ = terminate.recv() => goes_on(),
                }
                Err(Failure::silent(code))
            }
            Ok(code) => {
                let number = image.number;
                let why = if code == TIMED_OUT { "the time is over; " } else { "" };
                session.say(&format!("taskwright: {why}{number} goes on. Follow it: taskwright logs -f {number}. Stop it: taskwright stop {number}"));
                Err(Failure::silent(code))
            }
        }
    })
}

fn no_signals(error: std::io::Error) -> Failure {
    Failure::new(FAILURE, format!("cannot wait for signals: {error}"))
}

async fn over(until: Until) {
    match until.left() {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}

/// The log and the progress, to the end of both.
async fn follow(session: &Session, id: &str, style: Style) -> Result<(), Failure> {
    // One absence is told once: by the progress, which is always there.
    let mut of_log = Absence::new(session).known().quiet();
    let shows_log = !matches!(session.output.format, Format::Id | Format::None);
    let log = async {
        if !shows_log {
            return Ok(());
        }
        log_lines::follow(session, id, LogSlice { from: Some(1), ..LogSlice::default() }, &mut of_log, |raw| {
            // Nobody may read the log any more; how it ends is still worth an exit code.
            style.print(session, raw).map(|_| output::Reader::There)
        })
        .await
    };
    let (log, image) = tokio::join!(log, follow_image(session, id));
    log.and(image)
}

/// Shows every change until the instance is done.
async fn follow_image(session: &Session, id: &str) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Event {
        data: Image,
    }
    let mut absence = Absence::new(session).known();
    let mut shower = Shower::new(session);
    loop {
        let mut lines = match session.client.instance_events(id).await {
            Ok(lines) => lines,
            Err(error) => {
                absence.outlast(&error).await?;
                continue;
            }
        };
        absence.met();
        loop {
            let next = tokio::select! {
                next = lines.next() => next,
                () = tokio::time::sleep(shower.due()) => {
                    shower.remind();
                    continue;
                }
            };
            match next {
                Ok(Some(line)) => {
                    let Event { data } = log_lines::read(session, &String::from_utf8_lossy(&line))?;
                    let status = data.status;
                    shower.show(data);
                    if status.is_done() {
                        return Ok(());
                    }
                }
                // The daemon ends, or has lost us.
                Ok(None) => {
                    absence.too_soon().await;
                    break;
                }
                Err(error) => {
                    absence.outlast(&error).await?;
                    break;
                }
            }
        }
    }
}

/// The result, and how it ended.
async fn finish(session: &Session, id: &str) -> Result<(), Failure> {
    let shown = outcome::done(session, id).await?;
    let image = &shown.image;
    match session.output.format {
        Format::Table => {
            if let Some(result) = image.result_text() {
                let result = if session.output.is_terminal { ansi::lines_for_terminal(&result, false) } else { result };
                output::stream(format!("{result}\n").as_bytes())?;
            }
            if image.status == Status::Completed {
                let took = times::ran(image).map(|ran| format!(" in {}", times::span(ran))).unwrap_or_default();
                session.say(&format!("completed {}{took}", image.number));
            }
        }
        Format::Json | Format::Jsonl => _ = output::stream(shown.answer.text().as_bytes())?,
        Format::Id | Format::None => {}
    }
    outcome::ended(image)
}

/// Stops it and waits for its end.
async fn stop(session: &Session, id: &str) -> Result<(), Failure> {
    session.say("taskwright: stopping the task; once more to leave it");
    let mut absence = Absence::new(session).known();
    // A stop may be said twice: whether the first arrived makes no difference.
    while let Err(error) = session.client.stop(id, None, false).await {
        absence.outlast(&error).await?;
    }
    let shown = outcome::done(session, id).await?;
    session.say(&format!("taskwright: {} is {}", shown.image.number, shown.image.status));
    Ok(())
}
