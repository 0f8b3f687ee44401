//! How a query uses the terms: an expression for each time bucket, or none.

use std::collections::BTreeSet;

use super::terms::{Term, trigrams_of};
use crate::projection::Column;
use crate::query::{Filter, Test};
use crate::search::Scope;

/// Above this many tenants their terms are not worth asking for: rows are checked one by one.
const MAX_TENANTS: usize = 64;
/// The most terms of one group of alternatives; above it the group is left to the check of the rows.
const MAX_ALTERNATIVES: usize = 64;
/// The most trigrams that stand for one text.
const MAX_TRIGRAMS: usize = 24;

/// What must be among the terms of a row that matches: one of each group, and of that all.
pub(super) struct Plan<'a> {
    groups: Vec<Vec<Vec<Term<'a>>>>,
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

impl<'a> Plan<'a> {
    /// `None` when no term narrows the question: then rows are read in their order.
    pub(super) fn new(tenants: Option<&BTreeSet<&'a str>>, filter: &'a Filter) -> Option<Self> {
        let tenant = tenants.filter(|set| set.len() == 1).and_then(|set| set.first().copied());
        let mut groups: Vec<Vec<Vec<Term<'a>>>> = Vec::new();
        let mut bound_to_tenant = false;
        for tests in filter.alternatives() {
            if matches!(tests.first(), Some(Test::Is(Column::TenantSlug, _))) || tests.len() > MAX_ALTERNATIVES {
                continue;
            }
            let alternatives: Option<Vec<Vec<Term<'a>>>> = tests.iter().map(|test| terms(test, tenant)).collect();
            if let Some(alternatives) = alternatives {
                bound_to_tenant |= tenant.is_some() && !matches!(tests.first(), Some(Test::Contains(_)));
                groups.push(alternatives);
            }
        }
        if let Some(set) = tenants.filter(|set| !bound_to_tenant && set.len() <= MAX_TENANTS) {
            let is = |value| vec![Term::Is { tenant: None, column: Column::TenantSlug, value }];
            groups.push(set.iter().copied().map(is).collect());
        }
        if groups.is_empty() { None } else { Some(Self { groups }) }
    }

    /// The FTS5 expression for the rows of one time bucket.
    pub(super) fn expression(&self, bucket: u64) -> String {
        let mut text = String::new();
        for (alternatives, nth) in self.groups.iter().zip(0..) {
            text.push_str(if nth == 0 { "(" } else { " AND (" });
            for (terms, nth) in alternatives.iter().zip(0..) {
                text.push_str(if nth == 0 { "(" } else { " OR (" });
                for (term, nth) in terms.iter().zip(0..) {
                    text.push_str(if nth == 0 { "" } else { " AND " });
                    term.write(bucket, &mut text);
                }
                text.push(')');
            }
            text.push(')');
        }
        text
    }
}

/// The terms that a row has if it passes the test; `None` when there are none to go by.
fn terms<'a>(test: &'a Test, tenant: Option<&'a str>) -> Option<Vec<Term<'a>>> {
    match test {
        Test::Is(Column::ResourceName, _) => None,
        Test::Is(column, value) => Some(vec![Term::Is { tenant, column: *column, value }]),
        Test::ActionUnder(prefix) => Some(vec![Term::Under { tenant, prefix }]),
        Test::Contains(text) => {
            let mut trigrams: Vec<_> = trigrams_of(text).collect();
            trigrams.sort_unstable();
            trigrams.dedup();
            let step = trigrams.len().div_ceil(MAX_TRIGRAMS).max(1);
            let terms: Vec<_> = trigrams.into_iter().step_by(step).map(Term::Trigram).collect();
            if terms.is_empty() { None } else { Some(terms) }
        }
    }
}
