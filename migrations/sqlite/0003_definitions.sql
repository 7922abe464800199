-- Commands that were registered over HTTP. Ids and names are one namespace, which the daemon keeps together with the
-- tasks that are compiled in or configured.

PRAGMA user_version = 3;

CREATE TABLE definitions (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    -- A JSON array of strings.
    command TEXT NOT NULL,
    timeout INTEGER,
    queue_timeout INTEGER,
    max_attempts INTEGER NOT NULL,
    retry_delay INTEGER NOT NULL,
    concurrency INTEGER,
    -- JSON Schemas.
    input_schema TEXT,
    output_schema TEXT,
    app_id TEXT,
    app_version_id TEXT,
    created_at INTEGER NOT NULL
) STRICT;
