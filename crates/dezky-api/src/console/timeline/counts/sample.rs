//! Counts of matches that are looked at one by one, where no hours tell.

use std::time::Instant;

use dezky_audit::Scope;
use dezky_store::projection::{Column, SearchRow};
use dezky_store::query::MAX_LIMIT;
use dezky_store::{Query, Stored};

use super::{FACETS, Moments, Tally};
use crate::app::App;
use crate::problem::Problem;

/// Matches that are looked at.
const MOST: usize = 10_000;

/// The newest matches, counted one by one.
#[derive(Default)]
pub(super) struct Sample {
    pub(super) tallies: [Tally; 4],
    pub(super) moments: Moments,
    pub(super) seen: u64,
    pub(super) complete: bool,
}

impl Sample {
    pub(super) async fn take(app: &App, scope: &Scope, query: &Query, deadline: Instant) -> Result<Self, Problem> {
        let mut sample = Self::default();
        let mut query = Query { limit: MAX_LIMIT, after: None, ..query.clone() };
        for _ in 0..MOST / MAX_LIMIT {
            let page = app.log.list(scope, &query).await?;
            sample.extend(&page.events);
            sample.complete = page.next.is_none();
            query.after = page.next;
            if sample.complete || Instant::now() > deadline {
                break;
            }
        }
        Ok(sample)
    }

    /// All matches, as the list has them.
    pub(super) fn of(events: &[Stored]) -> Self {
        let mut sample = Self { complete: true, ..Self::default() };
        sample.extend(events);
        sample
    }

    fn extend(&mut self, events: &[Stored]) {
        for event in events {
            self.add(&SearchRow::derive(event.seq, &event.line));
        }
    }

    fn add(&mut self, row: &SearchRow) {
        self.seen += 1;
        for (tally, (by, ..)) in self.tallies.iter_mut().zip(&FACETS) {
            if let Some(value) = by.column().and_then(|column| row.get(column)) {
                *tally.entry(value.to_owned()).or_default() += 1;
            }
        }
        let (all, ill) = self.moments.entry(row.at.unix_ms()).or_default();
        *all += 1;
        *ill += u64::from(row.get(Column::Outcome) != Some("success"));
    }
}
