//! The small state: checkpoints, bookmarks, batches, leases, runs, documents, settings.

use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use dezky_audit_core::time::Timestamp;

use super::MemoryStore;
use super::state::{Holding, State};
use crate::archives::{Archives, BatchId, BatchRecord, Intent};
use crate::bookmarks::{Bookmark, Bookmarks, Swap};
use crate::checkpoints::{CheckpointRecord, Checkpoints};
use crate::directory::{Change, Directory, Document, OutboxEntry};
use crate::error::StoreError;
use crate::leases::{Fence, Lease, Leases};
use crate::limits;
use crate::runs::{Runs, VerificationRun};
use crate::settings::Settings;

impl State {
    /// Refuses a fence that is not the newest of its lease.
    pub(super) fn guard(&self, fence: &Fence) -> Result<(), StoreError> {
        match self.leases.get(&fence.lease) {
            Some(holding) if holding.token == fence.token => Ok(()),
            _ => Err(StoreError::Fenced { lease: fence.lease.clone() }),
        }
    }

    pub(super) fn must_be_empty(&self) -> Result<(), StoreError> {
        if self.trunk.tip().size == 0 { Ok(()) } else { Err(StoreError::refused("the log is not empty")) }
    }

    /// The newest among `checkpoints` that `wanted` admits, by the order that `better` gives.
    fn checkpoint(&self, wanted: impl Fn(u64) -> bool, better: impl Fn(u64, u64) -> bool) -> Option<CheckpointRecord> {
        let mut found: Option<&CheckpointRecord> = None;
        for record in self.checkpoints.iter().filter(|record| wanted(record.size)) {
            if found.is_none_or(|known| record.size == known.size || better(record.size, known.size)) {
                found = Some(record);
            }
        }
        found.cloned()
    }
}

#[async_trait]
impl Checkpoints for MemoryStore {
    async fn put_checkpoint(&self, record: &CheckpointRecord) -> Result<(), StoreError> {
        limits::checkpoint(record)?;
        let mut state = self.state()?;
        if !state.checkpoints.iter().any(|known| known.size == record.size && known.note == record.note) {
            state.checkpoints.push(record.clone());
        }
        Ok(())
    }

    async fn latest_checkpoint(&self) -> Result<Option<CheckpointRecord>, StoreError> {
        Ok(self.state()?.checkpoint(|_| true, |size, known| size > known))
    }

    async fn checkpoint_at(&self, size: u64) -> Result<Option<CheckpointRecord>, StoreError> {
        Ok(self.state()?.checkpoint(|known| known == size, |_, _| false))
    }

    async fn checkpoint_covering(&self, size: u64) -> Result<Option<CheckpointRecord>, StoreError> {
        Ok(self.state()?.checkpoint(|known| known >= size, |size, known| size < known))
    }

    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<CheckpointRecord>, StoreError> {
        let state = self.state()?;
        let mut records: Vec<_> = state.checkpoints.iter().filter(|record| record.size > after).cloned().collect();
        records.sort_by_key(|record| record.size);
        if let Some(last) = limit.checked_sub(1).and_then(|last| records.get(last)).map(|record| record.size) {
            records.retain(|record| record.size <= last);
        }
        Ok(if limit == 0 { Vec::new() } else { records })
    }
}

#[async_trait]
impl Bookmarks for MemoryStore {
    async fn bookmark(&self, name: &str) -> Result<Option<Bookmark>, StoreError> {
        Ok(self.state()?.bookmarks.get(name).cloned())
    }

    async fn move_bookmark(&self, name: &str, expected: u64, value: &str) -> Result<Swap, StoreError> {
        limits::bookmark(name, value)?;
        let mut state = self.state()?;
        let version = state.bookmarks.get(name).map_or(0, |bookmark| bookmark.version);
        if version != expected {
            return Ok(Swap::Conflict { version });
        }
        let version = version + 1;
        state.bookmarks.insert(name.to_owned(), Bookmark { version, value: value.to_owned() });
        Ok(Swap::Done { version })
    }
}

#[async_trait]
impl Archives for MemoryStore {
    async fn archive_intent(&self) -> Result<Option<Intent>, StoreError> {
        Ok(self.state()?.intent.clone())
    }

    async fn set_archive_intent(&self, intent: Option<&Intent>, fence: &Fence) -> Result<(), StoreError> {
        limits::intent(intent)?;
        let mut state = self.state()?;
        state.guard(fence)?;
        state.intent = intent.cloned();
        Ok(())
    }

    async fn put_batch(&self, record: &BatchRecord, fence: &Fence) -> Result<(), StoreError> {
        limits::batch(record)?;
        let mut state = self.state()?;
        state.guard(fence)?;
        let BatchId { start, end, .. } = record.id;
        if end > state.trunk.tip().size {
            return Err(StoreError::refused(format!("batch {start}–{end} reaches beyond the head")));
        }
        let crosses = |id: &BatchId| id.start <= end && start <= id.end && (id.start, id.end) != (start, end);
        if let Some(other) = state.batches.keys().find(|id| crosses(id)) {
            return Err(limits::crossing(&record.id, other));
        }
        match state.batches.get(&record.id) {
            Some(document) if *document != record.document => Err(limits::other_document(&record.id)),
            Some(_) => Ok(()),
            None => {
                state.batches.insert(record.id, record.document.clone());
                Ok(())
            }
        }
    }

    async fn batches(&self, range: RangeInclusive<u64>, limit: usize) -> Result<Vec<BatchRecord>, StoreError> {
        let state = self.state()?;
        let mut found: Vec<BatchRecord> = Vec::new();
        // In the order of start and revision: a higher revision replaces the one before.
        for (id, document) in &state.batches {
            if range.is_empty() || id.start > *range.end() || id.end < *range.start() {
                continue;
            }
            found.pop_if(|last| last.id.start == id.start);
            found.push(BatchRecord { id: *id, document: document.clone() });
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn newest_batch(&self) -> Result<Option<BatchRecord>, StoreError> {
        let state = self.state()?;
        let newest = state.batches.last_key_value();
        Ok(newest.map(|(id, document)| BatchRecord { id: *id, document: document.clone() }))
    }
}

#[async_trait]
impl Leases for MemoryStore {
    async fn lease(&self, name: &str, holder: &str, ttl: Duration, now: Timestamp) -> Result<Lease, StoreError> {
        limits::lease(name, holder)?;
        let mut state = self.state()?;
        let until = limits::later(now, ttl);
        let token = match state.leases.get(name) {
            Some(held) if held.until > now && held.holder != holder => {
                return Ok(Lease::Taken { holder: held.holder.clone(), until: held.until });
            }
            Some(held) if held.until > now => held.token,
            Some(over) => over.token + 1,
            None => 1,
        };
        state.leases.insert(name.to_owned(), Holding { token, holder: holder.to_owned(), until });
        Ok(Lease::Held { fence: Fence { lease: name.to_owned(), token }, until })
    }

    async fn release(&self, fence: &Fence) -> Result<(), StoreError> {
        let mut state = self.state()?;
        if let Some(held) = state.leases.get_mut(&fence.lease)
            && held.token == fence.token
        {
            held.until = Timestamp::MIN;
        }
        Ok(())
    }
}

#[async_trait]
impl Runs for MemoryStore {
    async fn add_run(&self, run: &VerificationRun) -> Result<(), StoreError> {
        limits::run(run)?;
        self.state()?.runs.push(run.clone());
        Ok(())
    }

    async fn runs(&self, limit: usize) -> Result<Vec<VerificationRun>, StoreError> {
        Ok(self.state()?.runs.iter().rev().take(limit).cloned().collect())
    }
}

#[async_trait]
impl Directory for MemoryStore {
    async fn document(&self, collection: &str, key: &str) -> Result<Option<Document>, StoreError> {
        Ok(self.state()?.documents.get(&(collection.to_owned(), key.to_owned())).cloned())
    }

    async fn documents(&self, collection: &str, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let state = self.state()?;
        let behind = |key: &str| after.is_none_or(|after| key > after);
        let found = state.documents.iter().filter(|((c, key), _)| c == collection && behind(key));
        Ok(found.take(limit).map(|(_, document)| document.clone()).collect())
    }

    async fn change_document(&self, change: &Change, outbox: &[String]) -> Result<Swap, StoreError> {
        limits::change(change, outbox)?;
        let mut state = self.state()?;
        let place = (change.collection.clone(), change.key.clone());
        let version = state.documents.get(&place).map_or(0, |document| document.version);
        if version != change.expected {
            return Ok(Swap::Conflict { version });
        }
        let version = version + 1;
        state.documents.insert(place, Document { key: change.key.clone(), version, body: change.body.clone() });
        for body in outbox {
            state.outbox_ids += 1;
            let id = state.outbox_ids;
            state.outbox.push(OutboxEntry { id, body: body.clone() });
        }
        Ok(Swap::Done { version })
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        Ok(self.state()?.outbox.iter().take(limit).cloned().collect())
    }

    async fn ack_outbox(&self, ids: &[u64]) -> Result<(), StoreError> {
        self.state()?.outbox.retain(|entry| !ids.contains(&entry.id));
        Ok(())
    }
}

#[async_trait]
impl Settings for MemoryStore {
    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.state()?.settings.get(name).cloned())
    }

    async fn get_or_create_setting(&self, name: &str, value: &str) -> Result<String, StoreError> {
        limits::setting(name, value)?;
        Ok(self.state()?.settings.entry(name.to_owned()).or_insert_with(|| value.to_owned()).clone())
    }
}
