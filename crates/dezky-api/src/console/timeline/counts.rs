//! How many of what: from the store's hourly counts where they can tell, else from the newest matches; and which it was.

mod hours;
mod sample;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dezky_audit::Scope;
use dezky_audit_core::ids::TenantSlug;
use dezky_audit_core::time::Timestamp;
use dezky_cold::{Listed, Reach};
use dezky_store::projection::{Column, SearchRow};
use dezky_store::query::{Clause, Test};
use dezky_store::{CountBy, Order, Query, Stored};

use super::view::View;
use crate::app::App;
use crate::console::time::grouped;
use crate::handlers::list::listed;
use crate::problem::Problem;
use hours::Hours;
use sample::Sample;

const HOUR_MS: u64 = 3_600_000;
/// All counting of one page together.
const BUDGET: Duration = Duration::from_millis(350);
/// Values of one facet that are shown.
const SHOWN: usize = 10;
/// Below this the hours are too coarse for a histogram.
const SHORT_MS: u64 = 6 * HOUR_MS;

/// The facets, in the order in which they are shown.
const FACETS: [(CountBy, &str, &str); 4] = [
    (CountBy::Tenant, "tenantSlug", "Tenant"),
    (CountBy::Action, "action", "Action"),
    (CountBy::Source, "source", "Source"),
    (CountBy::Outcome, "outcome", "Outcome"),
];

/// What stands beside the list.
pub(super) struct Counts {
    pub(super) facets: Vec<Facet>,
    pub(super) moments: Moments,
    pub(super) from_ms: u64,
    pub(super) until_ms: u64,
    /// Whether `moments` are whole hours.
    pub(super) hourly: bool,
    /// What was counted, for people.
    pub(super) basis: String,
    /// What the sum of `moments` is a number of, for people: to be read on behind `12 events`.
    pub(super) extent: String,
}

/// What was counted while the list was still being made.
pub(super) struct Counting {
    tallies: [Option<Tally>; 4],
    moments: Option<Moments>,
    /// Where the hours do not tell everything.
    sample: Option<Sample>,
    /// Whether the archive may have matches, which no sample has.
    beyond: bool,
    /// What the hours were counted by, for people.
    hours: Option<String>,
    from_ms: u64,
    until_ms: u64,
    /// Whether `from_ms` is as old as the log.
    reaches: bool,
}

pub(super) struct Facet {
    pub(super) label: &'static str,
    pub(super) values: Vec<Value>,
    /// How many values are not shown.
    pub(super) others: usize,
}

pub(super) struct Value {
    pub(super) label: String,
    pub(super) n: String,
    /// Chosen, and so taken away by `include`.
    pub(super) chosen: bool,
    pub(super) excluded: bool,
    pub(super) include: String,
    pub(super) exclude: String,
}

/// Values and how often each occurs.
type Tally = BTreeMap<String, u64>;
/// Events at a time, and how many of them did not succeed.
type Moments = BTreeMap<u64, (u64, u64)>;

impl Counting {
    pub(super) async fn of(app: &App, scope: &Scope, query: &Query, now: Timestamp) -> Result<Self, Problem> {
        let deadline = Instant::now() + BUDGET;
        let until = query.filter.until.unwrap_or(now).unix_ms().min(now.unix_ms());
        let (since, reaches) = match query.filter.since {
            Some(since) => (since.unix_ms(), true),
            None => oldest(app, scope).await?.unwrap_or((until, true)),
        };
        let since = since.min(until);
        // Of some tenants the hours are counted by themselves; beside them all are shown that one could turn to.
        let (within, clauses) = narrowed(scope, query.filter.clauses());
        let clauses = &*clauses;
        let only = only_dimension(clauses);
        let mut hours = Hours { app, scope: &within, since, until, deadline, cut: None };
        let mut tallies: [Option<Tally>; 4] = Default::default();
        let mut moments = None;
        if until - since >= SHORT_MS && (clauses.is_empty() || only.is_some()) {
            for (place, (by, ..)) in FACETS.iter().enumerate() {
                if clauses.is_empty() || only == Some(*by) {
                    hours.scope = if *by == CountBy::Tenant { scope } else { &within };
                    tallies[place] = Some(hours.tally(*by).await?);
                }
            }
            hours.scope = &within;
            let column = only.and_then(CountBy::column);
            let admits = |value: Option<&str>| column.is_none_or(|column| admits(clauses, column, value));
            moments = Some(hours.moments(only.unwrap_or(CountBy::Outcome), admits).await?);
        }
        let exact = moments.is_some() && tallies.iter().all(Option::is_some);
        let cut = hours.cut.and_then(Timestamp::from_unix_ms).map(|cut| format!("counted back to {}", &cut.to_string()[..10]));
        let mut hours = cut.or_else(|| moments.is_some().then(|| "counted by whole hours".to_owned()));
        if let Some(words) = hours.as_mut().filter(|_| only.is_some_and(|by| by != CountBy::Outcome)) {
            // No failure is to be seen among the bars, which does not mean that there was none.
            words.push_str(", outcomes not told apart");
        }
        let (mut sample, mut beyond) = (None, false);
        if !exact {
            sample = Some(Sample::take(app, scope, query, deadline.max(Instant::now() + BUDGET / 2)).await?);
            beyond = match &app.cold {
                Some(cold) => cold.timeline().reaches_archives(query).await?,
                None => app.log.store().hot().await?.border > 0,
            };
        }
        Ok(Self { tallies, moments, sample, beyond, hours, from_ms: since, until_ms: until, reaches })
    }

    /// With `all`, where the list has all that matches, hot and archived, nothing is left to a sample of what is hot.
    pub(super) fn beside(mut self, view: &View, all: Option<&[Stored]>) -> Counts {
        if let (Some(events), Some(_)) = (all, &self.sample) {
            (self.sample, self.beyond) = (Some(Sample::of(events)), false);
        }
        let hourly = self.moments.is_some();
        let mut basis: Vec<_> = self.hours.into_iter().collect();
        let mut extent = None;
        if let Some(sample) = self.sample {
            let n = grouped(sample.seen);
            let (hot, not) = if self.beyond { (" in hot storage", "; archived ones are not counted") } else { ("", "") };
            let which = if sample.complete { format!("all {n}") } else { format!("the newest {n}") };
            basis.push(format!("counted over {which} matches{hot}{not}"));
            extent = (!hourly && self.beyond)
                .then(|| if sample.complete { format!("{hot}{not}") } else { format!("{hot}, the newest{not}") });
            for (tally, sampled) in self.tallies.iter_mut().zip(sample.tallies) {
                tally.get_or_insert(sampled);
            }
            self.moments.get_or_insert(sample.moments);
        }
        let basis = basis.join("; the rest ");
        let basis = if self.reaches { basis } else { format!("from the oldest event in hot storage on; {basis}") };
        let facets =
            FACETS.iter().zip(self.tallies).map(|((_, name, label), tally)| facet(view, name, label, tally.unwrap_or_default()));
        Counts {
            facets: facets.filter(|facet| !facet.values.is_empty()).collect(),
            moments: self.moments.unwrap_or_default(),
            from_ms: self.from_ms,
            until_ms: self.until_ms,
            hourly,
            extent: extent.unwrap_or_else(|| format!(", {basis}")),
            basis,
        }
    }
}

/// The dimension that all conditions are about, if it is one that the hourly counts are split by.
fn only_dimension(clauses: &[Clause]) -> Option<CountBy> {
    let column = |clause: &Clause| match &clause.test {
        Test::Is(column, _) => Some(*column),
        Test::ActionUnder(_) => Some(Column::Action),
        Test::Contains(_) => None,
    };
    let first = column(clauses.first()?)?;
    let (by, ..) = FACETS.iter().find(|(by, ..)| by.column() == Some(first))?;
    clauses.iter().all(|clause| column(clause) == Some(first)).then_some(*by)
}

/// The part of a scope that the tenants asked for leave, and the other conditions.
fn narrowed(scope: &Scope, clauses: &[Clause]) -> (Scope, Vec<Clause>) {
    let tenant = |clause: &Clause| match &clause.test {
        Test::Is(Column::TenantSlug, slug) if !clause.negated => Some(slug.parse::<TenantSlug>()),
        _ => None,
    };
    let (asked, others): (Vec<_>, Vec<_>) = clauses.iter().partition(|clause| tenant(clause).is_some());
    if asked.is_empty() {
        return (scope.clone(), clauses.to_vec());
    }
    // What is no slug is no tenant's.
    let slugs = asked.into_iter().filter_map(tenant).filter_map(Result::ok).filter(|slug| scope.admits(Some(slug.as_str())));
    (Scope::Tenants(slugs.collect()), others.into_iter().cloned().collect())
}

/// What the filter says of an event with this value, when all its conditions are about this column.
fn admits(clauses: &[Clause], column: Column, value: Option<&str>) -> bool {
    let holds = |test: &Test| match test {
        Test::Is(known, wanted) => *known == column && value == Some(wanted),
        Test::ActionUnder(prefix) => value.is_some_and(|value| value.starts_with(&**prefix)),
        Test::Contains(_) => false,
    };
    let mut wanted = clauses.iter().filter(|clause| !clause.negated).peekable();
    let none_wanted = wanted.peek().is_none();
    (none_wanted || wanted.any(|clause| holds(&clause.test)))
        && !clauses.iter().any(|clause| clause.negated && holds(&clause.test))
}

/// When the oldest event was; with `false` the oldest hot one, where the archive cannot be asked.
async fn oldest(app: &App, scope: &Scope) -> Result<Option<(u64, bool)>, Problem> {
    let query = Query { order: Order::Ascending, limit: 1, ..Query::default() };
    let Listed { page, archives } = listed(app, scope, &query).await?;
    let reaches = matches!(archives, None | Some(Reach::Read));
    let page = if reaches { page } else { app.log.list(scope, &query).await? };
    Ok(page.events.first().map(|event| (SearchRow::derive(event.seq, &event.line).at.unix_ms(), reaches)))
}

fn facet(view: &View, name: &str, label: &'static str, mut tally: Tally) -> Facet {
    let not = format!("{name}!");
    // What is chosen is shown also where nothing has it.
    for (known, value) in view.filters() {
        if (known == name || *known == not) && !value.ends_with('*') && !value.ends_with('.') {
            tally.entry(value.clone()).or_default();
        }
    }
    let mut ordered: Vec<_> = tally.into_iter().collect();
    let is_set = |value: &str| view.has(name, value) || view.has(&not, value);
    ordered.sort_by(|(a, n), (b, m)| (is_set(b), m).cmp(&(is_set(a), n)).then_with(|| a.cmp(b)));
    let others = ordered.len().saturating_sub(SHOWN);
    let values = ordered.into_iter().take(SHOWN).map(|(value, n)| {
        let (chosen, excluded) = (view.has(name, &value), view.has(&not, &value));
        Value {
            include: if chosen { view.without(name, &value) } else { view.with(name, &value) }.url(),
            exclude: if excluded { view.without(&not, &value) } else { view.with(&not, &value) }.url(),
            n: grouped(n),
            label: value,
            chosen,
            excluded,
        }
    });
    Facet { label, values: values.collect(), others }
}
