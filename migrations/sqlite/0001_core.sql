-- Times and durations are whole microseconds, times since 1970-01-01T00:00:00Z.
-- status: 0 pending, 1 running, 2 completed, 3 failed, 4 cancelled; from 2 on an instance is done.
-- workload: 0 local, 1 remote.

PRAGMA application_id = 0x54575249;
PRAGMA user_version = 1;

CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- How often a daemon has opened this store.
    boot INTEGER NOT NULL,
    -- The secret that the tokens of attempts are made with.
    key BLOB NOT NULL CHECK (length(key) = 32),
    -- No number up to this one is given out again.
    last_number INTEGER NOT NULL,
    -- The first instance after the clock was last set back. From it on created_at rises with the number, but for less
    -- than a minute.
    clock_step INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Narrow: a change of status rewrites this row, never the payloads.
CREATE TABLE instances (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    task_id TEXT NOT NULL,
    workload INTEGER NOT NULL CHECK (workload IN (0, 1)),
    status INTEGER NOT NULL CHECK (status BETWEEN 0 AND 4),
    -- 1 while it is pending and its run_at has come.
    ready INTEGER NOT NULL CHECK (ready IN (0, 1)),
    priority INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    version INTEGER NOT NULL,
    -- The batch that last changed it.
    batch INTEGER NOT NULL,
    progress REAL NOT NULL,
    message TEXT,
    verdict TEXT,
    error TEXT,
    timeout INTEGER,
    queue_timeout INTEGER,
    queue_deadline INTEGER,
    retry_delay INTEGER NOT NULL,
    stop_requested_at INTEGER,
    stop_deadline INTEGER,
    run_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    updated_at INTEGER NOT NULL,
    -- A JSON object; null where there are none.
    labels TEXT,
    retry_of BLOB,
    node TEXT
) STRICT;

-- What may run now, in the order in which it may.
CREATE INDEX instances_ready ON instances (task_id, priority DESC, number) WHERE ready = 1;
-- What waits for its time.
CREATE INDEX instances_scheduled ON instances (run_at) WHERE status = 0 AND ready = 0;
-- What fails if it waits too long.
CREATE INDEX instances_expiring ON instances (queue_deadline)
    WHERE status = 0 AND attempt = 0 AND queue_deadline IS NOT NULL;
CREATE INDEX instances_task ON instances (task_id, number);
CREATE INDEX instances_status ON instances (status, number);

CREATE TABLE inputs (number INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;

CREATE TABLE outputs (number INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;

CREATE TABLE labels (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (key, value, number)
) STRICT, WITHOUT ROWID;

-- Attempts of which the instance's row does not tell everything.
CREATE TABLE attempts (
    number INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    node TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    ended TEXT NOT NULL,
    error TEXT,
    exit_code INTEGER,
    signal INTEGER,
    PRIMARY KEY (number, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    -- The instances that the key stands for have consecutive numbers.
    first_number INTEGER NOT NULL,
    instances INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_expires ON idempotency (expires_at);

-- One row a chunk: lines with consecutive seq, as a JSON array of [stream, time, attempt, text].
CREATE TABLE logs (
    chunk INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX logs_window ON logs (number, first, last, bytes);

-- How many lines an instance has lost, where it has lost any.
CREATE TABLE log_losses (number INTEGER PRIMARY KEY, dropped INTEGER NOT NULL) STRICT;

CREATE TRIGGER instances_done_is_final BEFORE UPDATE ON instances WHEN OLD.status >= 2
BEGIN
    SELECT RAISE(ABORT, 'a done instance never changes');
END;

CREATE TRIGGER instances_number_is_spent AFTER DELETE ON instances
    WHEN OLD.number > (SELECT last_number FROM meta)
BEGIN
    UPDATE meta SET last_number = OLD.number;
END;

CREATE TRIGGER outputs_insert_before_done BEFORE INSERT ON outputs
    WHEN (SELECT status FROM instances WHERE number = NEW.number) >= 2
BEGIN
    SELECT RAISE(ABORT, 'the output of a done instance never changes');
END;

CREATE TRIGGER outputs_update_before_done BEFORE UPDATE ON outputs
    WHEN (SELECT status FROM instances WHERE number = OLD.number) >= 2
BEGIN
    SELECT RAISE(ABORT, 'the output of a done instance never changes');
END;

-- A purge deletes the instance first, and its output then.
CREATE TRIGGER outputs_delete_before_done BEFORE DELETE ON outputs
    WHEN (SELECT status FROM instances WHERE number = OLD.number) >= 2
BEGIN
    SELECT RAISE(ABORT, 'the output of a done instance never changes');
END;

CREATE TRIGGER inputs_are_written_once BEFORE UPDATE ON inputs
BEGIN
    SELECT RAISE(ABORT, 'inputs never change');
END;
