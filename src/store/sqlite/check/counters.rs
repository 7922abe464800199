//! The counters against the instances that they count.

use std::collections::{BTreeMap, HashMap};

use sqlx::{Row, SqliteConnection};

use super::{Kind, each, finding_of_store};
use crate::{
    domain::{Histogram, Micros, Status},
    store::{
        Finding,
        sqlite::{
            codec::status_of,
            counters::{MINUTE, SPANS, histogram_of},
            rollup,
            statement::{Arguments, count, fetch},
        },
    },
};

/// How many rows are read at once.
const PAGE: usize = 4096;

/// One row of `minutes`, or several where they overlap; or the instances that it should tell of.
#[derive(Default)]
struct Told {
    started: i64,
    /// Completed, failed, cancelled.
    done: [i64; 3],
    durations: Histogram,
    gone_started: i64,
    gone_done: [i64; 3],
}

/// Looks for counters that tell something else than there is.
pub(super) async fn check(connection: &mut SqliteConnection, findings: &mut Vec<Finding>) -> Result<(), sqlx::Error> {
    totals(connection, findings).await?;
    let (told, spans) = told(connection, findings).await?;
    let there = there(connection, &spans).await?;
    let mut arguments = Arguments::default();
    arguments.add(rollup::FORGOTTEN)?;
    let forgotten: i64 =
        fetch(connection, rollup::DONE_TO, arguments).await?.first().map_or(Ok(0), |row| row.try_get(0))?;
    let empty = Told::default();
    let mut places: Vec<&(i64, String)> = told.keys().chain(there.keys()).collect();
    places.sort_unstable();
    places.dedup();
    let mut kind = Kind::new(findings, "counters that tell of something else than there is");
    for place in places {
        let (minute, task_id) = place;
        if *minute < forgotten {
            continue;
        }
        let (told, there) = (told.get(place).unwrap_or(&empty), there.get(place).unwrap_or(&empty));
        let mut wrong = Vec::new();
        let mut compare = |what: &str, told: i64, there: i64, gone: i64| {
            if told != there + gone {
                wrong.push(format!("{told} {what}, and there are {there}, {gone} deleted since"));
            }
        };
        compare("started", told.started, there.started, told.gone_started);
        for (at, what) in ["completed", "failed", "cancelled"].into_iter().enumerate() {
            compare(what, told.done[at], there.done[at], told.gone_done[at]);
        }
        if !durations_agree(told, there) {
            wrong.push("durations that are not those of its instances".to_owned());
        }
        let time = Micros(minute.saturating_mul(MINUTE));
        for wrong in wrong {
            kind.add(finding_of_store(format!("the counters of `{task_id}` at {time} tell of {wrong}")));
        }
    }
    kind.end();
    Ok(())
}

/// Of instances that are deleted nobody knows the durations any more, only that they were there.
fn durations_agree(told: &Told, there: &Told) -> bool {
    if told.gone_done[0] == 0 && told.gone_done[1] == 0 {
        return told.durations == there.durations;
    }
    let told_by: HashMap<u16, u64> = told.durations.iter().collect();
    there.durations.iter().all(|(bucket, n)| told_by.get(&bucket).is_some_and(|told| *told >= n))
        && told.durations.count() <= told.done[0].saturating_add(told.done[1]).unsigned_abs()
}

async fn totals(connection: &mut SqliteConnection, findings: &mut Vec<Finding>) -> Result<(), sqlx::Error> {
    let sql = "SELECT task_id, status, sum(told), sum(there) FROM (\
        SELECT task_id, status, n AS told, 0 AS there FROM totals \
        UNION ALL SELECT task_id, status, 0, count(*) FROM instances GROUP BY task_id, status) \
        GROUP BY task_id, status HAVING sum(told) <> sum(there)";
    let mut kind = Kind::new(findings, "counts of instances that tell of others than there are");
    each(connection, sql, |row| {
        let task_id: &str = row.try_get(0)?;
        let status = status_of(row.try_get(1)?).map_or("unknown", Status::as_str);
        let (told, there) = (row.try_get::<i64, _>(2)?, row.try_get::<i64, _>(3)?);
        kind.add(finding_of_store(format!(
            "the counters tell of {told} {status} instances of `{task_id}`, and there are {there}"
        )));
        Ok(())
    })
    .await?;
    kind.end();
    Ok(())
}

type Places = HashMap<(i64, String), Told>;

/// By task, the rows that stand for more than a minute: where each begins, and how long it is.
type Spans = HashMap<String, BTreeMap<i64, i64>>;

/// What the rows tell.
async fn told(connection: &mut SqliteConnection, findings: &mut Vec<Finding>) -> Result<(Places, Spans), sqlx::Error> {
    let sql = "SELECT task_id, minute FROM minutes WHERE CASE minute WHEN 9223372036854775807 \
        THEN span <> 1 OR started <> 0 OR gone_started <> 0 OR gone_completed <> 0 OR gone_failed <> 0 \
        OR gone_cancelled <> 0 OR durations IS NOT NULL ELSE pending <> 0 OR running <> 0 END";
    let mut kind = Kind::new(findings, "counters that make no sense");
    each(connection, sql, |row| {
        kind.add(no_sense(row.try_get(0)?, row.try_get(1)?));
        Ok(())
    })
    .await?;
    let sql = "SELECT span FROM rollups WHERE span NOT IN (0, 60, 1440)";
    each(connection, sql, |row| {
        let span: i64 = row.try_get(0)?;
        kind.add(finding_of_store(format!("counters are put together to {span} minutes, which no row stands for")));
        Ok(())
    })
    .await?;
    let mut spans = Spans::new();
    let sql = "SELECT task_id, minute, span FROM minutes WHERE span > 1 AND minute < 9223372036854775807";
    for row in fetch(connection, sql, Arguments::default()).await? {
        spans.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, row.try_get(2)?);
    }
    let mut places = Places::new();
    let sql = "SELECT minute, task_id, span, started, completed, failed, cancelled, gone_started, gone_completed, \
        gone_failed, gone_cancelled, durations FROM minutes WHERE (minute, task_id) > (?, ?) \
        AND minute < 9223372036854775807 ORDER BY minute, task_id LIMIT 4096";
    let mut after = (i64::MIN, String::new());
    loop {
        let mut arguments = Arguments::default();
        arguments.add(after.0)?;
        arguments.add(after.1.as_str())?;
        let rows = fetch(connection, sql, arguments).await?;
        for row in &rows {
            after = (row.try_get(0)?, row.try_get(1)?);
            let (minute, task_id) = &after;
            let span: i64 = row.try_get(2)?;
            let n = |column: usize| row.try_get::<i64, _>(column);
            let columns: Vec<i64> = (3..11).map(n).collect::<Result<_, _>>()?;
            let bad_span = !SPANS.contains(&span) || minute % span != 0;
            if bad_span || columns.iter().any(|n| *n < 0) {
                kind.add(no_sense(task_id, *minute));
            }
            let told = places.entry((cover(&spans, task_id, *minute), task_id.clone())).or_default();
            let add = |to: &mut i64, at: usize| *to = to.saturating_add(columns[at]);
            add(&mut told.started, 0);
            add(&mut told.gone_started, 4);
            for at in 0..3 {
                add(&mut told.done[at], 1 + at);
                add(&mut told.gone_done[at], 5 + at);
            }
            match histogram_of(row.try_get(11)?) {
                Ok(histogram) => told.durations.merge(&histogram),
                Err(_) => kind.add(finding_of_store(format!(
                    "the counters of `{task_id}` in minute {minute} hold durations that cannot be read"
                ))),
            }
        }
        if rows.len() < PAGE {
            kind.end();
            return Ok((places, spans));
        }
    }
}

fn no_sense(task_id: &str, minute: i64) -> Finding {
    finding_of_store(format!("the counters of `{task_id}` in minute {minute} make no sense"))
}

/// What the rows should tell.
async fn there(connection: &mut SqliteConnection, spans: &Spans) -> Result<Places, sqlx::Error> {
    let sql = "SELECT number, task_id, status, created_at, started_at, finished_at FROM instances WHERE number > ? \
        ORDER BY number LIMIT 4096";
    let mut places = Places::new();
    let mut after = 0;
    loop {
        let mut arguments = Arguments::default();
        arguments.add_count(after)?;
        let rows = fetch(connection, sql, arguments).await?;
        for row in &rows {
            after = count(row, 0)?;
            let task_id: String = row.try_get(1)?;
            let place = |time: i64| (cover(spans, &task_id, time.div_euclid(MINUTE)), task_id.clone());
            places.entry(place(row.try_get(3)?)).or_default().started += 1;
            let at = usize::try_from(row.try_get::<i64, _>(2)? - 2).ok().filter(|at| *at < 3);
            // One that is done without a time is told of elsewhere.
            let (Some(at), Some(finished_at)) = (at, row.try_get::<Option<i64>, _>(5)?) else { continue };
            let place = places.entry(place(finished_at)).or_default();
            place.done[at] += 1;
            if let Some(started_at) = row.try_get::<Option<i64>, _>(4)?.filter(|_| at < 2) {
                place.durations.add(Micros(finished_at).since(Micros(started_at)));
            }
        }
        if rows.len() < PAGE {
            return Ok(places);
        }
    }
}

/// Where the row begins that stands for a minute.
fn cover(spans: &Spans, task_id: &str, minute: i64) -> i64 {
    let Some(spans) = spans.get(task_id) else { return minute };
    let covers = |span: &&i64| {
        let begins = minute.div_euclid(**span) * **span;
        spans.get(&begins).is_some_and(|long| begins + long > minute)
    };
    SPANS.iter().rev().find(covers).map_or(minute, |span| minute.div_euclid(*span) * span)
}
