-- What /v1/stats answers from, so that nobody ever counts instances. Both tables are kept in the transaction that writes
-- what they count; fsck compares.

PRAGMA user_version = 2;

-- How many instances there are.
CREATE TABLE totals (
    task_id TEXT NOT NULL,
    status INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (task_id, status)
) STRICT, WITHOUT ROWID;

-- What happened when. The minute comes first, so that what is written now lies on one page, whatever the tasks.
CREATE TABLE minutes (
    -- Minutes since 1970-01-01T00:00:00Z.
    minute INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    -- How many minutes the row stands for, from its minute on: 1, or 60 or 1440 where older ones were put together.
    span INTEGER NOT NULL DEFAULT 1,
    started INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    -- How many of those are deleted since.
    gone_started INTEGER NOT NULL DEFAULT 0,
    gone_completed INTEGER NOT NULL DEFAULT 0,
    gone_failed INTEGER NOT NULL DEFAULT 0,
    gone_cancelled INTEGER NOT NULL DEFAULT 0,
    -- From started_at to finished_at, of those that began and completed or failed: a histogram, 8 bytes a bucket that
    -- is not empty, big-endian, 2 of its index and 6 of its count. Bucket 0 is 0 µs; each further one ends, in whole
    -- microseconds, a tenth above the one before, at least 1 µs.
    durations BLOB,
    PRIMARY KEY (minute, task_id)
) STRICT, WITHOUT ROWID;

-- The minute up to which old rows are put together to rows of this span; with span 0, up to which they are deleted.
CREATE TABLE rollups (span INTEGER PRIMARY KEY, done_to INTEGER NOT NULL) STRICT;

INSERT INTO totals (task_id, status, n) SELECT task_id, status, count(*) FROM instances GROUP BY task_id, status;

CREATE TABLE tops (top INTEGER PRIMARY KEY, bucket INTEGER NOT NULL) STRICT;

INSERT INTO tops (top, bucket)
    WITH RECURSIVE t(top, bucket) AS (
        SELECT 0, 0 UNION ALL SELECT max(top + 1, top * 11 / 10), bucket + 1 FROM t WHERE top < 40000000000000
    )
    SELECT top, bucket FROM t;

INSERT INTO minutes (minute, task_id, started, completed, failed, cancelled, durations)
    WITH happened(minute, task_id, started, completed, failed, cancelled) AS (
        SELECT created_at / 60000000, task_id, count(*), 0, 0, 0 FROM instances GROUP BY 1, 2
        UNION ALL
        SELECT finished_at / 60000000, task_id, 0, sum(status = 2), sum(status = 3), sum(status = 4)
        FROM instances WHERE status >= 2 GROUP BY 1, 2
    ),
    counted(minute, task_id, started, completed, failed, cancelled) AS (
        SELECT minute, task_id, sum(started), sum(completed), sum(failed), sum(cancelled) FROM happened GROUP BY 1, 2
    ),
    lasted(minute, task_id, bucket, n) AS (
        SELECT finished_at / 60000000, task_id,
            coalesce(
                (SELECT bucket FROM tops WHERE top >= finished_at - started_at ORDER BY top LIMIT 1),
                (SELECT max(bucket) FROM tops)
            ),
            count(*)
        FROM instances WHERE status IN (2, 3) AND started_at IS NOT NULL GROUP BY 1, 2, 3
    ),
    histograms(minute, task_id, durations) AS (
        SELECT minute, task_id, unhex(group_concat(printf('%04x%012x', bucket, n), '' ORDER BY bucket))
        FROM lasted GROUP BY 1, 2
    )
    SELECT c.minute, c.task_id, c.started, c.completed, c.failed, c.cancelled, h.durations
    FROM counted c LEFT JOIN histograms h ON h.minute = c.minute AND h.task_id = c.task_id;

DROP TABLE tops;

-- Whoever deletes an instance. What happened stays; what there is no longer is counted as gone.
CREATE TRIGGER instances_gone_are_counted AFTER DELETE ON instances
BEGIN
    UPDATE totals SET n = n - 1 WHERE task_id = OLD.task_id AND status = OLD.status;
    UPDATE minutes SET gone_started = gone_started + 1
        WHERE task_id = OLD.task_id AND minute = (
            SELECT minute FROM minutes
            WHERE task_id = OLD.task_id AND OLD.created_at / 60000000 < minute + span AND minute IN (
                OLD.created_at / 60000000, OLD.created_at / 3600000000 * 60, OLD.created_at / 86400000000 * 1440
            )
            ORDER BY minute LIMIT 1
        );
    UPDATE minutes SET
        gone_completed = gone_completed + (OLD.status = 2),
        gone_failed = gone_failed + (OLD.status = 3),
        gone_cancelled = gone_cancelled + (OLD.status = 4)
        WHERE OLD.status >= 2 AND task_id = OLD.task_id AND minute = (
            SELECT minute FROM minutes
            WHERE task_id = OLD.task_id AND OLD.finished_at / 60000000 < minute + span AND minute IN (
                OLD.finished_at / 60000000, OLD.finished_at / 3600000000 * 60, OLD.finished_at / 86400000000 * 1440
            )
            ORDER BY minute LIMIT 1
        );
END;
