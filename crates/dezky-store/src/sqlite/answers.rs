//! Lists and counts: what the walk over the copy finds, and the short rest of the log that is not copied yet.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::SqliteStore;
use super::append::read_head;
use super::fault::{Fault, unavailable};
use super::index::read_row;
use super::indexer::copied;
use super::plan::{Plan, tenants};
use super::segment::Place;
use super::tally;
use super::value::{bytes, integer, number};
use super::walk::{Deadline, End, Walk, row_of};
use crate::error::StoreError;
use crate::log::Stored;
use crate::projection::{Column, SearchRow};
use crate::query::{Cursor, Filter, MAX_LIMIT, MAX_PAGE_BYTES, Order, Query};
use crate::search::{Count, CountBy, HourCount, Page, Scope, Search};

/// The most events that are read from the lines because the copy lacks them.
const MAX_REST: u64 = 50_000;

#[async_trait]
impl Search for SqliteStore {
    async fn list(&self, scope: &Scope, query: &Query) -> Result<Page, StoreError> {
        if query.after.is_some_and(|cursor| cursor.order != query.order) {
            return Err(StoreError::refused("the cursor is of the other order"));
        }
        let (scope, query) = (scope.clone(), query.clone());
        self.read_side(move |connection| list(connection, &scope, &query)).await
    }

    async fn get(&self, scope: &Scope, seq: Seq) -> Result<Option<Stored>, StoreError> {
        let scope = scope.clone();
        self.read_side(move |connection| get(connection, &scope, seq)).await
    }

    async fn count(&self, scope: &Scope, filter: &Filter, budget: Duration) -> Result<Count, StoreError> {
        let (scope, filter) = (scope.clone(), filter.clone());
        self.read_side(move |connection| count(connection, &scope, &filter, budget)).await
    }

    async fn hourly(&self, scope: &Scope, since: Timestamp, until: Timestamp, by: CountBy) -> Result<Vec<HourCount>, StoreError> {
        let scope = scope.clone();
        self.read_side(move |connection| tally::hourly(connection, &scope, since, until, by)).await
    }

    async fn totals(
        &self,
        scope: &Scope,
        since: Timestamp,
        until: Timestamp,
        by: CountBy,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        let scope = scope.clone();
        self.read_side(move |connection| tally::totals(connection, &scope, since, until, by)).await
    }
}

pub(super) fn list(connection: &Connection, scope: &Scope, query: &Query) -> Result<Page, Fault> {
    let deadline = Deadline::new(Instant::now(), query.budget);
    let snapshot = connection.unchecked_transaction()?;
    let limit = query.limit.clamp(1, MAX_LIMIT);
    let tenants = tenants(scope, &query.filter);
    let mut page = Page { events: Vec::new(), next: None, visited: 0, out_of_time: false };
    if tenants.as_ref().is_some_and(BTreeSet::is_empty) {
        return Ok(page);
    }
    let wanted = |row: &SearchRow| scope.admits(row.get(Column::TenantSlug)) && query.filter.matches(row);
    let admitted = |row: &SearchRow| query.after.is_none_or(|cursor| cursor.admits(row.at, row.seq));

    let rest = rest(&snapshot)?;
    page.visited = rest.len() as u64;
    let mut found: Vec<Place> = rest.iter().filter(|row| wanted(row) && admitted(row)).map(Place::of).collect();

    let plan = Plan::new(tenants.as_ref(), &query.filter);
    let mut walk = Walk::new(&snapshot, plan, query.order, query.after, &query.filter)?;
    let mut from_copy = Vec::new();
    let end = walk.run(deadline, |place, row| {
        if wanted(&row) {
            from_copy.push(place);
        }
        // One more than the page holds tells whether there is a next one.
        if from_copy.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    page.visited += walk.visited;
    page.out_of_time = matches!(end, End::OutOfTime(_));
    found.extend(from_copy);
    found.sort_unstable();
    if query.order == Order::Descending {
        found.reverse();
    }
    if let End::OutOfTime(boundary) = end {
        found.retain(|place| !boundary.admits(place.at(), place.seq));
        page.next = Some(boundary);
    }
    if found.len() > limit {
        found.truncate(limit);
        page.out_of_time = false;
        page.next = found.last().map(|place| Cursor { at: place.at(), seq: place.seq, order: query.order });
    }
    let mut statement = snapshot.prepare_cached(LINE)?;
    let (mut bytes, mut before) = (0, None);
    for place in found {
        if let Some(line) = line(&mut statement, place.seq)? {
            bytes += line.len();
            if bytes > MAX_PAGE_BYTES && !page.events.is_empty() {
                page.out_of_time = false;
                page.next = before.map(|place: Place| Cursor { at: place.at(), seq: place.seq, order: query.order });
                break;
            }
            page.events.push(Stored { seq: place.seq, line });
        }
        before = Some(place);
    }
    Ok(page)
}

pub(super) fn get(connection: &Connection, scope: &Scope, seq: Seq) -> Result<Option<Stored>, Fault> {
    let seq = seq.get();
    let snapshot = connection.unchecked_transaction()?;
    let Some(line) = line(&mut *snapshot.prepare_cached(LINE)?, seq)? else { return Ok(None) };
    if *scope != Scope::All {
        let mut statement = snapshot.prepare_cached(&row_of())?;
        let mut rows = statement.query([integer(seq)])?;
        let row = match rows.next()? {
            Some(row) => read_row(row, 0)?,
            None => SearchRow::derive(seq, &line),
        };
        if !scope.admits(row.get(Column::TenantSlug)) {
            return Ok(None);
        }
    }
    Ok(Some(Stored { seq, line }))
}

pub(super) fn count(connection: &Connection, scope: &Scope, filter: &Filter, budget: Duration) -> Result<Count, Fault> {
    let deadline = Deadline::new(Instant::now(), budget);
    let snapshot = connection.unchecked_transaction()?;
    let tenants = tenants(scope, filter);
    if tenants.as_ref().is_some_and(BTreeSet::is_empty) {
        return Ok(Count { n: 0, exact: true });
    }
    let wanted = |row: &SearchRow| scope.admits(row.get(Column::TenantSlug)) && filter.matches(row);
    let mut n = rest(&snapshot)?.iter().filter(|row| wanted(row)).count() as u64;
    let plan = Plan::new(tenants.as_ref(), filter);
    let mut walk = Walk::new(&snapshot, plan, Order::Descending, None, filter)?;
    let end = walk.run(deadline, |_, row| {
        n += u64::from(wanted(&row));
        ControlFlow::Continue(())
    })?;
    Ok(Count { n, exact: end == End::Complete })
}

const LINE: &str = "SELECT line FROM event WHERE seq = ?1";

/// Slugs as a JSON array: they have no character that would need an escape.
pub(super) fn slugs<'a>(slugs: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = slugs.map(|slug| format!("\"{slug}\"")).collect();
    format!("[{}]", quoted.join(","))
}

fn line(statement: &mut rusqlite::Statement<'_>, seq: u64) -> Result<Option<Vec<u8>>, Fault> {
    statement.query_row([integer(seq)], |row| Ok(bytes(row, 0))).optional()?.transpose()
}

/// The rows of the events that are not in the copy.
fn rest(connection: &Connection) -> Result<Vec<SearchRow>, Fault> {
    let (from, size) = (copied(connection)?, read_head(connection)?.size);
    if size.saturating_sub(from) > MAX_REST {
        return Err(unavailable("the search copy is being made").into());
    }
    let mut statement = connection.prepare_cached("SELECT seq, line FROM event WHERE seq > ?1 AND seq <= ?2")?;
    let mut rows = statement.query((integer(from), integer(size)))?;
    let mut rest = Vec::new();
    while let Some(row) = rows.next()? {
        rest.push(SearchRow::derive(number(row, 0)?, &bytes(row, 1)?));
    }
    Ok(rest)
}
