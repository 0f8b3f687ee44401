//! How the log is doing, in numbers: a snapshot to be rendered.

/// A snapshot of a log's numbers. Counters count from the opening of the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// Events that wait for the recorder, and how many may.
    pub queue_events: usize,
    pub queue_events_limit: usize,
    /// Bytes of them, and how many may be.
    pub queue_bytes: usize,
    pub queue_bytes_limit: usize,
    /// Events written.
    pub recorded: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Events refused because their `(source, externalId)` has other content.
    pub conflicts: u64,
    /// Best-effort events that could never be recorded.
    pub refused: u64,
    /// Calls turned away because the queue was full.
    pub overloaded: u64,
    /// Appends that failed because the store was away.
    pub unavailable: u64,
    /// Appends whose outcome had to be found out.
    pub outcome_unknown: u64,
    /// Appends that another writer got ahead of.
    pub lost_races: u64,
    /// Events per append: upper bounds 1, 2, 4, … 8,192, then more.
    pub batch_events: Histogram,
    /// Seconds per append, from the store's taking it to durability: upper bounds 0.25 ms, doubling to 8 s, then more.
    pub commit_seconds: Histogram,
    /// The log's size as this process knows it.
    pub head_size: u64,
    /// The newest checkpoint's size, and its age in seconds by the log's clock; `None` before the first.
    pub checkpoint_size: Option<u64>,
    pub checkpoint_age_seconds: Option<f64>,
    /// Checkpoints made, and attempts that failed.
    pub checkpoints: u64,
    pub checkpoint_failures: u64,
    /// Best-effort events that wait in memory, and how many may.
    pub best_effort_queue: usize,
    pub best_effort_queue_limit: usize,
    /// The spool: entries not yet in the log, bytes used, bytes that may be.
    pub spool_entries: u64,
    pub spool_bytes: u64,
    pub spool_limit: u64,
    /// Best-effort events that went through the spool.
    pub spooled: u64,
    /// Best-effort events that were lost.
    pub lost: u64,
    /// Whether a verification is running, and how far it is.
    pub verifying: bool,
    pub verified_events: u64,
    /// The end of the last verification (Unix seconds), its exit code and number of findings.
    pub last_verify_unix_seconds: Option<f64>,
    pub last_verify_exit_code: Option<u8>,
    pub last_verify_findings: Option<u64>,
    /// The store's own queue, and the events that are not in its search copy yet.
    pub store_queue: usize,
    pub store_queue_limit: usize,
    pub uncopied_events: u64,
}

/// Observations by size.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Upper bound (inclusive) of a bucket and how many observations are at most that: cumulative, as Prometheus has it. The
    /// last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    pub sum: f64,
    pub count: u64,
}
