//! Taking turns among processes that write without a break.
//!
//! The unique `_id` decides each race for the next place, and whoever has just won one knows the new head first: it would win
//! the next one as well, and the others none. So whoever has lost more than once in a row queues up in a document that all
//! processes know, the only one of the collection `turn`; whoever writes without a break looks there now and then, beside an
//! insert, and hands over to the first in the queue when its turn is over. With little to write nobody loses twice, and the
//! document is not even there. This is about fairness and speed only: nothing that the log promises depends on it, and
//! whatever goes wrong here, the append goes on without a turn.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, RawDocument, doc};

use super::MongoStore;
use super::value::{integer, member, number, text};
use crate::error::StoreError;

const COLLECTION: &str = "turn";
const NAME: &str = "append";
/// How long a process writes while others wait.
const TURN: Duration = Duration::from_millis(400);
/// How long after its turn a process has time to hand over, and then the first in the queue to take what was not handed over.
const GRACE: Duration = Duration::from_millis(30);
/// How often a process that writes without a break looks who waits.
const LOOK: Duration = Duration::from_millis(50);
/// An append that comes later than this after the last one is a new beginning.
const BREAK: Duration = Duration::from_millis(30);
/// How often those who wait look, the first in the queue and the others.
const FIRST_POLL: Duration = Duration::from_millis(3);
const POLL: Duration = Duration::from_millis(40);
/// How often they learn what others have written meanwhile, so that it is little when their turn comes.
const FOLLOW: Duration = Duration::from_millis(100);
/// Races lost in a row before a process queues up.
const PATIENCE: u32 = 1;
/// The longest wait; after it the append tries its luck.
const LONGEST: Duration = Duration::from_secs(5);
/// The most processes that queue up.
const MAX_WAITING: usize = 256;

/// What one process knows of turns.
#[derive(Debug)]
pub(super) struct Turns {
    me: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the last append got in.
    won: Option<Instant>,
    /// When the document was last looked at, or writing began.
    looked: Option<Instant>,
    /// When one's own turn ends.
    ends: Option<Instant>,
    /// Races lost since the last that was won.
    losses: u32,
    /// Another has the turn.
    yielding: bool,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { me: ObjectId::new().to_hex(), state: Mutex::default() }
    }

    /// An append got in.
    pub(super) fn won(&self, now: Instant) {
        let mut state = self.state();
        if state.won.is_none_or(|won| now.duration_since(won) > BREAK) {
            (state.looked, state.ends) = (Some(now), state.ends.filter(|ends| now < *ends));
        }
        (state.won, state.losses) = (Some(now), 0);
    }

    /// An append did not get in.
    pub(super) fn lost(&self) {
        self.state().losses += 1;
    }

    fn must_queue(&self, now: Instant) -> bool {
        let state = self.state();
        state.yielding || state.losses > PATIENCE || state.ends.is_some_and(|ends| now >= ends)
    }

    /// It is its turn, for as long as a turn lasts.
    fn begins(&self, now: Instant) {
        self.state().ends = Some(now + TURN);
    }

    /// Whether it has written for so long, without having the turn, that it should look whose it is.
    fn looks(&self, now: Instant) -> bool {
        let mut state = self.state();
        let unbroken = state.won.is_some_and(|won| now.duration_since(won) <= BREAK);
        let since = state.looked.map(|looked| now.duration_since(looked));
        let due = unbroken && state.ends.is_none() && since.is_some_and(|since| since >= LOOK);
        if due {
            state.looked = Some(now);
        }
        due
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The document: whose turn it is until when, and who is next. `number` counts the turns.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Turn {
    version: u64,
    number: u64,
    holder: String,
    until: i64,
    waiting: Vec<String>,
}

/// What to do about it.
#[derive(Debug, PartialEq, Eq)]
enum Move {
    /// It is one's own turn.
    Write,
    /// Changes the document.
    Change(Turn),
    Wait(Duration),
}

impl Turn {
    fn read(document: &RawDocument) -> Result<Self, StoreError> {
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

    fn document(&self) -> Document {
        doc! {
            "version": integer(self.version), "number": integer(self.number), "holder": &self.holder,
            "until": DateTime::from_millis(self.until),
            "waiting": self.waiting.iter().map(|name| Bson::from(name.as_str())).collect::<Vec<_>>(),
        }
    }

    /// The first turn of all.
    fn first(me: &str, now: i64) -> Self {
        Self { version: 0, number: 0, holder: me.to_owned(), until: now + millis(TURN), waiting: Vec::new() }
    }

    /// What somebody who wants to write does. `stale`: the turn has not changed for longer than a turn lasts, whatever the
    /// clocks say.
    fn next(&self, me: &str, now: i64, stale: bool) -> Move {
        let running = now < self.until && !stale;
        let place = self.waiting.iter().position(|name| name == me);
        if running && self.holder == me {
            return Move::Write;
        }
        let first = self.waiting.first().is_none_or(|first| first == me);
        let over = |graces: i64| stale || now >= self.until + graces * millis(GRACE);
        if self.holder == me && !first {
            let waiting = self.waiting[1..].iter().chain([&me.to_owned()]).cloned().collect();
            return Move::Change(Self { holder: self.waiting[0].clone(), waiting, ..self.turned(now) });
        }
        // Whoever was to be next and did not come is gone.
        if !running && (self.waiting.is_empty() || first && over(1) || over(2)) {
            let waiting = self.waiting.iter().skip(place.map_or(usize::from(!first), |place| place + 1)).cloned().collect();
            return Move::Change(Self { holder: me.to_owned(), waiting, ..self.turned(now) });
        }
        match place {
            None if self.waiting.len() < MAX_WAITING => {
                let mut changed = Self { version: self.version + 1, ..self.clone() };
                changed.waiting.push(me.to_owned());
                Move::Change(changed)
            }
            Some(0) => Move::Wait(Duration::from_millis(u64::try_from(self.until - now).unwrap_or(0)).clamp(FIRST_POLL, POLL)),
            _ => Move::Wait(POLL),
        }
    }

    fn turned(&self, now: i64) -> Self {
        Self { version: self.version + 1, number: self.number + 1, until: now + millis(TURN), ..self.clone() }
    }

    /// Whether somebody who writes must stop for another.
    fn stops(&self, me: &str, now: i64) -> bool {
        let others = self.waiting.iter().any(|name| name != me);
        if self.holder == me { others && now >= self.until } else { now < self.until || others }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl MongoStore {
    /// Waits until it is this process's turn, if it has to; true when it has waited.
    pub(super) async fn take_turn(&self) -> bool {
        if !self.turns.must_queue(Instant::now()) {
            return false;
        }
        {
            let mut state = self.turns.state();
            (state.ends, state.yielding) = (None, false);
        }
        match self.queue_up().await {
            Ok(true) => self.turns.begins(Instant::now()),
            Ok(false) => {}
            // The append itself will tell.
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "turns cannot be taken"),
        }
        true
    }

    /// Beside an insert: looks whose turn it is, if it is time to.
    pub(super) async fn look_whose_turn(&self) {
        if self.turns.looks(Instant::now())
            && let Ok(Some(turn)) = self.read_turn().await
        {
            self.turns.state().yielding = turn.stops(&self.turns.me, DateTime::now().timestamp_millis());
        }
    }

    /// Waits in the queue; whether it has the turn in the end.
    async fn queue_up(&self) -> Result<bool, StoreError> {
        let begun = Instant::now();
        let mut followed = begun;
        let mut seen: Option<(u64, Instant)> = None;
        while begun.elapsed() < LONGEST {
            let now = DateTime::now().timestamp_millis();
            let Some(turn) = self.read_turn().await? else {
                let mut first = Turn::first(&self.turns.me, now).document();
                first.insert("_id", NAME);
                if self.insert(COLLECTION, first).await? {
                    return Ok(true);
                }
                continue;
            };
            if seen.is_none_or(|(number, _)| number != turn.number) {
                seen = Some((turn.number, Instant::now()));
            }
            let stale = seen.is_some_and(|(_, since)| since.elapsed() > TURN + GRACE);
            match turn.next(&self.turns.me, now, stale) {
                Move::Write => return Ok(true),
                Move::Change(changed) => {
                    let as_seen = doc! { "_id": NAME, "version": integer(turn.version) };
                    let own = changed.holder == self.turns.me;
                    if self.update(COLLECTION, as_seen, doc! { "$set": changed.document() }).await? && own {
                        return Ok(true);
                    }
                }
                Move::Wait(pause) => {
                    if followed.elapsed() >= FOLLOW {
                        self.follow().await?;
                        followed = Instant::now();
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
        Ok(false)
    }

    async fn follow(&self) -> Result<(), StoreError> {
        let mut side = self.side.lock().await;
        if side.chain.is_some() {
            side.chain = Some(self.caught_up(&mut side).await?);
        }
        Ok(())
    }

    async fn read_turn(&self) -> Result<Option<Turn>, StoreError> {
        let turns = self.collection(COLLECTION)?;
        self.first(turns.find(doc! { "_id": NAME })).await?.map(|document| Turn::read(&document)).transpose()
    }
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
    fn whoever_writes_now_and_then_never_queues_up() {
        let (turns, start) = (Turns::new(), Instant::now());
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            assert!(!turns.must_queue(now) && !turns.looks(now));
            turns.won(now);
            // Also when another was there first: that is no race that goes on.
            turns.lost();
        }
    }

    #[test]
    fn whoever_keeps_losing_queues_up_until_it_wins() {
        let (turns, now) = (Turns::new(), Instant::now());
        turns.lost();
        assert!(!turns.must_queue(now));
        turns.lost();
        assert!(turns.must_queue(now));
        turns.won(now);
        assert!(!turns.must_queue(now));
    }

    #[test]
    fn a_turn_ends_for_whoever_writes_without_a_break() {
        let (turns, start) = (Turns::new(), Instant::now());
        turns.begins(start);
        for ms in (0..400).step_by(10) {
            let now = start + Duration::from_millis(ms);
            assert!(!turns.must_queue(now) && !turns.looks(now));
            turns.won(now);
        }
        let end = start + TURN;
        assert!(turns.must_queue(end));
        // After a break nobody knows whose turn it is.
        turns.won(end + Duration::from_secs(1));
        assert!(!turns.must_queue(end + Duration::from_secs(1)));
    }

    #[test]
    fn whoever_writes_without_a_break_looks_now_and_then() {
        let (turns, start) = (Turns::new(), Instant::now());
        let mut looks = Vec::new();
        for ms in (0..120).step_by(10) {
            let now = start + Duration::from_millis(ms);
            turns.won(now);
            if turns.looks(now) {
                looks.push(ms);
            }
        }
        assert_eq!(looks, [50, 100]);
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
