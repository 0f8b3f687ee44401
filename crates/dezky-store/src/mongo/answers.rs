//! Lists and counts, in windows of the leading index.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::time::Timestamp;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use super::MongoStore;
use super::chain::hint;
use super::document::{row, stored};
use super::plan::{Plan, Span};
use super::value::{date, integer, member, number, optional_time};
use crate::error::StoreError;
use crate::log::Stored;
use crate::projection::Column;
use crate::query::{Cursor, Filter, MAX_LIMIT, MAX_PAGE_BYTES, Order, Query};
use crate::search::{Count, CountBy, HourCount, MAX_HOURLY_ROWS, Page, Scope, Search, summed};

/// Entries in the first window of a page; each later one has twice as many, up to the most.
const FIRST_WINDOW: u64 = 2_000;
const LARGEST_WINDOW: u64 = 64_000;
const HOUR_MS: u64 = 3_600_000;

#[async_trait]
impl Search for MongoStore {
    async fn list(&self, scope: &Scope, query: &Query) -> Result<Page, StoreError> {
        if query.after.is_some_and(|cursor| cursor.order != query.order) {
            return Err(StoreError::refused("the cursor is of the other order"));
        }
        let began = Instant::now();
        let limit = query.limit.clamp(1, MAX_LIMIT);
        let plan = Plan::new(scope, &query.filter);
        let events = self.listing()?;
        let mut span = Span::new(&query.filter, query.order, query.after);
        let mut page = Page { events: Vec::new(), next: None, visited: 0, out_of_time: false };
        if sees_nothing(scope) {
            return Ok(page);
        }
        let (mut bytes, mut last, mut window) = (0, None, FIRST_WINDOW);
        loop {
            span.end = if plan.whole { None } else { self.window_end(&events, &plan, &span, window).await? };
            // One more than the page holds tells whether there is a next one.
            let most = i64::try_from(limit + 1 - page.events.len()).unwrap_or(i64::MAX);
            let question = events.find(plan.matching(&span)).hint(hint(plan.index)).sort(span.sort()).limit(most);
            let mut cursor = self.ask(async { question.await }).await?;
            let mut got = 0;
            while self.ask(cursor.advance()).await? {
                let document = cursor.current();
                got += 1;
                page.visited += 1;
                let seq = number(document, "_id")?;
                let row = row(document, seq);
                let place = Cursor { at: row.at, seq, order: query.order };
                let wanted = scope.admits(row.get(Column::TenantSlug)) && query.filter.matches(&row);
                if wanted && let Some(stored) = stored(document)? {
                    bytes += stored.line.len();
                    if page.events.len() == limit || (bytes > MAX_PAGE_BYTES && !page.events.is_empty()) {
                        page.next = last;
                        return Ok(page);
                    }
                    page.events.push(stored);
                }
                last = Some(place);
            }
            // A question that was cut off by its limit has only been answered up to the last row.
            let reached = if got < most { span.end } else { last };
            let Some(reached) = reached else { return Ok(page) };
            span.after = Some(reached);
            window = (window * 2).min(LARGEST_WINDOW);
            if began.elapsed() > query.budget {
                (page.next, page.out_of_time) = (Some(reached), true);
                return Ok(page);
            }
        }
    }

    async fn get(&self, scope: &Scope, seq: Seq) -> Result<Option<Stored>, StoreError> {
        let events = self.events()?;
        let Some(found) = self.first(events.find(doc! { "_id": integer(seq.get()) })).await? else { return Ok(None) };
        if !scope.admits(row(&found, seq.get()).get(Column::TenantSlug)) {
            return Ok(None);
        }
        stored(&found)
    }

    async fn count(&self, scope: &Scope, filter: &Filter, budget: Duration) -> Result<Count, StoreError> {
        let began = Instant::now();
        let plan = Plan::new(scope, filter);
        let events = self.listing()?;
        let mut span = Span::new(filter, Order::Descending, None);
        let (mut n, mut window) = (0, FIRST_WINDOW);
        if sees_nothing(scope) {
            return Ok(Count { n, exact: true });
        }
        loop {
            span.end = self.window_end(&events, &plan, &span, window).await?;
            n += match span.end {
                Some(_) if plan.whole => window,
                _ if plan.exact => {
                    let matching = plan.matching(&span);
                    self.ask(async { events.count_documents(matching).hint(hint(plan.index)).await }).await?
                }
                _ => {
                    let copies = events.find(plan.matching(&span)).hint(hint(plan.index)).projection(doc! { "line": 0 });
                    let rows = self.all(copies).await?;
                    let wanted = rows.iter().map(|found| row(found, 0));
                    wanted.filter(|row| scope.admits(row.get(Column::TenantSlug)) && filter.matches(row)).count() as u64
                }
            };
            if span.end.is_none() {
                return Ok(Count { n, exact: true });
            }
            if began.elapsed() > budget {
                return Ok(Count { n, exact: false });
            }
            span.after = span.end;
            window = (window * 2).min(LARGEST_WINDOW);
        }
    }

    async fn hourly(&self, scope: &Scope, since: Timestamp, until: Timestamp, by: CountBy) -> Result<Vec<HourCount>, StoreError> {
        let counts = self.hours(scope, since, until, by).await?;
        let rows = counts.into_iter().map(|((hour, value), n)| HourCount { hour: hour_time(hour), value, n });
        Ok(rows.take(MAX_HOURLY_ROWS).collect())
    }

    async fn totals(
        &self,
        scope: &Scope,
        since: Timestamp,
        until: Timestamp,
        by: CountBy,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        Ok(summed(self.hours(scope, since, until, by).await?))
    }
}

impl MongoStore {
    async fn hours(&self, scope: &Scope, since: Timestamp, until: Timestamp, by: CountBy) -> Result<Counts, StoreError> {
        let column = by.column().map(Column::as_str);
        let hours = since.unix_ms() / HOUR_MS..until.unix_ms().div_ceil(HOUR_MS);
        let border = number(&self.log_document(&["border"]).await?, "border")?;
        let mut counts = Counts::new();
        self.count_departed(scope, &hours, border, column, &mut counts).await?;
        self.count_hot(scope, &hours, border, column, &mut counts).await?;
        Ok(counts)
    }
}

fn sees_nothing(scope: &Scope) -> bool {
    matches!(scope, Scope::Tenants(slugs) if slugs.is_empty())
}

fn hour_time(hour: u64) -> Timestamp {
    Timestamp::from_unix_ms(hour.saturating_mul(HOUR_MS)).unwrap_or(Timestamp::MAX)
}

type Counts = BTreeMap<(u64, Option<String>), u64>;

impl MongoStore {
    fn listing(&self) -> Result<Collection<RawDocumentBuf>, StoreError> {
        self.alive()?;
        Ok(self.lists.collection("event"))
    }

    /// The place of the last of the next entries of the leading index; `None` when there are fewer than a window of them.
    async fn window_end(
        &self,
        events: &Collection<RawDocumentBuf>,
        plan: &Plan,
        span: &Span,
        window: u64,
    ) -> Result<Option<Cursor>, StoreError> {
        let mut open = *span;
        open.end = None;
        let ahead = events.find(plan.entries(&open)).hint(hint(plan.index)).sort(span.sort());
        let end = self.first(ahead.skip(window - 1).projection(doc! { "at": 1, "_id": 1 })).await?;
        let Some(end) = end else { return Ok(None) };
        let at = optional_time(&end, "at").ok_or_else(|| StoreError::corrupt("an event's 'at'"))?;
        Ok(Some(Cursor { at, seq: number(&end, "_id")?, order: span.order }))
    }

    async fn count_departed(
        &self,
        scope: &Scope,
        hours: &std::ops::Range<u64>,
        border: u64,
        column: Option<&str>,
        counts: &mut Counts,
    ) -> Result<(), StoreError> {
        let departed = self.collection("departed")?;
        for slice in self.all(departed.find(doc! { "last": { "$lte": integer(border) } })).await? {
            let rows = member(&slice, "rows").and_then(|rows| rows.as_array());
            for row in rows.into_iter().flatten().filter_map(|row| row.ok()?.as_document()) {
                let text = |name: &str| member(row, name).and_then(|value| value.as_str());
                let hour = number(row, "hour")?;
                if hours.contains(&hour) && scope.admits(text("tenant_slug")) {
                    *counts.entry((hour, column.and_then(text).map(str::to_owned))).or_default() += number(row, "n")?;
                }
            }
        }
        Ok(())
    }

    async fn count_hot(
        &self,
        scope: &Scope,
        hours: &std::ops::Range<u64>,
        border: u64,
        column: Option<&str>,
        counts: &mut Counts,
    ) -> Result<(), StoreError> {
        let mut wanted = doc! {
            "at": { "$gte": date(hour_time(hours.start)), "$lt": date(hour_time(hours.end)) },
            "_id": { "$gt": integer(border) },
        };
        if let Scope::Tenants(slugs) = scope {
            wanted.insert("tenant_slug", doc! { "$in": slugs.iter().map(AsRef::as_ref).collect::<Vec<&str>>() });
        }
        let ms = doc! { "$toLong": "$at" };
        let hour = doc! { "$subtract": [ms.clone(), { "$mod": [ms, integer(HOUR_MS)] }] };
        let value = column.map_or(Bson::Null, |column| Bson::String(format!("${column}")));
        let group = doc! { "_id": { "hour": hour, "value": value }, "n": { "$sum": 1_i64 } };
        let events = self.listing()?;
        let pipeline: [Document; 2] = [doc! { "$match": wanted }, doc! { "$group": group }];
        let mut cursor = self.ask(async { events.aggregate(pipeline).await }).await?;
        while self.ask(cursor.advance()).await? {
            let found = cursor.current();
            let id = super::value::part(found, "_id").ok_or_else(|| StoreError::corrupt("a count"))?;
            let value = member(id, "value").and_then(|value| Some(value.as_str()?.to_owned()));
            *counts.entry((number(id, "hour")? / HOUR_MS, value)).or_default() += number(found, "n")?;
        }
        Ok(())
    }
}
