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
    events: usize,
    bytes: usize,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(limits: RecordLimits) -> Self {
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
            let (events, bytes) = (state.events + unit.entries.len(), state.bytes + unit.bytes);
            if !state.units.is_empty() && (events > self.limits.queue_events || bytes > self.limits.queue_bytes) {
                return Err(RecordError::Overloaded);
            }
            (state.events, state.bytes) = (events, bytes);
            state.units.push_back(unit);
        }
        self.arrived.notify_one();
        Ok(())
    }

    /// Puts units back in front, in their order: they were taken already, so the limits do not apply.
    pub(crate) fn give_back(&self, units: Vec<Unit>) {
        let mut state = self.state();
        for unit in units.into_iter().rev() {
            state.events += unit.entries.len();
            state.bytes += unit.bytes;
            state.units.push_front(unit);
        }
    }

    /// What waits, up to the limits of a batch; waits for a first one. `None` once the queue is closed and empty.
    pub(crate) async fn next(&self) -> Option<Vec<Unit>> {
        loop {
            {
                let mut state = self.state();
                let batch = state.take(self.limits);
                if !batch.is_empty() {
                    return Some(batch);
                }
                if state.closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
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

    /// Events and bytes that wait.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let state = self.state();
        (state.events, state.bytes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, limits: RecordLimits) -> Vec<Unit> {
        let (mut batch, mut events, mut bytes) = (Vec::new(), 0, 0);
        while let Some(unit) = self.units.front() {
            (events, bytes) = (events + unit.entries.len(), bytes + unit.bytes);
            if !batch.is_empty() && (events > limits.batch_events || bytes > limits.batch_bytes) {
                break;
            }
            self.events -= unit.entries.len();
            self.bytes -= unit.bytes;
            batch.extend(self.units.pop_front());
        }
        batch
    }
}
