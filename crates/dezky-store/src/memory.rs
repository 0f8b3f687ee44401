//! The reference: every promise of the contract in the plainest data structures. Nothing survives the process.

mod answers;
mod records;
mod retention;
mod state;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Origin, Seq, Source, TenantSlug};

use crate::batch::{check, grow_branches};
use crate::error::StoreError;
use crate::log::{Append, EventLog, Head, MAX_SEEN_KEYS, NewEvent, ReadLimit, Receipt, Stored, TenantHead, Tip};
use crate::tiles::Tiles;
use crate::{Gauges, Store};
use state::State;

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    origin: Origin,
    /// Every call holds the lock from its first look to its last change, so each is atomic.
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty log.
    pub fn new(origin: Origin) -> Self {
        let state = Mutex::new(State::new(origin.genesis()));
        Self { origin, state }
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(StoreError::Unavailable { what: "it was closed", source: None }) } else { Ok(state) }
    }
}

#[async_trait]
impl EventLog for MemoryStore {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.state()?.trunk.head())
    }

    async fn tenant_head(&self, tenant: &TenantSlug) -> Result<Option<TenantHead>, StoreError> {
        Ok(self.state()?.tenants.get(tenant).cloned())
    }

    async fn append(&self, expected: Tip, batch: Arc<[NewEvent]>) -> Result<Append, StoreError> {
        check(expected, &batch)?;
        let mut state = self.state()?;
        if state.trunk.tip() != expected {
            return Ok(Append::Conflict);
        }
        let known = |event: &NewEvent| {
            event.key.as_ref().is_some_and(|key| state.receipts.contains_key(&(key.source.clone(), key.external_id.clone())))
        };
        if batch.iter().any(known) {
            return Ok(Append::Conflict);
        }
        let mut branches = BTreeMap::new();
        grow_branches(&mut branches, &batch, |tenant| Ok(state.tenants.get(tenant).cloned()))?;
        let mut trunk = state.trunk.clone();
        let tiles = trunk.grow(&batch)?;

        // Nothing can fail from here on.
        for tile in tiles {
            let old = state.tiles.insert((tile.id.level(), tile.id.index()), tile.hashes.clone());
            assert!(old.is_none_or(|old| tile.hashes.starts_with(&old)), "a tile's hashes changed");
        }
        state.trunk = trunk;
        let heads = branches.into_iter().filter_map(|(tenant, branch)| Some((tenant, branch.head()?)));
        state.tenants.extend(heads);
        for event in batch.iter() {
            state.add(event);
        }
        state.assert_invariants();
        Ok(Append::Appended { n: batch.len() })
    }

    async fn read(&self, range: RangeInclusive<u64>, limit: ReadLimit) -> Result<Vec<Stored>, StoreError> {
        let state = self.state()?;
        let mut read = Vec::new();
        let mut bytes = 0;
        for (seq, entry) in state.range(range) {
            bytes += entry.line.len();
            if read.len() >= limit.events || (bytes > limit.bytes && !read.is_empty()) {
                break;
            }
            read.push(Stored { seq: *seq, line: entry.line.clone() });
        }
        Ok(read)
    }

    async fn seen(&self, keys: &[(Source, ExternalId)]) -> Result<Vec<Option<Receipt>>, StoreError> {
        if keys.len() > MAX_SEEN_KEYS {
            return Err(StoreError::refused(format!("at most {MAX_SEEN_KEYS} keys at once")));
        }
        let state = self.state()?;
        Ok(keys.iter().map(|key| state.receipts.get(key).cloned()).collect())
    }
}

#[async_trait]
impl Tiles for MemoryStore {
    async fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        Ok(self.state()?.tiles.get(&(level, index)).cloned())
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn gauges(&self) -> Gauges {
        Gauges::default()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.state().map(drop)
    }

    async fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
    }
}

/// The seq of a stored position, which the store itself has put there.
fn stored_seq(seq: u64) -> Result<Seq, StoreError> {
    Seq::new(seq).ok_or_else(|| StoreError::corrupt(format!("an event at position {seq}")))
}
