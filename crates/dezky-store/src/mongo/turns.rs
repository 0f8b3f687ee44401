//! Taking turns among processes that write without a break.
//!
//! The unique `_id` decides each race for the next place, and whoever has just won one knows the new head first: it would win
//! the next one as well, and the others none. So a process that has written for a turn makes a pause, long enough for another to
//! read the head and get in. Who knows of no other makes one more seldom, for a newcomer to be noticed by. Who has lost more than
//! once does not try again before the head has stood still for a moment: what it would send in vain costs the server as much
//! as what gets in. This is about fairness and speed only: nothing that the log promises depends on it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a process writes while others want to, and while it knows of none.
const TURN: Duration = Duration::from_millis(200);
const LONE_TURN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(30);
/// How long the head stands still when nobody's turn is on. Each lost race takes a millisecond off, up to some, so that of
/// several who wait the one that has waited longest is the next.
const STILL: Duration = Duration::from_millis(20);
const MOST_TAKEN_OFF: u32 = 8;
/// For so long the others are remembered.
const MEMORY: Duration = Duration::from_secs(10);

/// What one process knows of turns.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Since when it has written without a pause, and when it last did.
    turn: Option<(Instant, Instant)>,
    /// When another's event was last found.
    others: Option<Instant>,
    /// Races lost since the last that was won.
    losses: u32,
}

impl Turns {
    /// How long to wait before the next append; after a wait the head must be looked at first.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        let mut state = self.state();
        if state.losses > 1 {
            return STILL - Duration::from_millis(1) * state.losses.min(MOST_TAKEN_OFF);
        }
        let contested = state.others.is_some_and(|seen| now.duration_since(seen) < MEMORY);
        let length = if contested { TURN } else { LONE_TURN };
        match state.turn {
            Some((began, last)) if now.duration_since(last) < PAUSE && now.duration_since(began) >= length => {
                state.turn = None;
                PAUSE
            }
            _ => Duration::ZERO,
        }
    }

    /// An append got in.
    pub(super) fn won(&self, now: Instant) {
        let mut state = self.state();
        let began = state.turn.filter(|(_, last)| now.duration_since(*last) < PAUSE).map_or(now, |(began, _)| began);
        state.turn = Some((began, now));
        state.losses = 0;
    }

    /// An append did not get in.
    pub(super) fn lost(&self, now: Instant) {
        self.others(now);
        self.state().losses += 1;
    }

    /// Events of another process were found.
    pub(super) fn others(&self, now: Instant) {
        let mut state = self.state();
        (state.turn, state.others) = (None, Some(now));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appends of 5 ms without a break; when pauses were asked for, in milliseconds from the beginning.
    fn pauses(turns: &Turns, start: Instant, for_ms: u64) -> Vec<u64> {
        let (mut at, mut pauses) = (0, Vec::new());
        while at < for_ms {
            let now = start + Duration::from_millis(at);
            if turns.pause(now) > Duration::ZERO {
                pauses.push(at);
                at += 30;
            }
            at += 5;
            turns.won(start + Duration::from_millis(at));
        }
        pauses
    }

    #[test]
    fn whoever_is_alone_seldom_pauses() {
        let (turns, start) = (Turns::default(), Instant::now());
        assert_eq!(pauses(&turns, start, 5_000), [2_005, 4_040]);
    }

    #[test]
    fn with_others_turns_are_short_until_they_are_forgotten() {
        let (turns, start) = (Turns::default(), Instant::now());
        turns.others(start);
        let pauses = pauses(&turns, start, 14_000);
        assert_eq!(pauses[..3], [205, 440, 675]);
        assert_eq!(pauses.iter().filter(|at| **at > 10_000).count(), 2, "{pauses:?}");
    }

    #[test]
    fn whoever_writes_now_and_then_never_pauses() {
        let (turns, start) = (Turns::default(), Instant::now());
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            assert_eq!(turns.pause(now), Duration::ZERO);
            turns.won(now);
            // Also when another was there first: that is no race that goes on.
            turns.lost(now);
        }
    }

    #[test]
    fn whoever_keeps_losing_waits_until_the_head_stands_still() {
        let (turns, now) = (Turns::default(), Instant::now());
        turns.lost(now);
        assert_eq!(turns.pause(now), Duration::ZERO);
        turns.lost(now);
        let first = turns.pause(now);
        turns.lost(now);
        assert!(Duration::ZERO < turns.pause(now) && turns.pause(now) < first && first < PAUSE);
        turns.won(now);
        assert_eq!(turns.pause(now), Duration::ZERO);
    }
}
