-- What an instance is, in rows that stay narrow: a change of status writes no payload again.
-- Times are microseconds since 1970, durations microseconds, uuids 16 bytes.

-- A number is never given out twice, also not after the newest row was purged: AUTOINCREMENT keeps the highest.
CREATE TABLE instances (
    number            INTEGER PRIMARY KEY AUTOINCREMENT,
    id                BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    task_id           TEXT    NOT NULL,
    workload          INTEGER NOT NULL,              -- 0 local, 1 remote
    status            INTEGER NOT NULL,              -- 0 pending, 1 running, 2 completed, 3 failed, 4 cancelled
    ready             INTEGER NOT NULL,              -- pending and its run_at has come
    priority          INTEGER NOT NULL,
    attempt           INTEGER NOT NULL,
    max_attempts      INTEGER NOT NULL,
    version           INTEGER NOT NULL,
    batch             INTEGER NOT NULL,              -- the batch that last changed it
    progress          REAL    NOT NULL,
    message           TEXT,
    verdict           INTEGER,
    verdict_message   TEXT,
    error             TEXT,
    timeout           INTEGER,
    queue_timeout     INTEGER,
    queue_deadline    INTEGER,                       -- run_at + queue_timeout
    retry_delay       INTEGER NOT NULL,
    stop_requested_at INTEGER,
    stop_deadline     INTEGER,
    run_at            INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    started_at        INTEGER,
    finished_at       INTEGER,
    updated_at        INTEGER NOT NULL,
    labels            TEXT,                          -- as answered; labels(…) is the index
    retry_of          BLOB,
    node              TEXT
) STRICT;

-- Claims: the ready ones of a task, in the order in which they run.
CREATE INDEX instances_ready ON instances (task_id, priority DESC, number) WHERE status = 0 AND ready = 1;
-- Promotions: what becomes ready, and what expires.
CREATE INDEX instances_due ON instances (run_at) WHERE status = 0 AND ready = 0;
CREATE INDEX instances_expiring ON instances (queue_deadline)
    WHERE status = 0 AND attempt = 0 AND queue_deadline IS NOT NULL;
-- Lists.
CREATE INDEX instances_by_task ON instances (task_id, number);
CREATE INDEX instances_by_status ON instances (status, number);

CREATE TRIGGER terminal_is_final BEFORE UPDATE ON instances WHEN OLD.status >= 2
BEGIN
    SELECT RAISE(ABORT, 'a done instance never changes');
END;

-- Written once.
CREATE TABLE inputs (
    number INTEGER PRIMARY KEY,
    body   TEXT NOT NULL
) STRICT;

CREATE TABLE outputs (
    number INTEGER PRIMARY KEY,
    body   TEXT NOT NULL
) STRICT;

CREATE TRIGGER terminal_output_is_not_added BEFORE INSERT ON outputs
WHEN (SELECT status FROM instances WHERE number = NEW.number) >= 2
BEGIN
    SELECT RAISE(ABORT, 'a done instance never changes');
END;
CREATE TRIGGER terminal_output_is_not_changed BEFORE UPDATE ON outputs
WHEN (SELECT status FROM instances WHERE number = OLD.number) >= 2
BEGIN
    SELECT RAISE(ABORT, 'a done instance never changes');
END;
-- A purge deletes the instance first.
CREATE TRIGGER terminal_output_is_not_removed BEFORE DELETE ON outputs
WHEN (SELECT status FROM instances WHERE number = OLD.number) >= 2
BEGIN
    SELECT RAISE(ABORT, 'a done instance never changes');
END;

-- Attempts that the instance's own row cannot tell: those before the latest, interrupted ones, commands' exits.
CREATE TABLE attempts (
    number      INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    node        TEXT    NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    ended       INTEGER NOT NULL,                    -- 0 completed, 1 failed, 2 cancelled, 3 interrupted
    error       TEXT,
    exit_code   INTEGER,
    signal      INTEGER,
    PRIMARY KEY (number, attempt)
) STRICT, WITHOUT ROWID;

-- Consecutive lines, one row a chunk.
CREATE TABLE logs (
    number INTEGER NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    lines  TEXT    NOT NULL,                         -- [[stream, time, attempt, text], …]
    PRIMARY KEY (number, first)
) STRICT;

-- How many lines a log has lost to its limit.
CREATE TABLE log_losses (
    number  INTEGER PRIMARY KEY,
    dropped INTEGER NOT NULL
) STRICT;

CREATE TABLE labels (
    key    TEXT    NOT NULL,
    value  TEXT    NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (key, value, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_key ON labels (key, number);
CREATE INDEX labels_by_instance ON labels (number);

CREATE TABLE idempotency (
    principal   TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    numbers     TEXT    NOT NULL,                    -- a JSON array
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- boot: how often a daemon opened this store. key: what attempts' tokens are sealed with.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

-- The header names us and the schema; it stands in this transaction, so that a file is either whole and ours or
-- not begun.
PRAGMA application_id = 1953985073;
PRAGMA user_version = 1;
