//! Pages of instances: one statement a shape of filter, each along an index, newest first.

use std::ops::Range;

use sqlx::{AssertSqlSafe, sqlite::SqliteRow};

use super::{
    codec::{self, SUMMARY_COLUMNS, status_code},
    fault::of_read,
    instances::decode,
    readers::Readers,
    sequence,
    statement::{Arguments, count},
};
use crate::{
    domain::{InstanceQuery, LabelFilter, Page, Status, Summary},
    store::StoreError,
};

/// A page of the instances that match.
pub(super) async fn list(readers: &Readers, query: &InstanceQuery) -> Result<Page<Summary>, StoreError> {
    let limit = query.limit.max(1);
    let rows = read(readers, query, SUMMARY_COLUMNS, limit + 1).await?;
    let mut items = decode(&rows, codec::summary).map_err(of_read)?;
    let more = items.len() > limit;
    items.truncate(limit);
    Ok(Page { items, more })
}

/// The numbers of those that match, newest first.
pub(super) async fn live(readers: &Readers, query: &InstanceQuery) -> Result<Vec<u64>, StoreError> {
    let rows = read(readers, query, "i.number AS number", query.limit).await?;
    decode(&rows, |row| count(row, 0)).map_err(of_read)
}

async fn read(
    readers: &Readers,
    query: &InstanceQuery,
    columns: &'static str,
    limit: usize,
) -> Result<Vec<SqliteRow>, StoreError> {
    let mut reader = readers.take().await?;
    let numbers = sequence::numbers(&mut reader, query).await.map_err(of_read)?;
    let mut select = Select { sql: String::new(), arguments: Arguments::default(), columns, numbers };
    select.write(query, limit as u64).map_err(of_read)?;
    // The text holds names of columns and question marks only; every value is bound.
    let statement = sqlx::query_with(AssertSqlSafe(select.sql), select.arguments.into_inner());
    statement.fetch_all(&mut *reader).await.map_err(of_read)
}

/// A statement as it is put together.
struct Select {
    sql: String,
    arguments: Arguments,
    columns: &'static str,
    /// Where all that matches is to be found.
    numbers: Range<i64>,
}

impl Select {
    fn write(&mut self, query: &InstanceQuery, limit: u64) -> Result<(), sqlx::Error> {
        let arms = arms(query);
        if arms.is_empty() {
            self.arm(query, None)?;
            // Where a label with a value leads, its own index is in this order; SQLite would sort all that match.
            let lead = query.labels.iter().any(|label| label.value.is_some());
            self.sql.push_str(if lead { " ORDER BY l.number DESC LIMIT ?" } else { " ORDER BY i.number DESC LIMIT ?" });
            return self.arguments.add_count(limit);
        }
        // One walk along the index for each status, merged.
        self.sql.push_str("SELECT * FROM (");
        for (index, status) in arms.iter().enumerate() {
            if index > 0 {
                self.sql.push_str(" UNION ALL ");
            }
            self.sql.push_str("SELECT * FROM (");
            match query.task_id {
                Some(_) => self.arm(query, Some(*status))?,
                None => self.arm_of_all_tasks(query, *status, limit)?,
            }
            self.sql.push_str(" ORDER BY i.number DESC LIMIT ?)");
            self.arguments.add_count(limit)?;
        }
        self.sql.push_str(") ORDER BY number DESC LIMIT ?");
        self.arguments.add_count(limit)
    }

    /// The newest of each task that has some in this status, from task to task along the index.
    fn arm_of_all_tasks(&mut self, query: &InstanceQuery, status: Status, limit: u64) -> Result<(), sqlx::Error> {
        self.sql.push_str(&format!(
            "WITH RECURSIVE t(task_id) AS (\
             SELECT min(task_id) FROM instances INDEXED BY instances_status WHERE status = ? \
             UNION ALL SELECT (SELECT min(n.task_id) FROM instances n INDEXED BY instances_status WHERE n.status = ? \
             AND n.task_id > t.task_id) FROM t WHERE t.task_id IS NOT NULL) \
             SELECT {} FROM t CROSS JOIN instances i ON i.number IN (\
             SELECT i.number FROM instances i INDEXED BY instances_status WHERE i.task_id = t.task_id",
            self.columns
        ));
        self.arguments.add(status_code(status))?;
        self.arguments.add(status_code(status))?;
        self.filters(query, Some(status))?;
        self.sql.push_str(" ORDER BY i.number DESC LIMIT ?) WHERE t.task_id IS NOT NULL");
        self.arguments.add_count(limit)
    }

    fn arm(&mut self, query: &InstanceQuery, status: Option<Status>) -> Result<(), sqlx::Error> {
        // A label with a value is the narrowest; a bare key comes next.
        let lead = query.labels.iter().position(|label| label.value.is_some()).or(if query.labels.is_empty() {
            None
        } else {
            Some(0)
        });
        self.sql.push_str(&format!("SELECT {} FROM ", self.columns));
        match lead.map(|lead| &query.labels[lead]) {
            Some(label) => {
                self.sql.push_str("labels l CROSS JOIN instances i ON i.number = l.number WHERE l.key = ?");
                self.arguments.add(label.key.as_str())?;
                if let Some(value) = &label.value {
                    self.sql.push_str(" AND l.value = ?");
                    self.arguments.add(value.as_str())?;
                }
                self.sql.push_str(" AND l.number >= ? AND l.number < ?");
                self.arguments.add(self.numbers.start)?;
                self.arguments.add(self.numbers.end)?;
            }
            None => {
                self.sql.push_str(match (status, &query.task_id) {
                    (Some(_), Some(_)) => "instances i INDEXED BY instances_status WHERE true",
                    _ => "instances i WHERE true",
                });
            }
        }
        self.filters(query, status)?;
        for label in query.labels.iter().enumerate().filter(|(index, _)| Some(*index) != lead).map(|(_, label)| label) {
            self.label(label)?;
        }
        Ok(())
    }

    fn filters(&mut self, query: &InstanceQuery, status: Option<Status>) -> Result<(), sqlx::Error> {
        if let Some(status) = status {
            self.sql.push_str(" AND i.status = ?");
            self.arguments.add(status_code(status))?;
        } else if !query.statuses.is_empty() {
            let marks = vec!["?"; query.statuses.len()].join(",");
            self.sql.push_str(&format!(" AND i.status IN ({marks})"));
            for status in &query.statuses {
                self.arguments.add(status_code(*status))?;
            }
        }
        if let Some(task_id) = &query.task_id {
            self.sql.push_str(" AND i.task_id = ?");
            self.arguments.add(task_id.as_str())?;
        }
        self.sql.push_str(" AND i.number >= ? AND i.number < ?");
        self.arguments.add(self.numbers.start)?;
        self.arguments.add(self.numbers.end)?;
        if let Some(after) = query.created_after {
            self.sql.push_str(" AND i.created_at >= ?");
            self.arguments.add(after.0)?;
        }
        if let Some(before) = query.created_before {
            self.sql.push_str(" AND i.created_at < ?");
            self.arguments.add(before.0)?;
        }
        Ok(())
    }

    fn label(&mut self, label: &LabelFilter) -> Result<(), sqlx::Error> {
        match &label.value {
            Some(value) => {
                self.sql.push_str(
                    " AND EXISTS (SELECT 1 FROM labels m WHERE m.key = ? AND m.value = ? AND m.number = i.number)",
                );
                self.arguments.add(label.key.as_str())?;
                self.arguments.add(value.as_str())
            }
            None => {
                self.sql.push_str(" AND json_type(i.labels, ?) IS NOT NULL");
                self.arguments.add(format!("$.\"{}\"", label.key))
            }
        }
    }
}

/// The statuses along which to walk; none where the labels lead, or all instances are wanted.
fn arms(query: &InstanceQuery) -> Vec<Status> {
    if !query.labels.is_empty() {
        return Vec::new();
    }
    let mut arms = query.statuses.clone();
    arms.sort_unstable();
    arms.dedup();
    if arms.is_empty() && query.task_id.is_some() {
        arms = Status::ALL.to_vec();
    }
    if query.task_id.is_none() && arms.len() == Status::ALL.len() {
        arms.clear();
    }
    arms
}
