-- The log. One row: where it ends (size, hash, peaks: 32 bytes each) and up to where it has been archived.
CREATE TABLE log (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    hash BLOB NOT NULL,
    peaks BLOB NOT NULL,
    border INTEGER NOT NULL
);

-- The events: their canonical bytes.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    line BLOB NOT NULL
);

-- What was ever recorded under a key of its source; kept for ever.
CREATE TABLE receipt (
    source TEXT NOT NULL,
    external_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    mac BLOB,
    PRIMARY KEY (source, external_id)
) WITHOUT ROWID;

CREATE TABLE tenant_head (
    slug TEXT PRIMARY KEY,
    tenant_seq INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    peaks BLOB NOT NULL
) WITHOUT ROWID;

-- Hash tiles: id is level * 2^48 + index; 1 to 256 hashes of 32 bytes.
CREATE TABLE tile (
    id INTEGER PRIMARY KEY,
    hashes BLOB NOT NULL
);

-- The earliest recordedAt (ms) among the events of a block of 1,024 positions.
CREATE TABLE recorded (
    block INTEGER PRIMARY KEY,
    earliest INTEGER NOT NULL
);

-- Archived ranges that are back until a time (ms).
CREATE TABLE restored (
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (first, last)
) WITHOUT ROWID;

-- The search copy: what the lines say, readable; at is in ms.
CREATE TABLE search (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    action TEXT,
    outcome TEXT,
    source TEXT,
    actor_type TEXT,
    actor_id TEXT,
    actor_email TEXT,
    resource_type TEXT,
    resource_id TEXT,
    resource_name TEXT,
    tenant_slug TEXT,
    partner_slug TEXT,
    client_ip TEXT
);

-- The index of search, in segments of up to 30,720 events: how many, from which seq to which, from which at to which.
CREATE TABLE segment (
    id INTEGER PRIMARY KEY,
    events INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    earliest INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    stale INTEGER NOT NULL
);

-- The events of a segment in the order of (at, seq), 256 a row: id is segment * 2^8 + nth row.
CREATE TABLE place (
    id INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

-- Which of them have which hashed term: id is segment * 2^40 + the first term in the row.
CREATE TABLE posting (
    id INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

-- Up to where the log has been copied into search and indexed, and counted into hourly.
CREATE TABLE copied (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    up_to INTEGER NOT NULL,
    counted INTEGER NOT NULL
);
INSERT INTO copied VALUES (1, 0, 0);

-- Events per hour of at (in hours since 1970); '' stands for an absent value.
CREATE TABLE hourly (
    hour INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    source TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (hour, tenant, source, action, outcome)
) WITHOUT ROWID;

CREATE TABLE checkpoint (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    size INTEGER NOT NULL,
    at INTEGER NOT NULL,
    head_hash BLOB NOT NULL,
    root BLOB NOT NULL,
    reason TEXT NOT NULL,
    note TEXT NOT NULL,
    note_digest BLOB NOT NULL
);
CREATE UNIQUE INDEX checkpoint_once ON checkpoint (size, note_digest);
CREATE INDEX checkpoint_size ON checkpoint (size, id);

CREATE TABLE bookmark (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE batch (
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (first, revision)
);

CREATE TABLE archive_intent (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    document TEXT NOT NULL
);

CREATE TABLE lease (
    name TEXT PRIMARY KEY,
    token INTEGER NOT NULL,
    holder TEXT NOT NULL,
    until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    report TEXT NOT NULL
);

CREATE TABLE document (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (collection, key)
);

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL
);

CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
