-- One index in place of two: each start wrote one page and one entry more. It leads through the instances of a status,
-- of a task, and of a task in a status; a list by task merges five walks along it, a list by status one of each task.

PRAGMA user_version = 4;

DROP INDEX instances_task;
DROP INDEX instances_status;
CREATE INDEX instances_status ON instances (status, task_id, number);
