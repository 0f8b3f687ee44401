//! The recorder's queue: bounded in events and in bytes; whoever does not fit is told at once.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::config::RecordLimits;
use crate::record::RecordError;
use crate::unit::Unit;

pub(crate) struct Queue {
    limits: RecordLimits,
    /// Held only to move units in and out.
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    units: VecDeque<Unit>,
    /// Of all units that were not launched yet, those included that were taken already.
    load: Load,
    closed: bool,
}

/// How much some units are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Load {
    pub(crate) fn of(unit: &Unit) -> Self {
        Self { events: unit.entries.len(), bytes: unit.bytes }
    }

    pub(crate) const fn plus(self, other: Self) -> Self {
        Self { events: self.events + other.events, bytes: self.bytes + other.bytes }
    }

    const fn minus(self, other: Self) -> Self {
        Self { events: self.events.saturating_sub(other.events), bytes: self.bytes.saturating_sub(other.bytes) }
    }

    const fn exceeds(self, events: usize, bytes: usize) -> bool {
        self.events > events || self.bytes > bytes
    }
}

impl Queue {
    pub(crate) fn new(mut limits: RecordLimits) -> Self {
        // A store takes no more at once.
        limits.batch_events = limits.batch_events.min(RecordLimits::MAX_EVENTS);
        limits.batch_bytes = limits.batch_bytes.min(RecordLimits::MAX_BYTES);
        Self { limits, state: Mutex::default(), arrived: Notify::new() }
    }

    /// Adds a unit; an empty queue takes any.
    ///
    /// # Errors
    /// `Overloaded` or `Closed`.
    pub(crate) fn push(&self, unit: Unit) -> Result<(), RecordError> {
        {
            let mut state = self.state();
            if state.closed {
                return Err(RecordError::Closed);
            }
            let load = state.load.plus(Load::of(&unit));
            if state.load.events > 0 && load.exceeds(self.limits.queue_events, self.limits.queue_bytes) {
                return Err(RecordError::Overloaded);
            }
            state.load = load;
            state.units.push_back(unit);
        }
        self.arrived.notify_one();
        Ok(())
    }

    /// Puts units back in front, in their order: they were taken already, so the limits do not apply.
    pub(crate) fn give_back(&self, units: Vec<Unit>) {
        let mut state = self.state();
        for unit in units.into_iter().rev() {
            state.load = state.load.plus(Load::of(&unit));
            state.units.push_front(unit);
        }
    }

    /// What waits, up to the limits of a batch that is already `begun`; waits for a first one that fits. `None` once the queue
    /// is closed and empty. Dropping the future takes nothing. What was taken counts until it is [launched](Queue::launched).
    pub(crate) async fn next(&self, begun: Load) -> Option<Vec<Unit>> {
        loop {
            {
                let mut state = self.state();
                let batch = state.take(self.limits, begun);
                if !batch.is_empty() {
                    return Some(batch);
                }
                if state.closed && state.units.is_empty() {
                    return None;
                }
            }
            self.arrived.notified().await;
            // Those who are about to bring theirs, as all are who were answered together, are taken in together.
            tokio::task::yield_now().await;
        }
    }

    /// Taken units are on their way to the store, and no longer wait.
    pub(crate) fn launched(&self, load: Load) {
        let mut state = self.state();
        state.load = state.load.minus(load);
    }

    /// From now on nothing is added; what waits is still handed out.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_one();
    }

    /// Closes the queue and answers all that wait.
    pub(crate) fn abandon(&self) {
        self.close();
        let units = std::mem::take(&mut *self.state()).units;
        self.state().closed = true;
        for unit in units {
            unit.reply(Err(RecordError::Closed));
        }
    }

    /// How much waits.
    pub(crate) fn depth(&self) -> Load {
        self.state().load
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, limits: RecordLimits, begun: Load) -> Vec<Unit> {
        let (mut batch, mut load) = (Vec::new(), begun);
        while let Some(unit) = self.units.front() {
            let first = load.events == 0;
            load = load.plus(Load::of(unit));
            if !first && load.exceeds(limits.batch_events, limits.batch_bytes) {
                break;
            }
            batch.extend(self.units.pop_front());
        }
        batch
    }
}
