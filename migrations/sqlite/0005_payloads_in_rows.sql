-- Short inputs and outputs stand in the instance's own row: each start and each end wrote one page and one row more.
-- What is longer stays beside it, so that a change of status does not write it again. Rows of before stay as they are.

PRAGMA user_version = 5;

-- NULL where they are in the table `inputs`.
ALTER TABLE instances ADD COLUMN inputs TEXT;
-- NULL where there is none, or where it is in the table `outputs`.
ALTER TABLE instances ADD COLUMN output TEXT;

-- A longer one of before would come out again.
CREATE TRIGGER instances_have_one_output BEFORE UPDATE OF output ON instances
    WHEN NEW.output IS NOT NULL AND OLD.output IS NULL
BEGIN
    DELETE FROM outputs WHERE number = OLD.number;
END;
CREATE TRIGGER instances_inputs_are_written_once BEFORE UPDATE OF inputs ON instances
BEGIN
    SELECT RAISE(ABORT, 'inputs never change');
END;
