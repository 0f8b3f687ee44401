//! How the log is doing, in numbers: a snapshot to be rendered.

mod counters;

pub(crate) use counters::Counters;

use crate::audit_log::Inner;

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
    /// Whether nothing is signed until checkpoints that are kept elsewhere were compared.
    pub awaits_comparison: bool,
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

impl Metrics {
    pub(crate) fn of(log: &Inner) -> Self {
        let counters = &log.counters;
        let waiting = log.queue.depth();
        let checkpoint = log.newest.borrow().as_ref().map(|record| (record.size, record.at));
        let now = log.world.clock.now();
        let seconds = |ms: u64| std::time::Duration::from_millis(ms).as_secs_f64();
        let last = log.verifier.last();
        let store = log.store.gauges();
        Self {
            queue_events: waiting.events,
            queue_events_limit: log.record_limits.queue_events,
            queue_bytes: waiting.bytes,
            queue_bytes_limit: log.record_limits.queue_bytes,
            recorded: counters.recorded.get(),
            duplicates: counters.duplicates.get(),
            conflicts: counters.conflicts.get(),
            refused: counters.refused.get(),
            overloaded: counters.overloaded.get(),
            unavailable: counters.unavailable.get(),
            outcome_unknown: counters.outcome_unknown.get(),
            lost_races: counters.lost_races.get(),
            batch_events: counters.batch_events.snapshot(),
            commit_seconds: counters.commit_seconds.snapshot(),
            head_size: *log.size.borrow(),
            checkpoint_size: checkpoint.map(|(size, _)| size),
            checkpoint_age_seconds: checkpoint.map(|(_, at)| seconds(now.unix_ms().saturating_sub(at.unix_ms()))),
            checkpoints: counters.checkpoints.get(),
            checkpoint_failures: counters.checkpoint_failures.get(),
            awaits_comparison: !*log.compared.borrow(),
            best_effort_queue: log.lane.len(),
            best_effort_queue_limit: log.lane_limit,
            spool_entries: log.spool_gauges.entries(),
            spool_bytes: log.spool_gauges.bytes(),
            spool_limit: log.spool_limit,
            spooled: counters.spooled.get(),
            lost: counters.lost.get(),
            verifying: log.verifier.is_running(),
            verified_events: counters.verified_events.get(),
            last_verify_unix_seconds: last.map(|last| seconds(last.at.unix_ms())),
            last_verify_exit_code: last.map(|last| last.exit_code),
            last_verify_findings: last.map(|last| last.findings),
            store_queue: store.write_queue,
            store_queue_limit: store.write_queue_limit,
            uncopied_events: store.uncopied_events,
        }
    }
}
