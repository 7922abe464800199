//! What must hold of each instance, and what must be there.

/// Each selects the numbers of the instances of which its text is true.
pub(super) const RULES: &[(&str, &str)] = &[
    ("is done without finished_at", "FROM instances WHERE status >= 2 AND finished_at IS NULL"),
    ("has finished_at and is not done", "FROM instances WHERE status < 2 AND finished_at IS NOT NULL"),
    ("finished before it started", "FROM instances WHERE finished_at < started_at"),
    (
        "runs without attempt, started_at or node",
        "FROM instances INDEXED BY instances_status WHERE status = 1 AND (attempt < 1 OR started_at IS NULL OR node IS NULL)",
    ),
    (
        "has an attempt without started_at or node",
        "FROM instances WHERE attempt > 0 AND (started_at IS NULL OR node IS NULL)",
    ),
    (
        "has started_at or node without an attempt",
        "FROM instances WHERE attempt = 0 AND (started_at IS NOT NULL OR node IS NOT NULL)",
    ),
    ("failed without an error", "FROM instances INDEXED BY instances_status WHERE status = 3 AND error IS NULL"),
    ("has an error and did not fail", "FROM instances WHERE status <> 3 AND error IS NOT NULL"),
    ("completed without an attempt", "FROM instances INDEXED BY instances_status WHERE status = 2 AND attempt < 1"),
    (
        "has more attempts than max_attempts",
        "FROM instances WHERE attempt > max_attempts OR attempt < 0 OR max_attempts < 1",
    ),
    ("is marked ready and is not pending", "FROM instances INDEXED BY instances_ready WHERE ready = 1 AND status <> 0"),
    ("has a progress outside 0 to 1", "FROM instances WHERE NOT (progress BETWEEN 0.0 AND 1.0)"),
    (
        "is pending although a stop was requested",
        "FROM instances INDEXED BY instances_status WHERE status = 0 AND stop_requested_at IS NOT NULL",
    ),
    ("has half a stop", "FROM instances WHERE (stop_requested_at IS NULL) <> (stop_deadline IS NULL)"),
    (
        "has a queue_timeout without a deadline, or the reverse",
        "FROM instances WHERE (queue_timeout IS NULL) <> (queue_deadline IS NULL)",
    ),
    ("has a version below 1", "FROM instances WHERE version < 1"),
    (
        "waits for another attempt without a record of the last",
        "FROM instances i INDEXED BY instances_status WHERE \
        i.status = 0 AND i.attempt > 0 AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.number = i.number AND a.attempt = i.attempt)",
    ),
    ("has a number that no instance can have", "FROM instances WHERE number < 1"),
    ("was changed by a daemon that never was", "FROM instances WHERE (batch >> 40) > (SELECT boot FROM meta)"),
    (
        "has a timeout or delay that is not above 0",
        "FROM instances WHERE timeout <= 0 OR queue_timeout <= 0 OR retry_delay <= 0",
    ),
    ("has a task id that no task can have", "FROM instances WHERE length(task_id) NOT BETWEEN 1 AND 128"),
    (
        "has an output before its first attempt",
        "FROM instances i WHERE i.attempt = 0 \
         AND (i.output IS NOT NULL OR EXISTS (SELECT 1 FROM outputs o WHERE o.number = i.number))",
    ),
    (
        "has no inputs",
        "FROM instances i WHERE i.inputs IS NULL AND NOT EXISTS (SELECT 1 FROM inputs p WHERE p.number = i.number)",
    ),
    (
        "has inputs twice",
        "FROM instances i WHERE i.inputs IS NOT NULL AND EXISTS (SELECT 1 FROM inputs p WHERE p.number = i.number)",
    ),
    (
        "has an output twice",
        "FROM instances i WHERE i.output IS NOT NULL AND EXISTS (SELECT 1 FROM outputs o WHERE o.number = i.number)",
    ),
    (
        "has inputs that are no JSON object",
        "FROM instances WHERE NOT json_valid(inputs) OR substr(inputs, 1, 1) <> '{'",
    ),
    ("has inputs that are no JSON object", "FROM inputs WHERE NOT json_valid(body) OR substr(body, 1, 1) <> '{'"),
    (
        "has an output that is no JSON object",
        "FROM instances WHERE NOT json_valid(output) OR substr(output, 1, 1) <> '{'",
    ),
    ("has an output that is no JSON object", "FROM outputs WHERE NOT json_valid(body) OR substr(body, 1, 1) <> '{'"),
    (
        "has records of attempts that it never had, or of one that runs",
        "FROM attempts a JOIN instances i ON i.number = a.number WHERE a.attempt > i.attempt OR a.attempt < 1 \
         OR (i.status = 1 AND a.attempt = i.attempt)",
    ),
    (
        "has a record of an attempt that makes no sense",
        "FROM attempts a WHERE a.finished_at < a.started_at \
         OR a.ended NOT IN ('completed', 'failed', 'cancelled', 'interrupted')",
    ),
    (
        "has lines of its log twice",
        "FROM (SELECT number, first, lag(last) OVER (PARTITION BY number ORDER BY first) AS before FROM logs) \
         WHERE before >= first",
    ),
    (
        "has a log that is no JSON",
        "FROM logs WHERE NOT json_valid(body) OR last < first OR json_array_length(body) <> last - first + 1",
    ),
];

/// The tables, views, indexes and triggers there must be.
pub(super) const SCHEMA: [&str; 28] = [
    "meta",
    "instances",
    "inputs",
    "outputs",
    "labels",
    "attempts",
    "idempotency",
    "logs",
    "log_losses",
    "totals",
    "minutes",
    "rollups",
    "definitions",
    "instances_ready",
    "instances_scheduled",
    "instances_expiring",
    "instances_status",
    "idempotency_expires",
    "logs_window",
    "instances_done_is_final",
    "instances_number_is_spent",
    "instances_gone_are_counted",
    "outputs_insert_before_done",
    "outputs_update_before_done",
    "outputs_delete_before_done",
    "inputs_are_written_once",
    "instances_inputs_are_written_once",
    "instances_have_one_output",
];

/// Tables whose rows belong to an instance.
pub(super) const PARTS: [(&str, &str); 6] = [
    ("inputs", "SELECT number FROM inputs"),
    ("an output", "SELECT number FROM outputs"),
    ("labels", "SELECT DISTINCT number FROM labels"),
    ("attempts", "SELECT DISTINCT number FROM attempts"),
    ("logs", "SELECT DISTINCT number FROM logs"),
    ("lost lines", "SELECT number FROM log_losses"),
];
