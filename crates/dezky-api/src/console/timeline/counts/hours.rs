//! What the store counts by the hour, and so knows without looking at events.

use std::time::Instant;

use dezky_audit::Scope;
use dezky_audit_core::time::Timestamp;
use dezky_store::search::MAX_HOURLY_ROWS;
use dezky_store::{CountBy, HourCount};

use super::{HOUR_MS, Moments, Tally};
use crate::app::App;
use crate::problem::Problem;

const DAY_MS: u64 = 24 * HOUR_MS;

/// The store's hourly counts, read from the newest back, some days at a time, as long as there is time.
pub(super) struct Hours<'a> {
    pub(super) app: &'a App,
    pub(super) scope: &'a Scope,
    pub(super) since: u64,
    pub(super) until: u64,
    pub(super) deadline: Instant,
    /// Back to where the counting got, where it did not get to the beginning.
    pub(super) cut: Option<u64>,
}

impl Hours<'_> {
    /// The range in pieces of some days, which begin with a day where they can.
    fn pieces(&self, days: u64) -> impl Iterator<Item = (Timestamp, Timestamp)> + use<> {
        let first = self.since / HOUR_MS * HOUR_MS;
        let mut end = self.until.saturating_add(1);
        std::iter::from_fn(move || {
            if end <= first {
                return None;
            }
            let begin = (end - 1).saturating_sub((days - 1) * DAY_MS) / DAY_MS * DAY_MS;
            let piece = (Timestamp::from_unix_ms(begin.max(first))?, Timestamp::from_unix_ms(end)?);
            end = begin;
            Some(piece)
        })
    }

    fn is_late(&mut self, done: Timestamp) -> bool {
        let late = done.unix_ms() > self.since && Instant::now() > self.deadline;
        if late {
            self.stopped_at(done);
        }
        late
    }

    fn stopped_at(&mut self, at: Timestamp) {
        self.cut = Some(self.cut.unwrap_or(0).max(at.unix_ms()));
    }

    pub(super) async fn tally(&mut self, by: CountBy) -> Result<Tally, Problem> {
        let mut tally = Tally::new();
        for (since, until) in self.pieces(31) {
            for (value, n) in self.app.log.store().totals(self.scope, since, until, by).await? {
                *tally.entry(value).or_default() += n;
            }
            if self.is_late(since) {
                break;
            }
        }
        Ok(tally)
    }

    pub(super) async fn moments(&mut self, by: CountBy, admits: impl Fn(Option<&str>) -> bool) -> Result<Moments, Problem> {
        let mut moments = Moments::new();
        // As many hours as surely fit into one answer.
        for (since, until) in self.pieces(if matches!(by, CountBy::Action | CountBy::Tenant) { 2 } else { 60 }) {
            let rows = self.app.log.store().hourly(self.scope, since, until, by).await?;
            if rows.len() >= MAX_HOURLY_ROWS {
                self.stopped_at(since);
            }
            for HourCount { hour, value, n } in rows.into_iter().filter(|row| admits(row.value.as_deref())) {
                let (all, ill) = moments.entry(hour.unix_ms()).or_default();
                *all += n;
                *ill += if by == CountBy::Outcome && value.as_deref() != Some("success") { n } else { 0 };
            }
            if self.is_late(since) {
                break;
            }
        }
        Ok(moments)
    }
}
