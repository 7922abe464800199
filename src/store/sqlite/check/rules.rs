//! What must hold of each instance.

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
    (
        "is pending with no attempt left",
        "FROM instances INDEXED BY instances_status WHERE status = 0 AND attempt >= max_attempts",
    ),
    (
        "has a progress, a message or a verdict before its first attempt",
        "FROM instances WHERE attempt = 0 AND (progress <> 0.0 OR message IS NOT NULL OR verdict IS NOT NULL)",
    ),
    (
        "was cancelled before its first attempt, and nobody asked for that",
        "FROM instances INDEXED BY instances_status WHERE status = 4 AND attempt = 0 AND stop_requested_at IS NULL",
    ),
    (
        "failed before its first attempt without a queue_timeout",
        "FROM instances INDEXED BY instances_status WHERE status = 3 AND attempt = 0 AND queue_timeout IS NULL",
    ),
    ("ended before it was made", "FROM instances WHERE started_at IS NULL AND finished_at < created_at"),
    (
        "ended at another time than it last changed",
        "FROM instances WHERE finished_at <> max(updated_at, coalesce(started_at, created_at))",
    ),
    ("is done and never changed", "FROM instances WHERE status >= 2 AND version < 2"),
    ("runs itself again", "FROM instances WHERE retry_of = id"),
    (
        "has no record of an earlier attempt",
        "FROM instances i WHERE i.attempt > 1 AND i.attempt - 1 > \
         (SELECT count(*) FROM attempts a WHERE a.number = i.number AND a.attempt BETWEEN 1 AND i.attempt - 1)",
    ),
    (
        "has a record of an attempt with an error that does not go with its end",
        "FROM attempts a WHERE (a.ended = 'failed' AND a.error IS NULL) \
         OR (a.ended IN ('completed', 'cancelled') AND a.error IS NOT NULL)",
    ),
    (
        "has a record of an attempt with both an exit code and a signal",
        "FROM attempts a WHERE a.exit_code IS NOT NULL AND a.signal IS NOT NULL",
    ),
    (
        "has a record of its last attempt that contradicts it",
        "FROM attempts a JOIN instances i ON i.number = a.number AND i.attempt = a.attempt WHERE \
         a.started_at <> i.started_at OR a.node <> i.node OR CASE i.status \
         WHEN 0 THEN a.ended NOT IN ('failed', 'interrupted') \
         WHEN 2 THEN a.ended NOT IN ('completed', 'interrupted') OR a.finished_at <> i.finished_at \
         WHEN 3 THEN a.ended NOT IN ('failed', 'interrupted') OR a.finished_at <> i.finished_at \
         WHEN 4 THEN a.ended = 'completed' ELSE 0 END",
    ),
    (
        "has a record of an earlier attempt after which there was no other",
        "FROM attempts a JOIN instances i ON i.number = a.number WHERE a.attempt < i.attempt \
         AND a.ended NOT IN ('failed', 'interrupted')",
    ),
    ("has a count of lost lines that is not above 0", "FROM log_losses WHERE dropped < 1"),
    (
        "has lost lines of its log that are not counted",
        "FROM (SELECT number, max(last) - sum(last - first + 1) AS missing FROM logs INDEXED BY logs_window \
         GROUP BY number) l WHERE missing > coalesce((SELECT dropped FROM log_losses o WHERE o.number = l.number), 0)",
    ),
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
