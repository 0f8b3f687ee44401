//! Whose turn it is: the document that all processes know, and what somebody who sees it does.

use std::time::Duration;

use mongodb::bson::{Bson, DateTime, Document, RawDocument, doc};

use super::super::value::{integer, member, number, text};
use crate::error::StoreError;

/// How long a process writes while others wait.
pub(super) const TURN: Duration = Duration::from_millis(400);
/// How long after its turn a process has time to hand over, and then the first in the queue to take what was not handed over.
pub(super) const GRACE: Duration = Duration::from_millis(30);
/// How often those who wait look, the first in the queue and the others.
const FIRST_POLL: Duration = Duration::from_millis(3);
const POLL: Duration = Duration::from_millis(40);
/// The most processes that queue up.
const MAX_WAITING: usize = 256;

/// The document: whose turn it is until when, and who is next. `number` counts the turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) version: u64,
    pub(super) number: u64,
    pub(super) holder: String,
    until: i64,
    waiting: Vec<String>,
}

/// What to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// It is one's own turn.
    Write,
    /// Changes the document.
    Change(Turn),
    Wait(Duration),
}

impl Turn {
    pub(super) fn read(document: &RawDocument) -> Result<Self, StoreError> {
        let until = member(document, "until").and_then(|until| Some(until.as_datetime()?.timestamp_millis()));
        let names = member(document, "waiting").and_then(|waiting| waiting.as_array());
        let names = names.into_iter().flatten().filter_map(|name| Some(name.ok()?.as_str()?.to_owned()));
        Ok(Self {
            version: number(document, "version")?,
            number: number(document, "number")?,
            holder: text(document, "holder")?,
            until: until.unwrap_or(0),
            waiting: names.collect(),
        })
    }

    pub(super) fn document(&self) -> Document {
        doc! {
            "version": integer(self.version), "number": integer(self.number), "holder": &self.holder,
            "until": DateTime::from_millis(self.until),
            "waiting": self.waiting.iter().map(|name| Bson::from(name.as_str())).collect::<Vec<_>>(),
        }
    }

    /// The first turn of all.
    pub(super) fn first(me: &str, now: i64) -> Self {
        Self { version: 0, number: 0, holder: me.to_owned(), until: now + millis(TURN), waiting: Vec::new() }
    }

    /// What somebody who wants to write does. `stale`: the turn has not changed for longer than a turn lasts, whatever the
    /// clocks say.
    pub(super) fn next(&self, me: &str, now: i64, stale: bool) -> Move {
        let running = now < self.until && !stale;
        let place = self.waiting.iter().position(|name| name == me);
        if running && self.holder == me {
            return Move::Write;
        }
        let first = self.waiting.first().is_none_or(|first| first == me);
        let over = |graces: i64| stale || now >= self.until.saturating_add(graces * millis(GRACE));
        if self.holder == me && !first {
            let waiting = self.waiting[1..].iter().chain([&me.to_owned()]).cloned().collect();
            return Move::Change(Self { holder: self.waiting[0].clone(), waiting, ..self.turned(now) });
        }
        // Whoever was to be next and did not come is gone.
        if !running && (self.waiting.is_empty() || first && over(1) || over(2)) {
            let passed = match place {
                Some(place) => place + 1,
                None => usize::from(!first),
            };
            let waiting = self.waiting.iter().skip(passed).cloned().collect();
            return Move::Change(Self { holder: me.to_owned(), waiting, ..self.turned(now) });
        }
        match place {
            None if self.waiting.len() < MAX_WAITING => {
                let mut changed = Self { version: self.version + 1, ..self.clone() };
                changed.waiting.push(me.to_owned());
                Move::Change(changed)
            }
            Some(0) => {
                let left = u64::try_from(self.until.saturating_sub(now)).unwrap_or(0);
                Move::Wait(Duration::from_millis(left).clamp(FIRST_POLL, POLL))
            }
            _ => Move::Wait(POLL),
        }
    }

    fn turned(&self, now: i64) -> Self {
        Self { version: self.version + 1, number: self.number + 1, until: now + millis(TURN), ..self.clone() }
    }

    /// Whether somebody who writes must stop for another.
    pub(super) fn stops(&self, me: &str, now: i64) -> bool {
        let others = self.waiting.iter().any(|name| name != me);
        if self.holder == me { others && now >= self.until } else { now < self.until || others }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(holder: &str, waiting: &[&str]) -> Turn {
        let waiting = waiting.iter().map(|name| (*name).to_owned()).collect();
        Turn { version: 7, number: 3, holder: holder.to_owned(), until: 1_000, waiting }
    }

    fn changed(next: Move) -> Turn {
        let Move::Change(turn) = next else { panic!("{next:?}") };
        turn
    }

    #[test]
    fn a_turn_goes_round_among_those_who_wait() {
        // Joining, while it runs.
        assert_eq!(changed(turn("a", &[]).next("b", 900, false)).waiting, ["b"]);
        assert_eq!(turn("a", &["b"]).next("b", 900, false), Move::Wait(POLL));
        assert_eq!(turn("a", &["b"]).next("b", 999, false), Move::Wait(FIRST_POLL));
        assert_eq!(turn("a", &["b", "c"]).next("c", 999, false), Move::Wait(POLL));
        // The holder writes on, stops when it is over, hands over and is the last in the queue.
        assert_eq!(turn("a", &["b", "c"]).next("a", 999, false), Move::Write);
        assert!(!turn("a", &["b", "c"]).stops("a", 999) && turn("a", &["b", "c"]).stops("a", 1_000));
        let handed = changed(turn("a", &["b", "c"]).next("a", 1_010, false));
        assert_eq!((handed.holder.as_str(), handed.until, handed.number), ("b", 1_410, 4));
        assert_eq!(handed.waiting, ["c", "a"]);
        assert!(handed.version > 7);
        // Nobody waits: it goes on.
        assert!(!turn("a", &[]).stops("a", 1_000) && !turn("a", &["a"]).stops("a", 1_000));
        assert_eq!(changed(turn("a", &[]).next("a", 1_010, false)).holder, "a");
    }

    #[test]
    fn whoever_has_died_or_has_nothing_to_write_is_passed_over() {
        // A holder that does not hand over.
        assert_eq!(turn("a", &["b", "c"]).next("b", 1_029, false), Move::Wait(FIRST_POLL));
        let taken = changed(turn("a", &["b", "c"]).next("b", 1_030, false));
        assert_eq!((taken.holder.as_str(), taken.waiting), ("b", vec!["c".to_owned()]));
        // The next in the queue does not come.
        assert_eq!(turn("a", &["b", "c"]).next("c", 1_059, false), Move::Wait(POLL));
        let taken = changed(turn("a", &["b", "c", "d"]).next("c", 1_060, false));
        assert_eq!((taken.holder.as_str(), taken.waiting), ("c", vec!["d".to_owned()]));
        let taken = changed(turn("a", &["b", "c"]).next("d", 1_060, false));
        assert_eq!((taken.holder.as_str(), taken.waiting), ("d", vec!["c".to_owned()]));
    }

    #[test]
    fn a_clock_that_is_wrong_holds_nobody_for_longer_than_a_turn() {
        assert_eq!(changed(turn("a", &["b"]).next("b", -90_000, true)).holder, "b");
        assert_eq!(changed(turn("a", &["x", "b"]).next("b", -90_000, true)).holder, "b");
    }

    #[test]
    fn whoever_writes_while_it_is_anothers_turn_stops() {
        assert!(turn("a", &[]).stops("b", 999));
        assert!(!turn("a", &[]).stops("b", 1_000));
        assert!(turn("a", &["c"]).stops("b", 5_000));
    }

    #[test]
    fn the_document_is_read_as_it_was_written() {
        let turn = turn("a", &["b", "c"]);
        let document = mongodb::bson::RawDocumentBuf::try_from(&turn.document()).unwrap();
        assert_eq!(Turn::read(&document).unwrap(), turn);
    }
}
