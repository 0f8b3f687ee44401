//! Going through the search copy in the order of (`at`, `seq`), for a bounded time.
//!
//! Where terms narrow the question, one time bucket after the other is asked for the rows that have them; buckets without
//! rows are leapt over. Otherwise rows are read in the order of their rank. Every row is checked by the caller. The clock is
//! looked at between rows and between buckets, and each call gets at least one row or one bucket further.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use dezky_audit_core::ids::MAX_SAFE_INTEGER;
use dezky_audit_core::time::Timestamp;
use rusqlite::{Connection, Params};

use super::append::single;
use super::fault::Fault;
use super::index::{ROW, read_row};
use super::plan::Plan;
use super::rank;
use super::value::integer;
use crate::projection::SearchRow;
use crate::query::{Cursor, Filter, Order};

/// Which rows, in which order, and until when.
pub(super) struct Walk<'a> {
    pub(super) connection: &'a Connection,
    pub(super) plan: Option<&'a Plan<'a>>,
    pub(super) order: Order,
    pub(super) after: Option<Cursor>,
    pub(super) deadline: Deadline,
    pub(super) visited: u64,
}

/// When to stop.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    began: Instant,
    budget: Duration,
}

impl Deadline {
    pub(super) const fn new(began: Instant, budget: Duration) -> Self {
        Self { began, budget }
    }

    pub(super) fn is_over(&self) -> bool {
        self.began.elapsed() > self.budget
    }
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There is nothing more.
    Complete,
    /// The caller had enough.
    Enough,
    /// Time was over; everything up to this place has been visited.
    OutOfTime(Cursor),
}

/// What each row is given to; `Break` when it was the last one wanted.
pub(super) type Visit<'v> = dyn FnMut(SearchRow) -> ControlFlow<()> + 'v;

impl Walk<'_> {
    /// Visits the rows that the filter's time range and the cursor admit.
    pub(super) fn run(&mut self, filter: &Filter, visit: &mut Visit<'_>) -> Result<End, Fault> {
        let Some((mut low, mut high)) = self.times(filter) else { return Ok(End::Complete) };
        while low <= high {
            let crowd = self.next_crowd(low, high)?;
            let (from, to) = match (crowd, self.order) {
                (Some(at), Order::Ascending) => (low, at),
                (Some(at), Order::Descending) => (at, high),
                (None, _) => (low, high),
            };
            // The crowded rows of a millisecond are younger than those in order.
            let end = match (crowd, self.order) {
                (None, _) => self.in_order(from, to, visit)?,
                (Some(at), Order::Ascending) => match self.in_order(from, to, visit)? {
                    End::Complete => self.crowd(at, visit)?,
                    end => end,
                },
                (Some(at), Order::Descending) => {
                    let later = Timestamp::from_unix_ms(at.unix_ms() + 1).unwrap_or(at);
                    let mut end = End::Complete;
                    if at < high {
                        end = self.in_order(later, high, visit)?;
                    }
                    if end == End::Complete {
                        end = self.crowd(at, visit)?;
                    }
                    if end == End::Complete { self.in_order(at, at, visit)? } else { end }
                }
            };
            if end != End::Complete || crowd.is_none() {
                return Ok(end);
            }
            let next = match self.order {
                Order::Ascending => to.unix_ms().checked_add(1).and_then(Timestamp::from_unix_ms),
                Order::Descending => from.unix_ms().checked_sub(1).and_then(Timestamp::from_unix_ms),
            };
            match (next, self.order) {
                (Some(next), Order::Ascending) => low = next,
                (Some(next), Order::Descending) => high = next,
                (None, _) => return Ok(End::Complete),
            }
        }
        Ok(End::Complete)
    }

    /// The first and the last millisecond that can be visited.
    fn times(&self, filter: &Filter) -> Option<(Timestamp, Timestamp)> {
        let mut low = filter.since.unwrap_or(Timestamp::MIN);
        let mut high = match filter.until {
            Some(until) => Timestamp::from_unix_ms(until.unix_ms().checked_sub(1)?)?,
            None => Timestamp::MAX,
        };
        match self.after {
            Some(Cursor { at, order: Order::Ascending, .. }) => low = low.max(at),
            Some(Cursor { at, seq: 0, order: Order::Descending }) => {
                high = high.min(Timestamp::from_unix_ms(at.unix_ms().checked_sub(1)?)?);
            }
            Some(Cursor { at, .. }) => high = high.min(at),
            None => {}
        }
        if low <= high { Some((low, high)) } else { None }
    }

    /// The first crowded millisecond in a range.
    fn next_crowd(&self, low: Timestamp, high: Timestamp) -> Result<Option<Timestamp>, Fault> {
        let sql = match self.order {
            Order::Ascending => "SELECT at FROM crowded WHERE at BETWEEN ?1 AND ?2 ORDER BY at LIMIT 1",
            Order::Descending => "SELECT at FROM crowded WHERE at BETWEEN ?1 AND ?2 ORDER BY at DESC LIMIT 1",
        };
        let at: Option<i64> = single(self.connection, sql, (integer(low.unix_ms()), integer(high.unix_ms())))?;
        Ok(at.and_then(|at| u64::try_from(at).ok()).and_then(Timestamp::from_unix_ms))
    }

    /// The rows that have ranks in order, from one millisecond to another.
    fn in_order(&mut self, from: Timestamp, to: Timestamp, visit: &mut Visit<'_>) -> Result<End, Fault> {
        let (mut low, mut high) = (rank::first(from), rank::last(to));
        // Where the cursor's event still has its rank, the rows before it need not be looked at.
        if let Some(cursor) = self.after
            && cursor.seq != 0
            && let Some(rank) = single::<i64>(self.connection, "SELECT rank FROM search WHERE seq = ?1", [integer(cursor.seq)])?
        {
            match cursor.order {
                Order::Ascending if rank >= rank::crowded() && from == cursor.at => low = rank::last(from) + 1,
                Order::Ascending if rank::time(rank) == cursor.at => low = low.max(rank + 1),
                Order::Descending if rank::time(rank) == cursor.at => high = high.min(rank.saturating_sub(1)),
                _ => {}
            }
        }
        let Some(plan) = self.plan else {
            return self.rows(&statement(SCAN, self.order), (low, high), visit);
        };
        while low <= high {
            let sql = match self.order {
                Order::Ascending => "SELECT rank FROM search WHERE rank BETWEEN ?1 AND ?2 ORDER BY rank LIMIT 1",
                Order::Descending => "SELECT rank FROM search WHERE rank BETWEEN ?1 AND ?2 ORDER BY rank DESC LIMIT 1",
            };
            let Some(next) = single::<i64>(self.connection, sql, (low, high))? else { return Ok(End::Complete) };
            let bucket = rank::bucket(rank::time(next));
            let (first, last) = (rank::first(rank::bucket_start(bucket)), rank::last(rank::bucket_end(bucket)));
            let expression = plan.expression(bucket);
            let range = (low.max(first), high.min(last), &*expression);
            let end = self.rows(&statement(TERMS, self.order), range, visit)?;
            if end != End::Complete {
                return Ok(end);
            }
            let boundary = match self.order {
                Order::Ascending if last < high => {
                    low = last + 1;
                    Cursor { at: rank::bucket_end(bucket), seq: MAX_SAFE_INTEGER, order: self.order }
                }
                Order::Descending if first > low => {
                    high = first - 1;
                    Cursor { at: rank::bucket_start(bucket), seq: 0, order: self.order }
                }
                _ => return Ok(End::Complete),
            };
            if self.deadline.is_over() {
                return Ok(End::OutOfTime(boundary));
            }
        }
        Ok(End::Complete)
    }

    /// The crowded rows of a millisecond.
    fn crowd(&mut self, at: Timestamp, visit: &mut Visit<'_>) -> Result<End, Fault> {
        let (low, high) = match self.after.filter(|cursor| cursor.at == at) {
            Some(Cursor { seq, order: Order::Ascending, .. }) => (integer(seq) + 1, i64::MAX),
            Some(Cursor { seq, order: Order::Descending, .. }) => (0, integer(seq) - 1),
            None => (0, i64::MAX),
        };
        self.rows(&statement(CROWD, self.order), (low, high, integer(at.unix_ms())), visit)
    }

    fn rows(&mut self, sql: &str, range: impl Params, visit: &mut Visit<'_>) -> Result<End, Fault> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(range)?;
        while let Some(row) = rows.next()? {
            let row = read_row(row, 0)?;
            self.visited += 1;
            if self.after.is_some_and(|cursor| !cursor.admits(row.at, row.seq)) {
                continue;
            }
            let here = Cursor { at: row.at, seq: row.seq, order: self.order };
            if visit(row).is_break() {
                return Ok(End::Enough);
            }
            if self.visited.is_multiple_of(16) && self.deadline.is_over() {
                return Ok(End::OutOfTime(here));
            }
        }
        Ok(End::Complete)
    }
}

/// Parameters: least and greatest rank.
const SCAN: &str = "FROM search s WHERE s.rank BETWEEN ?1 AND ?2 ORDER BY s.rank";
/// Parameters: least and greatest rank, the expression.
const TERMS: &str = "FROM terms t CROSS JOIN search s ON s.rank = t.rowid
    WHERE t.terms MATCH ?3 AND t.rowid BETWEEN ?1 AND ?2 ORDER BY t.rowid";
/// Parameters: least and greatest seq, the millisecond.
const CROWD: &str = "FROM crowded c CROSS JOIN search s ON s.rank = c.rank
    WHERE c.at = ?3 AND c.seq BETWEEN ?1 AND ?2 ORDER BY c.seq";

fn statement(from: &str, order: Order) -> String {
    match order {
        Order::Ascending => format!("SELECT {ROW} {from}"),
        Order::Descending => format!("SELECT {ROW} {from} DESC"),
    }
}

/// Every statement that a walk may use, for the test of their plans.
pub(super) fn statements() -> Vec<String> {
    let all = [SCAN, TERMS, CROWD].into_iter();
    all.flat_map(|from| [Order::Ascending, Order::Descending].map(|order| statement(from, order))).collect()
}
