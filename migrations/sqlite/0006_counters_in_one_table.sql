-- How many instances there are stands beside what happened when, at the end of time: both are written by each commit that
-- starts or ends anything, and now lie on one page most often.

PRAGMA user_version = 6;

-- Of the rows at the end of time: how many are pending and running. How many are completed, failed and cancelled stands in
-- the columns of that name. Elsewhere 0.
ALTER TABLE minutes ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;
ALTER TABLE minutes ADD COLUMN running INTEGER NOT NULL DEFAULT 0;

INSERT INTO minutes (minute, task_id, pending, running, completed, failed, cancelled)
    SELECT 9223372036854775807, task_id, sum(iif(status = 0, n, 0)), sum(iif(status = 1, n, 0)),
        sum(iif(status = 2, n, 0)), sum(iif(status = 3, n, 0)), sum(iif(status = 4, n, 0))
    FROM totals GROUP BY task_id;

DROP TRIGGER instances_gone_are_counted;
DROP TABLE totals;

CREATE VIEW totals (task_id, status, n) AS
    SELECT task_id, 0, pending FROM minutes WHERE minute = 9223372036854775807
    UNION ALL SELECT task_id, 1, running FROM minutes WHERE minute = 9223372036854775807
    UNION ALL SELECT task_id, 2, completed FROM minutes WHERE minute = 9223372036854775807
    UNION ALL SELECT task_id, 3, failed FROM minutes WHERE minute = 9223372036854775807
    UNION ALL SELECT task_id, 4, cancelled FROM minutes WHERE minute = 9223372036854775807;

-- As before, but for where it is counted how many there are.
CREATE TRIGGER instances_gone_are_counted AFTER DELETE ON instances
BEGIN
    UPDATE minutes SET
        pending = pending - (OLD.status = 0),
        running = running - (OLD.status = 1),
        completed = completed - (OLD.status = 2),
        failed = failed - (OLD.status = 3),
        cancelled = cancelled - (OLD.status = 4)
        WHERE task_id = OLD.task_id AND minute = 9223372036854775807;
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
