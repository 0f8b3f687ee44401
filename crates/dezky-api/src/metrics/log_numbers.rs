//! The log's numbers, as they are when somebody asks.

use std::fmt;

use dezky_audit::{AuditLog, Histogram, Metrics};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

pub(super) struct LogNumbers(AuditLog);

impl LogNumbers {
    pub(super) const fn new(log: AuditLog) -> Self {
        Self(log)
    }
}

impl fmt::Debug for LogNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogNumbers")
    }
}

impl Collector for LogNumbers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        write(&self.0.metrics(), &mut Writer(encoder))
    }
}

fn write(now: &Metrics, out: &mut Writer<'_>) -> fmt::Result {
    out.gauge("queue_events", "Events that wait for the recorder", now.queue_events)?;
    out.gauge("queue_events_limit", "How many may", now.queue_events_limit)?;
    out.gauge("queue_bytes", "Bytes of events that wait for the recorder", now.queue_bytes)?;
    out.gauge("queue_bytes_limit", "How many may be", now.queue_bytes_limit)?;
    out.counter("recorded_events", "Events written", now.recorded)?;
    out.counter("duplicate_events", "Events that were there already", now.duplicates)?;
    out.counter("conflicting_events", "Events refused because their externalId has other content", now.conflicts)?;
    out.counter("refused_best_effort_events", "Best-effort events that can never be recorded", now.refused)?;
    out.counter("overloads", "Calls turned away because the queue was full", now.overloaded)?;
    out.counter("store_unavailable", "Appends that failed because the store was away", now.unavailable)?;
    out.counter("unknown_outcomes", "Appends whose outcome had to be found out", now.outcome_unknown)?;
    out.counter("lost_races", "Appends that another writer got ahead of", now.lost_races)?;
    out.histogram("batch_events", "Events in one append", &now.batch_events)?;
    out.histogram("commit_seconds", "One append, until it is durable", &now.commit_seconds)?;
    out.gauge("head_size", "The size of the log", now.head_size)?;
    out.known("checkpoint_size", "The size of the newest checkpoint", now.checkpoint_size)?;
    out.seconds("checkpoint_age_seconds", "The age of the newest checkpoint", now.checkpoint_age_seconds)?;
    out.counter("checkpoints", "Checkpoints made", now.checkpoints)?;
    out.counter("checkpoint_failures", "Checkpoints that could not be made", now.checkpoint_failures)?;
    let waits = u64::from(now.awaits_comparison);
    out.gauge("signing_withheld", "Whether nothing is signed until the checkpoints beside the archives were compared", waits)?;
    out.gauge("best_effort_queue_events", "Best-effort events that wait in memory", now.best_effort_queue)?;
    out.gauge("best_effort_queue_events_limit", "How many may", now.best_effort_queue_limit)?;
    out.gauge("spool_entries", "Spooled events that are not in the log yet", now.spool_entries)?;
    out.gauge("spool_bytes", "Bytes of the spool in use", now.spool_bytes)?;
    out.gauge("spool_bytes_limit", "How many may be", now.spool_limit)?;
    out.counter("spooled_events", "Best-effort events that went through the spool", now.spooled)?;
    out.counter("lost_events", "Best-effort events that were lost", now.lost)?;
    out.gauge("verification_running", "Whether a verification is running", u64::from(now.verifying))?;
    out.gauge("verification_events", "How many events it has checked", now.verified_events)?;
    out.seconds("last_verification_timestamp_seconds", "When the last one ended", now.last_verify_unix_seconds)?;
    out.known("last_verification_exit_code", "What it came to", now.last_verify_exit_code.map(u64::from))?;
    out.known("last_verification_findings", "How many findings it had", now.last_verify_findings)?;
    out.gauge("store_queue", "Writes that wait for the store", now.store_queue)?;
    out.gauge("store_queue_limit", "How many may", now.store_queue_limit)?;
    out.gauge("uncopied_events", "Events that are not in the search copy yet", now.uncopied_events)
}

pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

impl Writer<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl TryInto<i64>) -> fmt::Result {
        let value = value.try_into().unwrap_or(i64::MAX);
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn known(&mut self, name: &str, help: &str, value: Option<u64>) -> fmt::Result {
        value.map_or(Ok(()), |value| self.gauge(name, help, value))
    }

    pub(super) fn seconds(&mut self, name: &str, help: &str, value: Option<f64>) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn histogram(&mut self, name: &str, help: &str, value: &Histogram) -> fmt::Result {
        // The encoder adds up what each bucket has for itself.
        let mut below = 0;
        let buckets: Vec<_> = value
            .buckets
            .iter()
            .map(|(bound, total)| {
                let own = total.saturating_sub(below);
                below = *total;
                (*bound, own)
            })
            .collect();
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(value.sum, value.count, &buckets, None)
    }
}
