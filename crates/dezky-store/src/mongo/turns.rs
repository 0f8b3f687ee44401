//! Taking turns among processes that write without a break.
//!
//! The unique `_id` decides each race for the next place, and whoever has just won one knows the new head first: it would win
//! the next one as well, and the others none. So whoever has lost more than once in a row queues up in a document that all
//! processes know, the only one of the collection `turn`; whoever writes without a break looks there now and then, beside an
//! insert, and hands over to the first in the queue when its turn is over. With little to write nobody loses twice, and the
//! document is not even there. This is about fairness and speed only: nothing that the log promises depends on it, and
//! whatever goes wrong here, the append goes on without a turn.

mod turn;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, doc};

use super::MongoStore;
use super::value::integer;
use crate::error::StoreError;
use turn::{GRACE, Move, TURN, Turn};

const COLLECTION: &str = "turn";
const NAME: &str = "append";
/// How often a process that writes without a break looks who waits.
const LOOK: Duration = Duration::from_millis(50);
/// An append that comes later than this after the last one is a new beginning.
const BREAK: Duration = Duration::from_millis(30);
/// How often those who wait learn what others have written meanwhile, so that it is little when their turn comes.
const FOLLOW: Duration = Duration::from_millis(100);
/// Races lost in a row before a process queues up.
const PATIENCE: u32 = 1;
/// The longest wait; after it the append tries its luck.
const LONGEST: Duration = Duration::from_secs(5);

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
}
