//! A store full of done instances against a small one: requests to both in turn, the time until it is ready, memory.

use std::{net::SocketAddr, path::Path};

use serde::Deserialize;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use taskwright::domain::cursor;

use crate::{
    Failure,
    client::{self, Caller, Request},
    daemon::{self, Daemon},
    floor,
    table::{median, millis, thousands},
};

const SETTINGS: &str = "[retention]\nage = \"forever\"\n";
const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;
/// Not a million: the step of a test run that looks whether all of this works.
const MANY_QUICK: u32 = 100_000;
const RESTARTS: usize = 5;

/// Of the small store's p50.
const SLOWER: f64 = 1.5;
const READY_MS: f64 = 300.0;
const RESIDENT_MB: f64 = 120.0;

/// Prints the report to standard output.
pub(crate) fn report(quick: bool) -> Result<(), Failure> {
    let (many, times) = if quick { (MANY_QUICK, 50) } else { (MANY, 200) };
    println!("\nmillion: {} done instances against {}, medians of {times} requests", thousands(many.into()), FEW);
    eprintln!("million: filling the stores");
    let small = filled(FEW)?;
    let mut large = filled(many)?;

    println!("{:<44} {:>12} {:>12}", "p50 in ms", thousands(FEW.into()), thousands(many.into()));
    let mut slower = Vec::new();
    {
        let (mut to_small, mut to_large) = (Caller::open(small.address)?, Caller::open(large.address)?);
        let of_small = requests(small.address, FEW, &mut to_small)?;
        let of_large = requests(large.address, many, &mut to_large)?;
        for (ours, theirs) in of_small.iter().zip(&of_large) {
            eprintln!("million: {}", ours.what);
            let (mut few, mut many) = (Vec::new(), Vec::new());
            for _ in 0..times {
                few.push(millis(to_small.time(ours.request(small.address))?));
                many.push(millis(to_large.time(theirs.request(large.address))?));
            }
            let (few, many) = (median(few), median(many));
            println!("{:<44} {few:>12.3} {many:>12.3}", ours.what);
            slower.push((ours.what, many / few));
        }
    }
    for (what, times) in slower {
        floor::at_most(what, times, SLOWER, "times");
    }
    floor::at_most("memory (RSS) after all of these", resident(large.pid())?, RESIDENT_MB, "MB");

    let mut ready = Vec::new();
    for _ in 0..RESTARTS {
        large = large.restart()?;
        ready.push(millis(large.ready_after));
    }
    floor::at_most("ready after a restart", median(ready), READY_MS, "ms");
    small.stop()?;
    large.stop()
}

/// One request that is sent many times, and what its answer must hold.
struct Measured {
    what: &'static str,
    bytes: Vec<u8>,
    status: u16,
    contains: &'static str,
}

impl Measured {
    fn request(&self, to: SocketAddr) -> Request<'_> {
        Request { to, bytes: &self.bytes, status: self.status, contains: Some(self.contains) }
    }
}

/// The requests to a store of `instances`. The pages are as long in the small one: each list finds as many there.
fn requests(to: SocketAddr, instances: u32, caller: &mut Caller) -> Result<Vec<Measured>, Failure> {
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    let middle = instances / 2;
    let id = serde_json::from_str::<Id>(&caller.get(&format!("/v1/instances/{middle}"))?)?.id;
    let last_page = cursor::encode("", 51);
    let all = "pending,running,completed,failed,cancelled";
    let get = |what, contains, path: String| Measured { what, bytes: client::get(to, &path), status: 200, contains };
    let sleep = r#"{"task_id":"sleep","inputs":{"seconds":0}}"#;
    let post = |what, contains, path| Measured { what, bytes: client::post(to, path, sleep), status: 201, contains };
    let list = |what, contains, query: &str| get(what, contains, format!("/v1/instances?{query}"));
    Ok(vec![
        list("list, the newest 50", r#""number""#, "limit=50"),
        list("list by task", r#""task_id":"import""#, "task_id=import&limit=50"),
        list("list by status", r#""status":"failed""#, "status=failed&limit=20"),
        list("list by task and status", r#""status":"failed""#, "task_id=import&status=failed&limit=4"),
        list(
            "list by task and all statuses",
            r#""task_id":"import""#,
            &format!("task_id=import&status={all}&limit=50"),
        ),
        list("list by label", r#""nightly":"yes""#, "label=nightly:yes&limit=50"),
        list("list by time, the last hour", r#""number""#, "created_after=-1h&limit=50"),
        list("list, the last page", r#""number":1,"#, &format!("limit=50&cursor={last_page}")),
        get("get by id", r#""status""#, format!("/v1/instances/{id}")),
        get("get by number", r#""status""#, format!("/v1/instances/{middle}")),
        post("start, durable", r#""task_id":"sleep""#, "/v1/instances"),
        post("start, claim and finish (?wait)", r#""status":"completed""#, "/v1/instances?wait=10"),
    ])
}

/// A daemon on a store of so many done instances.
fn filled(instances: u32) -> Result<Daemon, Failure> {
    let folder = Daemon::configured(SETTINGS)?.shut_down()?;
    let store = daemon::store(folder.path());
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(fill(&store, instances))?;
    daemon::fsck(folder.path())?;
    Daemon::start_in(folder, SETTINGS.to_owned())
}

/// What an instance of a number is: four tasks by the hundred; of each hundred two failed and one was cancelled; one of
/// each twenty has a label. In either store as long passes from one to the next: three days in the full one.
const INSTANCES: &str = "
    CREATE TEMP TABLE made AS
    WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :instances)
    SELECT n, CASE n % 100 WHEN 0 THEN 3 WHEN 1 THEN 3 WHEN 2 THEN 4 ELSE 2 END AS status,
        :now - 60000000 - (:instances - n) * 259200 AS at,
        CASE n / 100 % 4 WHEN 0 THEN 'import' WHEN 1 THEN 'mail' WHEN 2 THEN 'resize' ELSE 'sleep' END AS task_id
    FROM n;

    INSERT INTO labels (key, value, number) SELECT 'nightly', 'yes', n FROM made WHERE n % 20 = 0;

    INSERT INTO instances (number, id, task_id, workload, status, ready, priority, attempt, max_attempts, version, batch,
        progress, error, retry_delay, run_at, created_at, started_at, finished_at, updated_at, labels, node, inputs, output)
    SELECT n, unhex(printf('%012x7000%04x%012x', at / 1000, 0x8000, n)), task_id, 0, status, 0, 0, status <> 4, 1, 3,
        (1 << 40) + n, iif(status = 2, 1.0, 0.0),
        iif(status = 3, '{\"kind\":\"exit\",\"exit_code\":1,\"message\":\"ended with exit code 1\",\"attempt\":1}', NULL),
        1000000, at, at, iif(status <> 4, at + 500, NULL), at + 500 + n % 977 * 100, at + 500 + n % 977 * 100,
        iif(n % 20 = 0, '{\"nightly\":\"yes\"}', NULL), iif(status <> 4, 'bench', NULL),
        printf('{\"seconds\":0,\"row\":%d}', n), iif(status = 2, printf('{\"result\":%d}', n * 7), NULL)
    FROM made;

    INSERT INTO minutes (minute, task_id, completed, failed, cancelled)
    SELECT 9223372036854775807, task_id, sum(status = 2), sum(status = 3), sum(status = 4) FROM made GROUP BY task_id;

    DROP TABLE made;
";

/// Counts what happened when, as for a store from before there were counters.
fn counters() -> Result<&'static str, Failure> {
    let migration = include_str!("../../migrations/sqlite/0002_counters.sql");
    let from = migration.find("CREATE TABLE tops").ok_or("the migration counts nothing")?;
    let to = migration.find("-- Whoever deletes").filter(|to| *to > from).ok_or("the migration has another end")?;
    Ok(&migration[from..to])
}

async fn fill(store: &Path, instances: u32) -> Result<(), Failure> {
    // A crash in the middle would lose all of it, and the benchmark with it.
    let mut connection: SqliteConnection = SqliteConnectOptions::new()
        .filename(store)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .pragma("cache_size", "-200000")
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
        .connect()
        .await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros();
    let made = INSTANCES.replace(":instances", &instances.to_string()).replace(":now", &now.to_string());
    let all = format!("BEGIN; {made} {} COMMIT;", counters()?);
    sqlx::raw_sql(AssertSqlSafe(all)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Resident memory of a process, in MB.
fn resident(pid: u32) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("a status without VmRSS")?;
    Ok(value.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0 / 1e6)
}
