//! Settings of a log: every one has a default that works on a laptop.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dezky_audit_core::ids::Origin;
use dezky_audit_core::note::HmacSecret;

use crate::keys::{IngestSecret, SharedKeys};

/// How a log is opened.
#[derive(Debug, Clone)]
pub struct Config {
    /// `AUDIT_LOG_ORIGIN`. `None`: the store's own, made when the store was (`localhost/` and 16 hex digits).
    pub origin: Option<Origin>,
    /// The folder of the signing keys (`*.key`), retired public keys (`*.vkey`) and `ingest.secret`. What is missing in it
    /// is made with mode 0600 on first start.
    pub keys_dir: PathBuf,
    /// `AUDIT_SIGNING_KEY`: when set, checkpoints carry an HMAC-SHA-256 line beside that of Ed25519.
    pub signing_secret: Option<HmacSecret>,
    /// The secret under which contents are compared when a source sends an event again. `None`: `ingest.secret` in the keys
    /// folder.
    pub ingest_secret: Option<IngestSecret>,
    /// Where several processes write to one store: the keys that all of them have. Then no key is made or taken from
    /// `keys_dir`, which only holds retired public keys; `ingest_secret` must be `None`.
    pub shared: Option<SharedKeys>,
    /// Where the newest checkpoint's note is kept beside the store, so that an older copy of the store is noticed at start.
    pub kept_checkpoint: Option<PathBuf>,
    /// Checkpoints of this log that were kept elsewhere. Opening a store that is behind one of them, or disagrees with it, is
    /// refused.
    pub known_checkpoints: Vec<KnownCheckpoint>,
    /// Checkpoints of this log are kept elsewhere, and cannot be read now: events are recorded, but nothing is signed until
    /// [`crate::AuditLog::compare`] was called.
    pub compare_later: bool,
    pub record: RecordLimits,
    pub checkpoints: CheckpointLimits,
    pub spool: SpoolConfig,
    /// The most findings that one verification names.
    pub max_findings: usize,
}

impl Config {
    /// The defaults, with keys and spool in `dir`.
    pub fn in_dir(dir: impl AsRef<Path>) -> Self {
        let dir = dir.as_ref();
        Self {
            origin: None,
            keys_dir: dir.join("keys"),
            signing_secret: None,
            ingest_secret: None,
            shared: None,
            kept_checkpoint: Some(dir.join("keys").join("checkpoint.note")),
            known_checkpoints: Vec::new(),
            compare_later: false,
            record: RecordLimits::default(),
            checkpoints: CheckpointLimits::default(),
            spool: SpoolConfig::in_dir(dir.join("spool")),
            max_findings: 1_000,
        }
    }
}

/// A signed checkpoint that was kept elsewhere than in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCheckpoint {
    /// The signed note, whole.
    pub note: String,
    /// Where it was kept, for people.
    pub from: String,
}

/// How much may wait, and how much is written at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLimits {
    /// The most events that wait for the recorder.
    pub queue_events: usize,
    /// The most bytes of events that wait for the recorder.
    pub queue_bytes: usize,
    /// The most events in one commit, unless one call brings more.
    pub batch_events: usize,
    /// The most bytes in one commit, unless one call brings more.
    pub batch_bytes: usize,
    /// The most tenants whose heads are kept in memory.
    pub tenant_heads: usize,
}

impl RecordLimits {
    /// The most events in one [`crate::AuditLog::record_batch`].
    pub const MAX_EVENTS: usize = dezky_store::log::MAX_BATCH_EVENTS;
    /// The most bytes of lines in one [`crate::AuditLog::record_batch`].
    pub const MAX_BYTES: usize = dezky_store::log::MAX_BATCH_BYTES;
}

impl Default for RecordLimits {
    fn default() -> Self {
        Self { queue_events: 20_000, queue_bytes: 128 << 20, batch_events: 2_000, batch_bytes: 16 << 20, tenant_heads: 10_000 }
    }
}

/// When a checkpoint is made without being asked for. Nothing new, no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointLimits {
    /// After this long.
    pub interval: Duration,
    /// After so many new events.
    pub events: u64,
    /// But for those, not more often than this.
    pub pause: Duration,
    /// After so long without an event, one is made (`audit.heartbeat`), and a checkpoint with it.
    pub heartbeat: Duration,
    /// Of several processes that share a store one makes the checkpoints; another takes over when it has not been heard of
    /// for so long.
    pub lease: Duration,
}

impl Default for CheckpointLimits {
    /// Every 5 minutes, after 100 events at most once a second, and after an idle hour; taken over after 30 seconds.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(300),
            events: 100,
            pause: Duration::from_secs(1),
            heartbeat: Duration::from_secs(3_600),
            lease: Duration::from_secs(30),
        }
    }
}

/// Where best-effort events wait while the store is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Shared by processes: each has a folder of its own in it.
    pub dir: PathBuf,
    /// What one process may keep, in bytes; reserved on the disk at start. Rounded down to whole segments, at least two.
    pub limit: u64,
    /// The size of one segment file, in bytes; at least 2 MiB, so that every event fits.
    pub segment: u64,
    /// The most events that wait in memory on their way to the recorder or the disk.
    pub queue_events: usize,
    /// The most bytes of them.
    pub queue_bytes: usize,
}

impl SpoolConfig {
    /// 64 MiB in segments of 4 MiB.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), limit: 64 << 20, segment: 4 << 20, queue_events: 20_000, queue_bytes: 64 << 20 }
    }
}
