//! One page out of several sources: what is hot, and batches one after the other, until nothing that is still closed can belong to it.
//!
//! Pure. Each source gives its events in the order of the list down to some place; the page is complete down to the
//! nearest of these places, and goes no further.

use std::collections::BTreeMap;

use dezky_audit::{Page, Query, Stored};
use dezky_audit_core::ids::MAX_SAFE_INTEGER;
use dezky_audit_core::time::Timestamp;
use dezky_store::projection::SearchRow;
use dezky_store::query::{MAX_LIMIT, MAX_PAGE_BYTES};
use dezky_store::{Cursor, Order};

use super::shelf::Entry;
use super::volume::Found;

/// A place in the order of a list: what comes later in the list is greater, whichever way the list runs.
pub(crate) type Key = (u64, u64);

pub(crate) fn key(order: Order, at: Timestamp, seq: u64) -> Key {
    match order {
        Order::Ascending => (at.unix_ms(), seq),
        Order::Descending => (Timestamp::MAX.unix_ms() - at.unix_ms(), MAX_SAFE_INTEGER.saturating_sub(seq)),
    }
}

pub(crate) fn key_of(cursor: &Cursor) -> Key {
    key(cursor.order, cursor.at, cursor.seq)
}

/// The cursor behind which a page goes on after `key`.
pub(crate) fn cursor(order: Order, (time, seq): Key) -> Cursor {
    let (ms, seq) = match order {
        Order::Ascending => (time, seq),
        Order::Descending => (Timestamp::MAX.unix_ms().saturating_sub(time), MAX_SAFE_INTEGER.saturating_sub(seq)),
    };
    Cursor { at: Timestamp::from_unix_ms(ms).unwrap_or(Timestamp::MAX), seq, order }
}

/// The batches that may have events behind the query's cursor and within its times, each with the first place where it may, in
/// the order of these places.
pub(crate) fn waiting<'a>(batches: &'a [Entry], query: &Query) -> Vec<(Key, &'a Entry)> {
    let mut waiting: Vec<_> = batches.iter().filter_map(|entry| Some((first_place(entry, query)?, entry))).collect();
    waiting.sort_by_key(|(bound, _)| *bound);
    waiting
}

fn first_place(entry: &Entry, query: &Query) -> Option<Key> {
    let after = query.after.as_ref().map(key_of);
    let (since, until) = (query.filter.since, query.filter.until);
    let within = |(first, last): &(Timestamp, Timestamp)| {
        let first = since.map_or(*first, |since| since.max(*first)).unix_ms();
        let last = match until {
            Some(until) => until.unix_ms().checked_sub(1)?.min(last.unix_ms()),
            None => last.unix_ms(),
        };
        let (first, last) = (Timestamp::from_unix_ms(first)?, Timestamp::from_unix_ms(last)?);
        (first <= last).then_some((first, last))
    };
    let ends = |(first, last): (Timestamp, Timestamp)| match query.order {
        Order::Ascending => (key(query.order, first, entry.start), key(query.order, last, entry.end)),
        Order::Descending => (key(query.order, last, entry.end), key(query.order, first, entry.start)),
    };
    let behind = |(begin, end): (Key, Key)| match after {
        None => Some(begin),
        Some(after) => (after < end).then(|| begin.max((after.0, after.1 + 1))),
    };
    entry.times.iter().filter_map(within).map(ends).filter_map(behind).min()
}

/// A page in the making.
pub(crate) struct Merge {
    order: Order,
    limit: usize,
    after: Option<Key>,
    found: BTreeMap<Key, Stored>,
    /// Everything up to here, this place included, has been found; `None`: everything there is.
    complete: Option<Key>,
    visited: u64,
    out_of_time: bool,
}

impl Merge {
    pub(crate) fn new(query: &Query, hot: Page) -> Self {
        let order = query.order;
        let mut merge = Self {
            order,
            limit: query.limit.clamp(1, MAX_LIMIT),
            after: query.after.as_ref().map(key_of),
            found: BTreeMap::new(),
            complete: None,
            visited: 0,
            out_of_time: hot.out_of_time,
        };
        let at = |stored: &Stored| SearchRow::derive(stored.seq, &stored.line).at;
        merge.add(Found {
            events: hot.events.into_iter().map(|stored| (key(order, at(&stored), stored.seq), stored)).collect(),
            complete: hot.next.as_ref().map(key_of),
            visited: hot.visited,
        });
        merge
    }

    pub(crate) fn add(&mut self, found: Found) {
        self.found.extend(found.events);
        self.visited += found.visited;
        self.complete_to(found.complete);
    }

    /// Whether an event from `bound` on may belong to the page.
    pub(crate) fn needs(&self, bound: Key) -> bool {
        let reached = self.complete.is_none_or(|complete| bound <= complete);
        reached && self.found.range(..bound).take(self.limit).count() < self.limit
    }

    /// Whether a page that ends before `bound` gets on.
    pub(crate) fn may_end_before(&self, bound: Key) -> bool {
        Some(before(bound)) != self.after
    }

    /// Nothing from `bound` on is looked for.
    pub(crate) fn end_before(&mut self, bound: Key, out_of_time: bool) {
        self.out_of_time |= out_of_time;
        self.complete_to(Some(before(bound)));
    }

    fn complete_to(&mut self, to: Option<Key>) {
        self.complete = match (self.complete, to) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    pub(crate) fn finish(self) -> Page {
        let (mut events, mut bytes, mut last) = (Vec::new(), 0, None);
        let mut full = false;
        for (place, stored) in self.found {
            if self.complete.is_some_and(|complete| place > complete) {
                break;
            }
            bytes += stored.line.len();
            full = events.len() == self.limit || (bytes > MAX_PAGE_BYTES && !events.is_empty());
            if full {
                break;
            }
            events.push(stored);
            last = Some(place);
        }
        let next = if full { last } else { self.complete };
        let next = next.map(|place| cursor(self.order, place));
        Page { events, next, visited: self.visited, out_of_time: self.out_of_time }
    }
}

/// The place right before: a page that is complete to there has nothing of `key` itself.
const fn before((time, seq): Key) -> Key {
    (time, seq.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms).unwrap()
    }

    fn entry(start: u64, end: u64, times: &[(u64, u64)]) -> Entry {
        let times = times.iter().map(|(first, last)| (at(*first), at(*last))).collect();
        Entry { start, end, bytes: 0, gzip_bytes: 0, times }
    }

    #[test]
    fn keys_rise_along_the_list_and_read_back() {
        for order in [Order::Ascending, Order::Descending] {
            for (time, seq) in [(0, 1), (5, 7), (Timestamp::MAX.unix_ms(), 3)] {
                let cursor_at = Cursor { at: at(time), seq, order };
                assert_eq!(cursor(order, key_of(&cursor_at)), cursor_at);
                assert!(cursor_at.admits(at(time), if order == Order::Ascending { seq + 1 } else { seq - 1 }));
            }
            let (early, late) = (key(order, at(1), 1), key(order, at(2), 1));
            assert_eq!(early < late, order == Order::Ascending);
        }
    }

    #[test]
    fn a_batch_waits_at_the_first_place_where_it_may_have_an_event() {
        let batches = [entry(1, 10, &[(100, 200), (900, 900)]), entry(11, 20, &[(150, 300)])];
        let bounds = |query: &Query| -> Vec<(u64, u64)> {
            let place = |bound: Key| cursor(query.order, bound);
            waiting(&batches, query).into_iter().map(|(bound, entry)| (entry.start, place(bound).at.unix_ms())).collect()
        };
        let mut query = Query::default();
        assert_eq!(bounds(&query), [(1, 900), (11, 300)]);
        query.after = Some(Cursor { at: at(900), seq: 5, order: Order::Descending });
        assert_eq!(bounds(&query), [(1, 900), (11, 300)]);
        query.after = Some(Cursor { at: at(899), seq: 5, order: Order::Descending });
        assert_eq!(bounds(&query), [(11, 300), (1, 200)]);
        query.after = Some(Cursor { at: at(120), seq: 5, order: Order::Descending });
        assert_eq!(bounds(&query), [(1, 120)]);
        let mut query = Query { order: Order::Ascending, ..Query::default() };
        query.filter.since = Some(at(250));
        query.filter.until = Some(at(900));
        assert_eq!(bounds(&query), [(11, 250)]);
    }
}
