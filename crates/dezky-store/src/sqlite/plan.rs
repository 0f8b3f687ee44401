//! What a query asks of the terms, once for all segments.

use std::collections::BTreeSet;

use super::terms::{Term, trigrams_of};
use crate::projection::Column;
use crate::query::{Filter, Test};
use crate::search::Scope;

/// Above this many tenants their terms are not worth asking for: rows are checked one by one.
const MAX_TENANTS: usize = 64;
/// The most trigrams that stand for one text.
const MAX_TRIGRAMS: usize = 24;

/// What must be among the terms of a row that matches: of each group one alternative, and of that all.
pub(super) struct Plan {
    /// Terms with how many events of the last segment had them, as far as that is known.
    pub(super) groups: Vec<Vec<Vec<(u64, usize)>>>,
}

/// The tenants whose events can match: `None` for all, and for events without one.
pub(super) fn tenants<'a>(scope: &'a Scope, filter: &'a Filter) -> Option<BTreeSet<&'a str>> {
    let mut asked: Option<BTreeSet<&str>> = None;
    for clause in filter.clauses().iter().filter(|clause| !clause.negated) {
        if let Test::Is(Column::TenantSlug, slug) = &clause.test {
            asked.get_or_insert_default().insert(slug);
        }
    }
    match scope {
        Scope::All => asked,
        Scope::Tenants(set) => {
            let within = set.iter().map(AsRef::as_ref).filter(|slug| asked.as_ref().is_none_or(|asked| asked.contains(slug)));
            Some(within.collect())
        }
    }
}

impl Plan {
    /// `None` when no term narrows the question: then every row is looked at, in order.
    pub(super) fn new(tenants: Option<&BTreeSet<&str>>, filter: &Filter) -> Option<Self> {
        let tenant = tenants.filter(|set| set.len() == 1).and_then(|set| set.first().copied());
        let mut groups: Vec<Vec<Vec<(u64, usize)>>> = Vec::new();
        let mut bound_to_tenant = false;
        for tests in filter.alternatives() {
            if matches!(tests.first(), Some(Test::Is(Column::TenantSlug, _))) {
                continue;
            }
            let alternatives: Option<Vec<Vec<(u64, usize)>>> = tests.iter().map(|test| terms(test, tenant)).collect();
            if let Some(alternatives) = alternatives {
                bound_to_tenant |= tenant.is_some() && !matches!(tests.first(), Some(Test::Contains(_)));
                groups.push(alternatives);
            }
        }
        if let Some(set) = tenants.filter(|set| !bound_to_tenant && set.len() <= MAX_TENANTS) {
            let is = |value: &&str| vec![unknown(Term::Is { tenant: None, column: Column::TenantSlug, value })];
            groups.push(set.iter().map(is).collect());
        }
        // What takes few terms comes first: often nothing is left then for the others to be asked about.
        groups.sort_by_key(|alternatives| alternatives.iter().map(Vec::len).sum::<usize>());
        if groups.is_empty() { None } else { Some(Self { groups }) }
    }
}

/// The terms that a row has if it passes the test; `None` when there are none to go by.
fn terms(test: &Test, tenant: Option<&str>) -> Option<Vec<(u64, usize)>> {
    match test {
        Test::Is(Column::ResourceName, _) => None,
        Test::Is(column, value) => Some(vec![unknown(Term::Is { tenant, column: *column, value })]),
        Test::ActionUnder(prefix) => Some(vec![unknown(Term::Under { tenant, prefix })]),
        Test::Contains(text) => {
            let trigrams: Vec<_> = trigrams_of(text).map(|trigram| unknown(Term::Trigram(trigram))).collect();
            let step = trigrams.len().div_ceil(MAX_TRIGRAMS).max(1);
            let terms: Vec<_> = trigrams.into_iter().step_by(step).collect();
            if terms.is_empty() { None } else { Some(terms) }
        }
    }
}

/// A term of which nothing is known yet.
fn unknown(term: Term<'_>) -> (u64, usize) {
    (term.number(), usize::MAX)
}
