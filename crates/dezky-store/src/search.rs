//! What answers a person: lists, single events, counts. Every method takes the caller's [`Scope`] first, and an event
//! outside it is as if it did not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use dezky_audit_core::ids::{Seq, TenantSlug};
use dezky_audit_core::time::Timestamp;

use crate::error::StoreError;
use crate::log::Stored;
use crate::projection::Column;
use crate::query::{Cursor, Filter, Query};

/// The most rows of one [`Search::hourly`].
pub const MAX_HOURLY_ROWS: usize = 20_000;

/// Whose events a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    All,
    /// The events of these tenants, and none without a tenant. The empty set sees nothing.
    Tenants(BTreeSet<TenantSlug>),
}

impl Scope {
    /// Whether an event of `tenant` exists for this caller.
    pub fn admits(&self, tenant: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Tenants(set) => tenant.is_some_and(|slug| set.iter().any(|t| t.as_str() == slug)),
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order asked for. A line that is no longer JSON is listed by what is known of it, raw.
    pub events: Vec<Stored>,
    /// Where the next page begins; `None` when there is certainly nothing more. A page with `next` may be short or empty.
    pub next: Option<Cursor>,
    /// How many rows were looked at.
    pub visited: u64,
    /// Whether the time budget ended the page before its limit or the end of the matches did.
    pub out_of_time: bool,
}

/// How many events match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    pub n: u64,
    /// False when the time budget ended the counting: then there are at least `n`.
    pub exact: bool,
}

/// What hourly counts are split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountBy {
    Nothing,
    Tenant,
    Source,
    Action,
    Outcome,
}

impl CountBy {
    /// The columns that hours are counted by, in the order in which stores keep their values.
    pub const COLUMNS: [Column; 4] = [Column::TenantSlug, Column::Source, Column::Action, Column::Outcome];

    /// The column whose values are told apart; `None` where none are.
    pub fn column(self) -> Option<Column> {
        self.place().map(|place| Self::COLUMNS[place])
    }

    /// Where that column stands among [`CountBy::COLUMNS`].
    pub(crate) const fn place(self) -> Option<usize> {
        match self {
            Self::Nothing => None,
            Self::Tenant => Some(0),
            Self::Source => Some(1),
            Self::Action => Some(2),
            Self::Outcome => Some(3),
        }
    }
}

/// The events of one hour with one value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HourCount {
    /// The hour's first millisecond.
    pub hour: Timestamp,
    /// `None` for events without a tenant, or when split by nothing.
    pub value: Option<String>,
    pub n: u64,
}

/// Questions about the hot events.
#[async_trait]
pub trait Search: Send + Sync {
    /// A page of the events that match, ordered by (`at`, `seq`).
    ///
    /// Following `next` until it is `None` returns every event that matched when the first page was asked for and stays
    /// hot, once, whatever is appended meanwhile. The page ends at the query's limit, at
    /// [`MAX_PAGE_BYTES`](crate::query::MAX_PAGE_BYTES) of lines, or when its time budget is used up;
    /// every page makes progress, so that following `next` comes to an end.
    ///
    /// # Errors
    /// `Refused` when the cursor is of the other order.
    async fn list(&self, scope: &Scope, query: &Query) -> Result<Page, StoreError>;

    /// One hot event by position.
    async fn get(&self, scope: &Scope, seq: Seq) -> Result<Option<Stored>, StoreError>;

    /// How many hot events match; at least the number found within `budget`.
    async fn count(&self, scope: &Scope, filter: &Filter, budget: Duration) -> Result<Count, StoreError>;

    /// How many events were recorded with `at` in the hours from `since` (rounded down) to `until` (rounded up), ordered by
    /// hour and value, at most [`MAX_HOURLY_ROWS`]. Archived events stay counted; the newest second may be missing.
    /// Statistics, not evidence.
    async fn hourly(&self, scope: &Scope, since: Timestamp, until: Timestamp, by: CountBy) -> Result<Vec<HourCount>, StoreError>;

    /// How many events have each value in the same hours all together; those without one are left out.
    async fn totals(
        &self,
        scope: &Scope,
        since: Timestamp,
        until: Timestamp,
        by: CountBy,
    ) -> Result<BTreeMap<String, u64>, StoreError>;
}

/// Counts of hours as [`Search::totals`] gives them.
pub(crate) fn summed<H>(hours: BTreeMap<(H, Option<String>), u64>) -> BTreeMap<String, u64> {
    let mut totals = BTreeMap::new();
    for ((_, value), n) in hours {
        if let Some(value) = value {
            *totals.entry(value).or_default() += n;
        }
    }
    totals
}
