//! A web application with the task server inside: its own routes start a task and tell how far it is, and the whole task
//! API stands beside them under `/tasks`.
//!
//! ```sh
//! cargo run --example embed_in_axum -- 127.0.0.1:3000
//! curl --json '{"rows":2000}' 127.0.0.1:3000/reports          # {"report":1}
//! curl 127.0.0.1:3000/reports/1                                # {"progress":0.4,"result":null,"status":"running"}
//! curl -X DELETE 127.0.0.1:3000/reports/1
//! curl --json '{}' '127.0.0.1:3000/tasks/v1/definitions/disk-free/instances?wait'
//! ```

use std::{error::Error, process::ExitCode, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use taskwright::{
    Server, ServerHandle, TaskController, TaskError, TaskHandler, TaskOptions,
    axum::{
        Json, Router,
        extract::{Path, State},
        http::StatusCode,
        response::{IntoResponse, Response},
        routing::{get, post},
    },
    engine::{CommandTask, EngineError, InvalidCommand},
};
use tokio::net::TcpListener;

/// Which report is wanted.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    rows: u32,
}

/// A report, as the output of its task.
#[derive(Serialize, JsonSchema)]
pub struct Report {
    rows: u32,
    sum: u64,
}

/// Makes a report, which takes longer than a request should.
pub struct MakeReport;

impl TaskHandler for MakeReport {
    const ID: &'static str = "make-report";
    // Another process may have died in the middle: it is made again.
    const OPTIONS: TaskOptions = TaskOptions::new().max_attempts(3);
    type Input = Wanted;
    type Output = Report;

    async fn run(&self, wanted: Wanted, task: TaskController) -> Result<Report, TaskError> {
        let mut sum = 0;
        for row in 1..=wanted.rows {
            if task.should_stop() {
                return Err(TaskError::stopped());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            sum += u64::from(row);
            task.set_progress_with(f64::from(row) / f64::from(wanted.rows), &format!("row {row}"))?;
        }
        Ok(Report { rows: wanted.rows, sum })
    }
}

/// The task server of this application: a handler and a command.
pub fn tasks(server: Server) -> Result<Server, InvalidCommand> {
    let disk_free = CommandTask::new("disk-free", ["df", "-h", "."])?;
    Ok(server.register_task(MakeReport).command(disk_free))
}

/// The application's own routes, and the task API under `/tasks`.
pub fn app(tasks: ServerHandle) -> Router {
    Router::new()
        .route("/reports", post(start))
        .route("/reports/{id}", get(show).delete(stop))
        .nest("/tasks", tasks.router())
        .with_state(tasks)
}

async fn start(State(tasks): State<ServerHandle>, Json(wanted): Json<Wanted>) -> Result<Response, Refused> {
    let instance = tasks.run_task(MakeReport::ID, wanted).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "report": instance.number() }))).into_response())
}

async fn show(State(tasks): State<ServerHandle>, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    // One image: status, progress and result of the same moment.
    let report = tasks.get_task_instance(id).await?.get().await?;
    Ok(Json(json!({
        "status": report.status(),
        "progress": report.progress.value(),
        "result": report.output,
    })))
}

async fn stop(State(tasks): State<ServerHandle>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    tasks.stop_task_instance(id).await?;
    Ok(StatusCode::ACCEPTED)
}

/// What the task server refuses, in this application's own terms.
struct Refused(EngineError);

impl From<EngineError> for Refused {
    fn from(error: EngineError) -> Self {
        Refused(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            EngineError::UnknownInstance(_) => StatusCode::NOT_FOUND,
            EngineError::InvalidInputs { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, format!("{}\n", self.0)).into_response()
    }
}

async fn serve(address: &str, store: Option<String>) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = store.map_or_else(Server::temporary, Server::at);
    let tasks = tasks(server)?.mounted_at(&format!("{url}/tasks")).start().await?;
    println!("listening on {url}");
    let stopping = tasks.clone();
    taskwright::axum::serve(listener, app(tasks))
        .with_graceful_shutdown(async move {
            let _ = tokio::signal::ctrl_c().await;
            // Clients can still read while running tasks end.
            if let Err(error) = stopping.shutdown().await {
                eprintln!("{error}");
            }
        })
        .await?;
    Ok(())
}

fn main() -> ExitCode {
    // Before the runtime: commands are started by this very program.
    taskwright::init();
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let ended = tokio::runtime::Runtime::new()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(serve(&address, arguments.next())));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
