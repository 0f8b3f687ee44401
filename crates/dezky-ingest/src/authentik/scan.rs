//! What to ask for next. No I/O: answers go in, queries come out.

use std::time::Duration;

use dezky_audit_core::time::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// What the server's `search` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// It compares times.
    Query,
    /// It looks for words; it is not used.
    Plain,
}

/// One way through the list, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    engine: Engine,
    /// Where it began: nothing older is looked at.
    floor: Timestamp,
    /// The lower bound of the query, to the second.
    bound: Timestamp,
    page: u64,
    /// The newest time of an event ever.
    newest: Option<Timestamp>,
    /// The newest time when this scan began.
    started: Timestamp,
    /// A first reading is done.
    caught_up: bool,
    /// How many rows the server counted last, under the bound of that page.
    count: Option<u64>,
    waiting: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    newest: Option<String>,
    bound: String,
    page: u64,
    caught_up: bool,
    count: Option<u64>,
}

impl Scan {
    pub(super) fn resume(cursor: Option<&str>, engine: Engine, overlap: Duration) -> Result<Self, ()> {
        let mut scan = Self {
            engine,
            floor: Timestamp::MIN,
            bound: Timestamp::MIN,
            page: 1,
            newest: None,
            started: Timestamp::MIN,
            caught_up: false,
            count: None,
            waiting: 0,
        };
        let Some(cursor) = cursor else { return Ok(scan) };
        let written: Written = serde_json::from_str(cursor).map_err(|_| ())?;
        let time = |text: &str| text.parse::<Timestamp>().map_err(|_| ());
        scan.newest = written.newest.as_deref().map(time).transpose()?;
        scan.caught_up = written.caught_up;
        if written.caught_up {
            scan.begin_again(overlap);
        } else {
            scan.bound = time(&written.bound)?;
            // Without a query language the page is all there is to go by.
            if engine == Engine::Plain {
                scan.page = written.page.max(1);
                scan.count = written.count;
            }
        }
        Ok(scan)
    }

    /// Everything from a time on, once.
    pub(super) fn since(engine: Engine, from: Timestamp) -> Self {
        let from = floor_to_second(from);
        Self {
            engine,
            floor: from,
            bound: from,
            page: 1,
            newest: None,
            started: Timestamp::MIN,
            // Without a query language it goes down, and not through all that is older.
            caught_up: true,
            count: None,
            waiting: 0,
        }
    }

    pub(super) fn to_cursor(&self) -> String {
        let written = Written {
            newest: self.newest.map(|at| at.to_string()),
            bound: self.bound.to_string(),
            page: self.page,
            caught_up: self.caught_up,
            count: self.count,
        };
        serde_json::to_string(&written).unwrap_or_default()
    }

    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    pub(super) fn floor(&self) -> Timestamp {
        self.floor
    }

    pub(super) fn started(&self) -> Timestamp {
        self.started
    }

    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    pub(super) fn is_first_page(&self) -> bool {
        self.page == 1
    }

    /// Whether the newest events come first.
    pub(super) fn goes_down(&self) -> bool {
        self.engine == Engine::Plain && self.caught_up
    }

    pub(super) fn query(&self, page_size: u32) -> String {
        let ordering = if self.goes_down() { "-created%2C-pk" } else { "created%2Cpk" };
        let search = match self.engine {
            Engine::Query => format!("&search={}", Self::bound_text(self.bound)),
            Engine::Plain => String::new(),
        };
        format!("/api/v3/events/events/?ordering={ordering}&page={}&page_size={page_size}{search}", self.page)
    }

    /// A lower bound in the query language, ready for a URL. It knows seconds, in UTC, and no `T`.
    pub(super) fn bound_text(bound: Timestamp) -> String {
        let text = bound.to_string();
        let (date, time) = (text.get(..10).unwrap_or_default(), text.get(11..19).unwrap_or_default());
        utf8_percent_encode(&format!("created >= \"{date} {time}\""), NON_ALPHANUMERIC).to_string()
    }

    /// A page was taken in; whether it was the last one.
    pub(super) fn took(&mut self, times: &[Timestamp], items: u64, next: Option<u64>, count: u64) -> bool {
        let (oldest, newest) = (times.iter().min().copied(), times.iter().max().copied());
        self.newest = self.newest.max(newest);
        let vanished = self.count.is_some_and(|before| before > count);
        let before = self.count.replace(count);
        self.waiting = count.saturating_sub(self.page.saturating_mul(items));
        // Rows that vanished pulled others to pages that were read already.
        if vanished && self.page > 1 {
            let rows = before.unwrap_or(count) - count;
            self.page = self.page.saturating_sub(rows.div_ceil(items.max(1))).max(1);
            return false;
        }
        if self.goes_down() {
            // Everything older was seen before.
            let reached = oldest.is_some_and(|oldest| oldest < self.floor);
            if next.is_none() || reached {
                return self.finish();
            }
            self.page += 1;
            return false;
        }
        let second = newest.map(floor_to_second).filter(|second| self.engine == Engine::Query && *second > self.bound);
        match (next, second) {
            (None, _) => return self.finish(),
            // The bound follows, so that no page is far from the first, and what vanishes below it moves nothing.
            (Some(_), Some(second)) => {
                self.bound = second;
                self.page = 1;
                self.count = None;
            }
            (Some(_), None) => self.page += 1,
        }
        false
    }

    /// The page that was asked for is not there any more; whether there is another way on.
    pub(super) fn rows_vanished(&mut self) -> bool {
        if self.page == 1 {
            return false;
        }
        self.count = None;
        // Nobody knows by how much the list has shrunk: nothing may be passed over.
        self.page = 1;
        true
    }

    fn finish(&mut self) -> bool {
        self.waiting = 0;
        true
    }

    /// The next look: an overlap before the newest event.
    pub(super) fn begin_again(&mut self, overlap: Duration) {
        self.caught_up = self.caught_up || self.newest.is_some();
        let back = u64::try_from(overlap.as_millis()).unwrap_or(u64::MAX);
        self.started = self.newest.unwrap_or(Timestamp::MIN);
        let floor = Timestamp::from_unix_ms(self.started.unix_ms().saturating_sub(back)).unwrap_or(Timestamp::MIN);
        self.floor = floor_to_second(floor);
        self.bound = self.floor;
        self.page = 1;
        self.count = None;
    }
}

fn floor_to_second(at: Timestamp) -> Timestamp {
    Timestamp::from_unix_ms(at.unix_ms() / 1_000 * 1_000).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(1_795_000_000_000 + seconds * 1_000 + 500).unwrap()
    }

    fn scan(engine: Engine) -> Scan {
        Scan::resume(None, engine, Duration::from_secs(900)).unwrap()
    }

    #[test]
    fn the_bound_is_written_as_the_query_language_reads_it() {
        let since = Scan::bound_text("2026-11-20T09:15:02.118Z".parse().unwrap());
        assert_eq!(since, "created%20%3E%3D%20%222026%2D11%2D20%2009%3A15%3A02%22");
    }

    #[test]
    fn the_bound_follows_and_many_events_of_one_second_are_paged() {
        let mut scan = scan(Engine::Query);
        assert!(!scan.took(&[time(0), time(5)], 2, Some(2), 10));
        assert_eq!((scan.page, scan.bound), (1, floor_to_second(time(5))));
        // A whole page of the same second.
        assert!(!scan.took(&[time(5), time(5)], 2, Some(2), 8));
        assert_eq!(scan.page, 2);
        // Two rows went: back by a page.
        assert!(!scan.took(&[time(5), time(5)], 2, Some(3), 6));
        assert_eq!(scan.page, 1);
        assert!(scan.took(&[time(5), time(9)], 2, None, 2));
        scan.begin_again(Duration::from_secs(4));
        assert_eq!((scan.bound, scan.floor), (floor_to_second(time(5)), floor_to_second(time(5))));
    }

    #[test]
    fn it_goes_on_where_it_was_interrupted() {
        let overlap = Duration::from_secs(4);
        let mut first = scan(Engine::Query);
        first.took(&[time(0), time(5)], 2, Some(2), 10);
        let resumed = Scan::resume(Some(&first.to_cursor()), Engine::Query, overlap).unwrap();
        assert_eq!((resumed.bound, resumed.page), (first.bound, 1));
        let mut plain = scan(Engine::Plain);
        plain.took(&[time(0), time(5)], 2, Some(2), 10);
        assert_eq!(Scan::resume(Some(&plain.to_cursor()), Engine::Plain, overlap).unwrap().page, 2);
        plain.took(&[time(9)], 1, None, 3);
        plain.begin_again(overlap);
        let resumed = Scan::resume(Some(&plain.to_cursor()), Engine::Plain, overlap).unwrap();
        assert!(resumed.goes_down() && resumed.page == 1);
        assert!(Scan::resume(Some("{}"), Engine::Plain, overlap).is_err());
    }

    #[test]
    fn from_a_page_that_is_gone_it_goes_back_to_the_first() {
        let mut scan = scan(Engine::Plain);
        scan.page = 9;
        assert!(scan.rows_vanished() && scan.page == 1);
        assert!(!scan.rows_vanished());
    }
}
