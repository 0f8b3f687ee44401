-- The same counts by one dimension each, whoever the tenant: 0 none, 1 tenant, 2 source, 3 action, 4 outcome; in spans of 1 or
-- 24 hours, time in those since 1970.
CREATE TABLE tally (
    dimension INTEGER NOT NULL,
    span INTEGER NOT NULL,
    time INTEGER NOT NULL,
    value TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (dimension, span, time, value)
) WITHOUT ROWID;

INSERT INTO tally SELECT 0, 1, hour, '', sum(n) FROM hourly GROUP BY hour;
INSERT INTO tally SELECT 1, 1, hour, tenant, sum(n) FROM hourly GROUP BY hour, tenant;
INSERT INTO tally SELECT 2, 1, hour, source, sum(n) FROM hourly GROUP BY hour, source;
INSERT INTO tally SELECT 3, 1, hour, action, sum(n) FROM hourly GROUP BY hour, action;
INSERT INTO tally SELECT 4, 1, hour, outcome, sum(n) FROM hourly GROUP BY hour, outcome;
INSERT INTO tally SELECT dimension, 24, time / 24, value, sum(n) FROM tally GROUP BY dimension, time / 24, value;
