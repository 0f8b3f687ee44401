//! When the next checkpoint is due: arithmetic on times and sizes only.

use std::time::Duration;

use dezky_audit_core::checkpoint::Reason;
use tokio::time::Instant;

use crate::config::CheckpointLimits;

/// After a failure, how long until the next attempt.
const RETRY: Duration = Duration::from_secs(5);
/// Beyond any clock's patience: nothing is due.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

#[derive(Debug)]
pub(super) struct Cadence {
    limits: CheckpointLimits,
    /// The size of the newest checkpoint, and of the log.
    signed: u64,
    size: u64,
    /// When the last checkpoint was made, and when the first event came that it does not cover.
    last: Instant,
    waiting_since: Option<Instant>,
    last_event: Instant,
    not_before: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Checkpoint(Reason),
    /// An event `audit.heartbeat`, and a checkpoint of it.
    Heartbeat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) at: Instant,
    pub(super) what: Due,
}

impl Cadence {
    pub(super) fn new(limits: CheckpointLimits, now: Instant, signed: u64) -> Self {
        Self { limits, signed, size: signed, last: now, waiting_since: None, last_event: now, not_before: now }
    }

    /// The log has `size` events.
    pub(super) fn grown(&mut self, now: Instant, size: u64) {
        if size <= self.size {
            return;
        }
        self.size = size;
        self.last_event = now;
        if size > self.signed {
            self.waiting_since.get_or_insert(now);
        }
    }

    /// A checkpoint covers `size` events.
    pub(super) fn signed(&mut self, now: Instant, size: u64) {
        if size > self.size {
            self.last_event = now;
        }
        self.signed = size;
        self.size = self.size.max(size);
        self.last = now;
        self.waiting_since = (self.size > size).then_some(now);
    }

    /// Some process has signed for `size` events.
    pub(super) fn known(&mut self, now: Instant, size: u64) {
        if size > self.signed {
            self.signed(now, size);
        }
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.not_before = now + RETRY;
    }

    pub(super) fn next(&self) -> Next {
        let heartbeat = Next { at: self.last_event + self.limits.heartbeat.min(NEVER), what: Due::Heartbeat };
        let checkpoint = self.waiting_since.map(|since| {
            if self.size - self.signed.min(self.size) >= self.limits.events {
                Next { at: self.last + self.limits.pause, what: Due::Checkpoint(Reason::Threshold) }
            } else {
                Next { at: since + self.limits.interval.min(NEVER), what: Due::Checkpoint(Reason::Interval) }
            }
        });
        let next = checkpoint.filter(|checkpoint| checkpoint.at <= heartbeat.at).unwrap_or(heartbeat);
        Next { at: next.at.max(self.not_before), what: next.what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_event_waits_no_longer_than_the_interval() {
        let start = Instant::now();
        let mut cadence = Cadence::new(CheckpointLimits::default(), start, 0);
        assert_eq!(cadence.next(), Next { at: start + 3_600 * SECOND, what: Due::Heartbeat });
        cadence.grown(start + 1_000 * SECOND, 1);
        cadence.grown(start + 1_010 * SECOND, 99);
        assert_eq!(cadence.next(), Next { at: start + 1_300 * SECOND, what: Due::Checkpoint(Reason::Interval) });
        cadence.signed(start + 1_300 * SECOND, 99);
        assert_eq!(cadence.next(), Next { at: start + 4_610 * SECOND, what: Due::Heartbeat });
    }

    #[test]
    fn many_events_are_signed_at_most_once_a_second() {
        let start = Instant::now();
        let mut cadence = Cadence::new(CheckpointLimits::default(), start, 0);
        cadence.grown(start + 10 * SECOND, 100);
        let due = cadence.next();
        assert_eq!(due.what, Due::Checkpoint(Reason::Threshold));
        assert!(due.at <= start + 10 * SECOND);
        cadence.signed(start + 10 * SECOND, 100);
        cadence.grown(start + 10 * SECOND + SECOND / 10, 5_000);
        assert_eq!(cadence.next().at, start + 11 * SECOND);
    }

    #[test]
    fn what_came_while_signing_is_waiting() {
        let start = Instant::now();
        let mut cadence = Cadence::new(CheckpointLimits::default(), start, 0);
        cadence.grown(start, 120);
        cadence.signed(start, 110);
        assert_eq!(cadence.next(), Next { at: start + 300 * SECOND, what: Due::Checkpoint(Reason::Interval) });
    }

    #[test]
    fn a_failure_is_not_repeated_at_once() {
        let start = Instant::now();
        let mut cadence = Cadence::new(CheckpointLimits::default(), start, 0);
        cadence.grown(start, 200);
        cadence.failed(start + 2 * SECOND);
        assert_eq!(cadence.next().at, start + 2 * SECOND + RETRY);
    }
}
