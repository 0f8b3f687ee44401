//! The best-effort lane: events whose caller does not wait, on their way to the log.
//!
//! Two tasks keep one order. The [`intake`] takes what was handed over: straight to the recorder as long as the spool is
//! empty, else to the spool. The [`replay`] moves the spool into the log. Since only the intake adds to the spool, and
//! goes straight only when nothing is left in it, no event overtakes another of the same process.

pub(crate) mod intake;
pub(crate) mod replay;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dezky_audit_core::ids::{ExternalId, Source};
use dezky_audit_core::time::Timestamp;
use tokio::sync::{Notify, oneshot};

use crate::config::SpoolConfig;
use crate::metrics::Counters;
use crate::own::Loss;
use crate::record::Kept;
use crate::unit::Entry;

/// The most events that go to the recorder, or to the spool, at once.
const MAX_BATCH: usize = 1_000;
/// The most bytes of them.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// How long the recorder may take before the spool takes over.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was handed over and is on its way, in memory.
pub(crate) struct Lane {
    max_events: usize,
    max_bytes: usize,
    counters: Arc<Counters>,
    /// Held only to move items in and out.
    state: Mutex<State>,
    arrived: Notify,
    pressed: Notify,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    lost: Option<Loss>,
    closed: bool,
}

/// One event that nobody waits for. It has an `externalId`, so it can be sent twice and arrives once.
pub(crate) struct Item {
    pub(crate) entry: Entry,
    /// The draft as it was given, for the spool.
    pub(crate) content: Vec<u8>,
    /// When it was handed over.
    pub(crate) at: Timestamp,
    pub(crate) fate: oneshot::Sender<Kept>,
}

impl Item {
    fn bytes(&self) -> usize {
        self.content.len() + self.entry.prepared.longest_line()
    }

    fn key(&self) -> Option<(Source, ExternalId)> {
        self.entry.key.as_ref().map(|key| (key.source.clone(), key.external_id.clone()))
    }
}

impl Lane {
    pub(crate) fn new(config: &SpoolConfig, counters: Arc<Counters>) -> Self {
        let (arrived, pressed) = (Notify::new(), Notify::new());
        let (max_events, max_bytes) = (config.queue_events, config.queue_bytes);
        Self { max_events, max_bytes, counters, state: Mutex::default(), arrived, pressed }
    }

    /// Hands an event over. What does not fit is lost, and counted.
    pub(crate) fn push(&self, item: Item) {
        let (over, pressed) = {
            let mut state = self.state();
            let bytes = state.bytes + item.bytes();
            let full = !state.items.is_empty() && (state.items.len() >= self.max_events || bytes > self.max_bytes);
            if state.closed || full {
                state.lose(item.at);
                self.counters.lost.add(1);
                (Some(item), true)
            } else {
                state.bytes = bytes;
                state.items.push_back(item);
                (None, state.items.len() > self.max_events / 2 || bytes > self.max_bytes / 2)
            }
        };
        self.arrived.notify_one();
        if pressed {
            self.pressed.notify_one();
        }
        if let Some(item) = over {
            drop(item.fate.send(Kept::Lost));
        }
    }

    /// What waits, up to the limits of a batch and the first key that repeats; waits for a first one. `None` once closed and
    /// empty.
    async fn next(&self) -> Option<Vec<Item>> {
        loop {
            {
                let mut state = self.state();
                let batch = state.take();
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

    /// Returns when more than half of the room is taken.
    async fn pressed(&self) {
        loop {
            {
                let state = self.state();
                if state.items.len() > self.max_events / 2 || state.bytes > self.max_bytes / 2 {
                    return;
                }
            }
            self.pressed.notified().await;
        }
    }

    /// What was lost for want of room since the last call.
    fn take_lost(&self) -> Option<Loss> {
        self.state().lost.take()
    }

    /// From now on everything that is handed over is lost; what is there goes its way.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_one();
    }

    pub(crate) fn len(&self) -> usize {
        self.state().items.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Vec<Item> {
        let (mut batch, mut bytes, mut keys) = (Vec::new(), 0, HashSet::new());
        while let Some(item) = self.items.front() {
            let size = item.bytes();
            let full = !batch.is_empty() && (batch.len() == MAX_BATCH || bytes + size > MAX_BATCH_BYTES);
            if full || !keys.insert(item.key()) {
                break;
            }
            bytes += size;
            self.bytes -= size;
            batch.extend(self.items.pop_front());
        }
        batch
    }

    fn lose(&mut self, at: Timestamp) {
        let loss = self.lost.get_or_insert(Loss { count: 0, since: at, until: at });
        loss.count += 1;
        loss.since = loss.since.min(at);
        loss.until = loss.until.max(at);
    }
}
