//! Lists, counts, and the check of the copy, by looking at every event.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::time::Timestamp;

use super::MemoryStore;
use super::state::Entry;
use crate::copy::{Checked, SearchCopy};
use crate::error::StoreError;
use crate::log::{EventLog, ReadLimit, Stored};
use crate::projection::{Column, SearchRow};
use crate::query::{Cursor, Filter, MAX_LIMIT, MAX_PAGE_BYTES, Order, Query};
use crate::search::{Count, CountBy, HourCount, MAX_HOURLY_ROWS, Page, Scope, Search, summed};

#[async_trait]
impl Search for MemoryStore {
    async fn list(&self, scope: &Scope, query: &Query) -> Result<Page, StoreError> {
        if query.after.is_some_and(|cursor| cursor.order != query.order) {
            return Err(StoreError::refused("the cursor is of the other order"));
        }
        let started = Instant::now();
        let state = self.state()?;
        let ascending = state.order.iter();
        let places: Box<dyn Iterator<Item = &(Timestamp, u64)> + Send> = match query.order {
            Order::Ascending => Box::new(ascending),
            Order::Descending => Box::new(ascending.rev()),
        };
        let mut page = Page { events: Vec::new(), next: None, visited: 0, out_of_time: false };
        let (mut last, mut bytes) = (None, 0);
        for (at, seq) in places.filter(|(at, seq)| query.after.is_none_or(|cursor| cursor.admits(*at, *seq))) {
            page.out_of_time = last.is_some() && started.elapsed() > query.budget;
            if page.out_of_time || page.events.len() >= query.limit.clamp(1, MAX_LIMIT) {
                page.next = last.map(|(at, seq)| Cursor { at, seq, order: query.order });
                return Ok(page);
            }
            page.visited += 1;
            let before = last.replace((*at, *seq));
            if let Some(entry) = state.events.get(seq)
                && scope.admits(entry.row.get(Column::TenantSlug))
                && query.filter.matches(&entry.row)
            {
                bytes += entry.line.len();
                if bytes > MAX_PAGE_BYTES && !page.events.is_empty() {
                    page.next = before.map(|(at, seq)| Cursor { at, seq, order: query.order });
                    return Ok(page);
                }
                page.events.push(Stored { seq: *seq, line: entry.line.clone() });
            }
        }
        Ok(page)
    }

    async fn get(&self, scope: &Scope, seq: Seq) -> Result<Option<Stored>, StoreError> {
        let state = self.state()?;
        let entry = state.events.get(&seq.get()).filter(|entry| scope.admits(entry.row.get(Column::TenantSlug)));
        Ok(entry.map(|entry| Stored { seq: seq.get(), line: entry.line.clone() }))
    }

    async fn count(&self, scope: &Scope, filter: &Filter, _budget: Duration) -> Result<Count, StoreError> {
        let state = self.state()?;
        let matches = |entry: &&Entry| scope.admits(entry.row.get(Column::TenantSlug)) && filter.matches(&entry.row);
        Ok(Count { n: state.events.values().filter(matches).count() as u64, exact: true })
    }

    async fn hourly(&self, scope: &Scope, since: Timestamp, until: Timestamp, by: CountBy) -> Result<Vec<HourCount>, StoreError> {
        let rows = self.hours(scope, since, until, by)?.into_iter().map(|((hour, value), n)| HourCount { hour, value, n });
        Ok(rows.take(MAX_HOURLY_ROWS).collect())
    }

    async fn totals(
        &self,
        scope: &Scope,
        since: Timestamp,
        until: Timestamp,
        by: CountBy,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        Ok(summed(self.hours(scope, since, until, by)?))
    }
}

impl MemoryStore {
    fn hours(
        &self,
        scope: &Scope,
        since: Timestamp,
        until: Timestamp,
        by: CountBy,
    ) -> Result<BTreeMap<(Timestamp, Option<String>), u64>, StoreError> {
        let state = self.state()?;
        let hour = |time: Timestamp| time.unix_ms() / 3_600_000;
        let mut counts: BTreeMap<(Timestamp, Option<String>), u64> = BTreeMap::new();
        for ((at, values), n) in &state.hourly {
            let within = hour(since) <= hour(*at) && *at < until;
            if !within || !scope.admits(values[0].as_deref()) {
                continue;
            }
            let value = by.place().and_then(|place| values[place].as_deref());
            *counts.entry((*at, value.map(str::to_owned))).or_default() += n;
        }
        Ok(counts)
    }
}

#[async_trait]
impl SearchCopy for MemoryStore {
    async fn check(&self, range: RangeInclusive<u64>, limit: ReadLimit) -> Result<Vec<Checked>, StoreError> {
        let read = self.read(range, limit).await?;
        let state = self.state()?;
        let checked = read.into_iter().map(|Stored { seq, line }| {
            let derived = SearchRow::derive(seq, &line);
            let differences = state.events.get(&seq).map(|entry| derived.differences(&entry.row)).unwrap_or_default();
            Checked { seq, line, differences }
        });
        Ok(checked.collect())
    }

    async fn settle(&self) -> Result<(), StoreError> {
        self.state().map(drop)
    }

    async fn rebuild(&self) -> Result<(), StoreError> {
        let mut state = self.state()?;
        for (seq, entry) in &mut state.events {
            entry.row = SearchRow::derive(*seq, &entry.line);
        }
        state.order = state.events.iter().map(|(seq, entry)| (entry.row.at, *seq)).collect();
        Ok(())
    }
}
