//! The archiver's clockwork: once a day, from a given hour on (UTC), in one of all processes.

use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{Clock, StoreError};
use dezky_audit_core::time::Timestamp;
use dezky_store::{Store, Swap};
use tokio::sync::watch;

use crate::archiver::{ArchiveError, ArchiveReport, Archiver};

/// Names the cursor that says on which day the archiver last came to its end.
const DAY: &str = "archive-day";
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// How often it looks at the clock.
const TICK: Duration = Duration::from_secs(60);
/// After a failure it waits so long, by the clock.
const PAUSE_MS: u64 = 15 * 60_000;

/// When the worker runs next, given that it last came to its end on the day `done`, counted from 1970: now, where today's run is
/// due.
pub(crate) fn next_run(now: Timestamp, hour: u8, done: Option<u64>) -> Timestamp {
    let hour = u64::from(hour.min(23));
    let today = now.unix_ms() / DAY_MS;
    let day = if done.is_some_and(|done| done >= today) { today + 1 } else { today };
    let due = day.saturating_mul(DAY_MS) + hour * HOUR_MS;
    Timestamp::from_unix_ms(due.max(now.unix_ms())).unwrap_or(Timestamp::MAX)
}

/// The day on which the worker last came to its end.
pub(crate) async fn last_day(store: &dyn Store) -> Result<Option<u64>, StoreError> {
    Ok(store.bookmark(DAY).await?.and_then(|bookmark| bookmark.value.parse().ok()))
}

/// What came of a look at the clock.
#[derive(Debug)]
pub enum Tick {
    /// Today's run was made, or its hour has not come, or the last attempt was a short while ago.
    NotDue,
    Ran(ArchiveReport),
    /// Tried again in a quarter of an hour.
    Failed(ArchiveError),
}

/// Runs the archiver once a day.
pub struct Worker {
    archiver: Arc<Archiver>,
    clock: Arc<dyn Clock>,
    hour: u64,
    failed_at: Option<Timestamp>,
}

impl Worker {
    /// `hour` is that of the day in UTC, 0 to 23; what is more counts as 23.
    pub fn new(archiver: Arc<Archiver>, clock: Arc<dyn Clock>, hour: u8) -> Self {
        Self { archiver, clock, hour: u64::from(hour.min(23)), failed_at: None }
    }

    /// Looks at the clock every minute, until `stop` is true or its sender is gone. A run that was begun is finished.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            match self.tick().await {
                Tick::NotDue => {}
                Tick::Ran(report) => {
                    tracing::info!(batches = report.batches.len(), left = ?report.left, "the daily archiving is done");
                }
                Tick::Failed(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the daily archiving failed; it is tried again");
                }
            }
        }
    }

    /// Looks at the clock once, and runs the archiver if today's run is due. A day that was missed is not made up for, but the
    /// hour is: whoever starts later in the day runs then.
    pub async fn tick(&mut self) -> Tick {
        let now = self.clock.now();
        let paused = self.failed_at.is_some_and(|at| now.unix_ms() < at.unix_ms() + PAUSE_MS);
        if paused || now.unix_ms() % DAY_MS < self.hour * HOUR_MS {
            return Tick::NotDue;
        }
        match self.run_on(now.unix_ms() / DAY_MS).await {
            Ok(None) => Tick::NotDue,
            Ok(Some(report)) => {
                self.failed_at = None;
                Tick::Ran(report)
            }
            Err(error) => {
                self.failed_at = Some(now);
                Tick::Failed(error)
            }
        }
    }

    /// Runs the archiver unless some process has on this day, counted from 1970.
    async fn run_on(&self, day: u64) -> Result<Option<ArchiveReport>, ArchiveError> {
        let store = self.archiver.log().store();
        let done = store.bookmark(DAY).await?;
        let last = done.as_ref().and_then(|bookmark| bookmark.value.parse::<u64>().ok());
        if last.is_some_and(|last| last >= day) {
            return Ok(None);
        }
        let report = self.archiver.run().await?;
        let version = done.map_or(0, |bookmark| bookmark.version);
        match store.move_bookmark(DAY, version, &day.to_string()).await {
            // Another process has noted its own run of today: both were made, one after the other.
            Ok(Swap::Done { .. } | Swap::Conflict { .. }) => Ok(Some(report)),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_run_is_due_from_its_hour_on_once_a_day() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (before, after) = (at("2026-05-01T02:00:00.000Z"), at("2026-05-01T09:30:00.000Z"));
        let today = before.unix_ms() / DAY_MS;
        assert_eq!(next_run(before, 3, None), at("2026-05-01T03:00:00.000Z"));
        assert_eq!(next_run(after, 3, Some(today - 1)), after);
        assert_eq!(next_run(after, 3, Some(today)), at("2026-05-02T03:00:00.000Z"));
    }
}
