//! What a person may ask of the list, read once from its parameters: filters, order, limit, cursor.

mod cursor;
mod parse;

pub use cursor::{Cursor, InvalidCursor, Order};
pub use parse::{InvalidParameter, PARAMETERS};

use std::time::Duration;

use dezky_audit_core::time::Timestamp;

use crate::projection::{Column, SearchRow, fold};

/// The most clauses in one filter.
pub const MAX_CLAUSES: usize = 64;
/// The most bytes of one value.
pub const MAX_VALUE_BYTES: usize = 4_096;
/// The most characters of one free text.
pub const MAX_TEXT_CHARS: usize = 256;
/// The most events on one page.
pub const MAX_LIMIT: usize = 500;
/// A page ends before the event whose line would bring it above this many bytes, unless that is its first.
pub const MAX_PAGE_BYTES: usize = 4 << 20;

/// How long the search for a page goes on. A page is to be there after 50 ms; the rest is for what is begun when this is over.
const PAGE_BUDGET: Duration = Duration::from_millis(40);

/// A question for a page of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub filter: Filter,
    pub order: Order,
    /// 1 to [`MAX_LIMIT`]; what is more counts as that.
    pub limit: usize,
    /// Where the page begins: behind this place in the order asked for.
    pub after: Option<Cursor>,
    /// After this long a page ends with what it has.
    pub budget: Duration,
}

impl Default for Query {
    /// The newest 100 events, within 50 ms.
    fn default() -> Self {
        Self { filter: Filter::default(), order: Order::Descending, limit: 100, after: None, budget: PAGE_BUDGET }
    }
}

/// Which events: `since` ≤ `at` < `until`; for each field with positive clauses at least one of them; none of the negated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    clauses: Vec<Clause>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    pub test: Test,
    pub negated: bool,
}

/// What a condition looks at. An absent value is equal to nothing, so that a negated clause admits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// The column has exactly this value.
    Is(Column, Box<str>),
    /// The action begins with this, which ends in a dot.
    ActionUnder(Box<str>),
    /// One of [`Column::TEXT`], folded, contains this, which is folded.
    Contains(Box<str>),
}

impl Test {
    /// Clauses of one group are alternatives to one another.
    fn group(&self) -> Option<Column> {
        match self {
            Self::Is(column, _) => Some(*column),
            Self::ActionUnder(_) => Some(Column::Action),
            Self::Contains(_) => None,
        }
    }

    pub fn matches(&self, row: &SearchRow) -> bool {
        match self {
            Self::Is(column, value) => row.get(*column) == Some(value),
            Self::ActionUnder(prefix) => row.get(Column::Action).is_some_and(|action| action.starts_with(&**prefix)),
            Self::Contains(text) => {
                Column::TEXT.iter().filter_map(|column| row.get(*column)).any(|value| fold(value).contains(&**text))
            }
        }
    }
}

impl Filter {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// The same with one condition more.
    #[must_use]
    pub fn with(mut self, test: Test, negated: bool) -> Self {
        self.clauses.push(Clause { test, negated });
        self
    }

    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// The positive clauses, those that are alternatives to one another together.
    pub fn alternatives(&self) -> Vec<Vec<&Test>> {
        let mut groups: Vec<(Option<Column>, Vec<&Test>)> = Vec::new();
        for clause in self.clauses.iter().filter(|clause| !clause.negated) {
            let group = clause.test.group();
            match groups.iter_mut().find(|(known, _)| *known == group) {
                Some((_, tests)) => tests.push(&clause.test),
                None => groups.push((group, vec![&clause.test])),
            }
        }
        groups.into_iter().map(|(_, tests)| tests).collect()
    }

    /// Whether the time range admits `at`.
    pub fn spans(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= at) && self.until.is_none_or(|until| at < until)
    }

    /// Whether a row is among the events asked for: what every index must agree with.
    pub fn matches(&self, row: &SearchRow) -> bool {
        self.spans(row.at)
            && self.clauses.iter().all(|clause| match clause {
                Clause { negated: true, test } => !test.matches(row),
                // One of its group is enough.
                Clause { negated: false, test } => test.matches(row) || self.another_matches(test, row),
            })
    }

    fn another_matches(&self, test: &Test, row: &SearchRow) -> bool {
        let same = |clause: &&Clause| !clause.negated && clause.test.group() == test.group() && clause.test != *test;
        self.clauses.iter().filter(same).any(|clause| clause.test.matches(row))
    }
}
