//! Going through the search copy in the order of (`at`, `seq`), for a bounded time.
//!
//! Each segment is in that order by itself, and knows its first and last time; the segments are merged as in a merge sort. A
//! segment is not opened before the walk has come to where it may have an event; since events mostly arrive in the order of
//! their time, that is one segment after the other. Opening one asks its terms once: at most one page of the database for
//! each term, whatever the size of the log. Every row is checked by the caller. The clock is looked at between rows and
//! between segments, and each call gets further by at least one.

use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use dezky_audit_core::ids::MAX_SAFE_INTEGER;
use dezky_audit_core::time::Timestamp;
use rusqlite::{CachedStatement, Connection};

use super::fault::Fault;
use super::index::{ROW, read_row};
use super::plan::Plan;
use super::segment::{CHUNK, Place, Places};
use super::shelf::{Label, Shelf, labels};
use super::value::{damaged, integer};
use crate::projection::SearchRow;
use crate::query::{Cursor, Filter, Order};

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

    fn is_over(&self) -> bool {
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

/// A walk over the rows that a time range and a cursor admit.
pub(super) struct Walk<'a> {
    shelf: Shelf<'a>,
    rows: CachedStatement<'a>,
    plan: Option<Plan>,
    order: Order,
    /// The first and the last place that can be visited, in the order of time.
    range: (Place, Place),
    ahead: BinaryHeap<Source>,
    pub(super) visited: u64,
}

/// A segment, and how far the walk has got in it.
struct Source {
    /// What the heap orders by: where the next event is, or at the earliest can be, in the order of the walk.
    next: Step,
    label: Label,
    open: Option<Open>,
}

/// A place as a number that falls along the walk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Step(u128);

struct Open {
    /// `None` for all.
    places: Option<Places>,
    /// The index of the next place.
    index: usize,
    /// The chunk that it is in.
    chunk: Vec<Place>,
    nth: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        plan: Option<Plan>,
        order: Order,
        after: Option<Cursor>,
        filter: &Filter,
    ) -> Result<Self, Fault> {
        let mut walk = Self {
            shelf: Shelf::new(connection)?,
            rows: connection.prepare_cached(&row_of())?,
            plan,
            order,
            range: range(after, filter),
            ahead: BinaryHeap::new(),
            visited: 0,
        };
        for label in labels(connection)? {
            let first = Place { at_ms: label.span.0.unix_ms(), seq: 0 }.max(walk.range.0);
            let last = Place { at_ms: label.span.1.unix_ms(), seq: MAX_SAFE_INTEGER }.min(walk.range.1);
            if first <= last {
                let next = walk.step(if order == Order::Ascending { first } else { last });
                walk.ahead.push(Source { next, label, open: None });
            }
        }
        Ok(walk)
    }

    /// Visits rows until there are no more, the visitor breaks off, or time is over.
    pub(super) fn run(
        &mut self,
        deadline: Deadline,
        mut visit: impl FnMut(Place, SearchRow) -> ControlFlow<()>,
    ) -> Result<End, Fault> {
        let start = self.ahead.peek().map(|source| source.next);
        let mut last: Option<Place> = None;
        while let Some(mut source) = self.ahead.pop() {
            match source.open.take() {
                None => source.open = self.open(&source.label)?,
                Some(mut open) => {
                    let place = open.place();
                    // A restored event may stand in two segments.
                    if last != Some(place) {
                        last = Some(place);
                        if let Some(row) = self.row(place.seq)? {
                            self.visited += 1;
                            if visit(place, row).is_break() {
                                return Ok(End::Enough);
                            }
                        }
                    }
                    source.open = if self.advance(&source.label, &mut open)? { Some(open) } else { None };
                }
            }
            if let Some(open) = &source.open
                && (self.range.0..=self.range.1).contains(&open.place())
            {
                source.next = self.step(open.place());
                self.ahead.push(source);
            }
            if let Some(next) = self.ahead.peek()
                && (last.is_some() || Some(next.next) != start)
                && deadline.is_over()
            {
                let boundary = last.map_or_else(|| self.before(next.next), |last| self.cursor(last));
                return Ok(End::OutOfTime(boundary));
            }
        }
        Ok(End::Complete)
    }

    /// Opens a segment at the first place in the range that the plan admits; `None` when it has none.
    fn open(&mut self, label: &Label) -> Result<Option<Open>, Fault> {
        let places = match &mut self.plan {
            Some(plan) => match self.shelf.places(label, plan)? {
                Some(places) => Some(places),
                None => return Ok(None),
            },
            None => None,
        };
        let index = match self.order {
            Order::Ascending => self.first_from(label, self.range.0)?,
            Order::Descending => {
                let beyond = Place { seq: self.range.1.seq + 1, ..self.range.1 };
                match self.first_from(label, beyond)?.checked_sub(1) {
                    Some(index) => index,
                    None => return Ok(None),
                }
            }
        };
        let mut open = Open { places, index, chunk: Vec::new(), nth: usize::MAX };
        Ok(if self.settle(label, &mut open, Some(index))? { Some(open) } else { None })
    }

    /// The index of the first place at or behind `bound`.
    fn first_from(&mut self, label: &Label, bound: Place) -> Result<usize, Fault> {
        if bound.at_ms < label.span.0.unix_ms() {
            return Ok(0);
        }
        if bound.at_ms > label.span.1.unix_ms() {
            return Ok(label.events);
        }
        // The last chunk that begins before the bound.
        let (mut low, mut high) = (0, label.events.div_ceil(CHUNK));
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            let first = self.shelf.chunk(label, middle)?.first().copied();
            if first.is_some_and(|first| first < bound) { low = middle } else { high = middle }
        }
        let chunk = self.shelf.chunk(label, low)?;
        Ok(low * CHUNK + chunk.partition_point(|place| *place < bound))
    }

    /// Goes on to the next place that the plan admits; false when there is none.
    fn advance(&mut self, label: &Label, open: &mut Open) -> Result<bool, Fault> {
        let next = match self.order {
            Order::Ascending => Some(open.index + 1),
            Order::Descending => open.index.checked_sub(1),
        };
        self.settle(label, open, next)
    }

    /// Takes the first admitted place from `index` on, and its chunk.
    fn settle(&mut self, label: &Label, open: &mut Open, index: Option<usize>) -> Result<bool, Fault> {
        let Some(index) = index.filter(|index| *index < label.events) else { return Ok(false) };
        let index = match (&open.places, self.order) {
            (None, _) => Some(index),
            (Some(places), Order::Ascending) => places.at_or_after(index),
            (Some(places), Order::Descending) => places.at_or_before(index),
        };
        let Some(index) = index.filter(|index| *index < label.events) else { return Ok(false) };
        open.index = index;
        if open.nth != index / CHUNK {
            open.nth = index / CHUNK;
            open.chunk = self.shelf.chunk(label, open.nth)?;
        }
        if open.chunk.len() > index % CHUNK { Ok(true) } else { Err(damaged("a segment's places")) }
    }

    fn row(&mut self, seq: u64) -> Result<Option<SearchRow>, Fault> {
        let mut rows = self.rows.query([integer(seq)])?;
        rows.next()?.map(|row| read_row(row, 0)).transpose()
    }

    const fn step(&self, place: Place) -> Step {
        let number = (place.at_ms as u128) << 64 | place.seq as u128;
        Step(if matches!(self.order, Order::Ascending) { !number } else { number })
    }

    /// The cursor behind a place.
    fn cursor(&self, place: Place) -> Cursor {
        Cursor { at: place.at(), seq: place.seq, order: self.order }
    }

    /// The cursor that admits a step and all that follow.
    fn before(&self, step: Step) -> Cursor {
        let number = if self.order == Order::Ascending { !step.0 } else { step.0 };
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(u64::MAX);
        let place = Place { at_ms: half(number >> 64), seq: half(number) };
        let seq = match self.order {
            Order::Ascending => place.seq.saturating_sub(1),
            Order::Descending => (place.seq + 1).min(MAX_SAFE_INTEGER),
        };
        self.cursor(Place { seq, ..place })
    }
}

impl Open {
    fn place(&self) -> Place {
        self.chunk[self.index % CHUNK]
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Source {}

impl PartialOrd for Source {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Source {
    /// Of two with the same step the one that is not open comes first: it may have an event there.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let rank = |source: &Self| (source.next, source.open.is_none(), source.label.id);
        rank(self).cmp(&rank(other))
    }
}

/// The first and the last place that a cursor and a time range admit; reversed when there are none.
fn range(after: Option<Cursor>, filter: &Filter) -> (Place, Place) {
    let none = (Place { at_ms: 1, seq: 0 }, Place { at_ms: 0, seq: 0 });
    let mut first = Place { at_ms: filter.since.map_or(0, Timestamp::unix_ms), seq: 0 };
    let mut last = Place { at_ms: Timestamp::MAX.unix_ms(), seq: MAX_SAFE_INTEGER };
    if let Some(until) = filter.until {
        let Some(at_ms) = until.unix_ms().checked_sub(1) else { return none };
        last.at_ms = at_ms;
    }
    if let Some(Cursor { at, seq, order }) = after {
        let at_ms = at.unix_ms();
        match order {
            Order::Ascending => first = first.max(Place { at_ms, seq: seq + 1 }),
            Order::Descending => match (at_ms.checked_sub(1), seq.checked_sub(1)) {
                (_, Some(seq)) => last = last.min(Place { at_ms, seq }),
                (Some(at_ms), None) => last = last.min(Place { at_ms, seq: MAX_SAFE_INTEGER }),
                (None, None) => return none,
            },
        }
    }
    (first, last)
}

pub(super) fn row_of() -> String {
    format!("SELECT {ROW} FROM search s WHERE s.seq = ?1")
}
