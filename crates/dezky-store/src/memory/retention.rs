//! Leaving and coming back, and the transfer to another store.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use dezky_audit_core::event::{PartName, WithholdError, withhold};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Seq, Source, TenantSlug};
use dezky_audit_core::time::Timestamp;

use super::{MemoryStore, stored_seq};
use crate::archives::BatchId;
use crate::batch::Trunk;
use crate::error::StoreError;
use crate::leases::Fence;
use crate::log::{Head, Receipt, Stored, TenantHead};
use crate::projection::SearchRow;
use crate::retention::{Hot, Restored, Retention, withheld_digest};
use crate::transfer::{Relic, Transfer, ends_of_streams};

#[async_trait]
impl Retention for MemoryStore {
    async fn hot(&self) -> Result<Hot, StoreError> {
        let state = self.state()?;
        let restored = state.restored.iter().map(|((start, end), until)| Restored { range: *start..=*end, until: *until });
        Ok(Hot { border: state.border, restored: restored.collect() })
    }

    async fn last_recorded_before(&self, time: Timestamp) -> Result<Option<Seq>, StoreError> {
        let state = self.state()?;
        let mut hot = state.events.range(state.border + 1..).rev();
        let found = hot.find(|(_, entry)| entry.recorded_at.is_some_and(|recorded| recorded < time));
        found.map(|(seq, _)| stored_seq(*seq)).transpose()
    }

    async fn delete_prefix(&self, batch: &BatchId, fence: &Fence) -> Result<(), StoreError> {
        let mut state = self.state()?;
        state.guard(fence)?;
        if !state.batches.contains_key(batch) {
            return Err(StoreError::refused(format!("no batch {}–{} is recorded", batch.start, batch.end)));
        }
        if batch.start > state.border + 1 {
            return Err(StoreError::refused(format!("batch {} does not begin behind border {}", batch.start, state.border)));
        }
        for seq in state.border + 1..=batch.end {
            state.remove(seq);
        }
        state.border = state.border.max(batch.end);
        state.assert_invariants();
        Ok(())
    }

    async fn restore(&self, range: RangeInclusive<u64>, until: Timestamp, lines: Vec<Stored>) -> Result<(), StoreError> {
        let mut state = self.state()?;
        if range.is_empty() || *range.start() == 0 || *range.end() > state.border {
            return Err(StoreError::refused(format!("{range:?} is not archived: the border is {}", state.border)));
        }
        if let Some(stray) = lines.iter().find(|stored| !range.contains(&stored.seq)) {
            return Err(StoreError::refused(format!("seq {} lies outside {range:?}", stray.seq)));
        }
        state.restored.insert((*range.start(), *range.end()), until);
        for Stored { seq, line } in lines {
            if !state.events.contains_key(&seq) {
                state.insert(seq, line, None);
            }
        }
        state.assert_invariants();
        Ok(())
    }

    async fn expire_restored(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.state()?;
        state.restored.retain(|_, until| *until > now);
        let over: Vec<u64> = state.events.range(..=state.border).map(|(seq, _)| *seq).collect();
        let over: Vec<u64> = over.into_iter().filter(|seq| !state.is_restored(*seq)).collect();
        for seq in &over {
            state.remove(*seq);
        }
        state.assert_invariants();
        Ok(over.len() as u64)
    }

    async fn withhold(&self, seq: Seq, part: PartName) -> Result<Option<Hash>, StoreError> {
        let mut state = self.state()?;
        let Some(entry) = state.events.get_mut(&seq.get()) else { return Ok(None) };
        let line = match withhold(&entry.line, part) {
            Ok(line) => line,
            Err(WithholdError::NoSuchPart) => return Ok(None),
            Err(WithholdError::NotAnEvent) => return Err(StoreError::corrupt(format!("the line of seq {seq} is no event"))),
        };
        let digest = withheld_digest(&line, part)?;
        entry.row = SearchRow::derive(seq.get(), &line);
        entry.line = line;
        Ok(Some(digest))
    }
}

#[async_trait]
impl Transfer for MemoryStore {
    async fn tenant_heads(&self, after: Option<&TenantSlug>, limit: usize) -> Result<Vec<(TenantSlug, TenantHead)>, StoreError> {
        let state = self.state()?;
        let behind = state.tenants.iter().filter(|(tenant, _)| after.is_none_or(|after| *tenant > after));
        Ok(behind.take(limit).map(|(tenant, head)| (tenant.clone(), head.clone())).collect())
    }

    async fn receipts(
        &self,
        after: Option<&(Source, ExternalId)>,
        limit: usize,
    ) -> Result<Vec<(Source, ExternalId, Receipt)>, StoreError> {
        let state = self.state()?;
        let behind = state.receipts.iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
        Ok(behind.take(limit).map(|((source, id), receipt)| (source.clone(), id.clone(), receipt.clone())).collect())
    }

    async fn adopt(&self, relics: Vec<Relic>) -> Result<(), StoreError> {
        let mut state = self.state()?;
        if !ends_of_streams(&relics, |tenant| Ok::<_, StoreError>(state.tenants.get(tenant).cloned()))? {
            state.must_be_empty()?;
        }
        for relic in relics {
            match relic {
                Relic::Receipt { source, external_id, receipt } => {
                    state.receipts.insert((source, external_id), receipt);
                }
                Relic::TenantHead { tenant, head } => {
                    state.tenants.insert(tenant, head);
                }
                Relic::Tile { level, index, hashes } => {
                    state.tiles.insert((level, index), hashes);
                }
            }
        }
        Ok(())
    }

    async fn begin(&self, head: Head) -> Result<(), StoreError> {
        let mut state = self.state()?;
        state.must_be_empty()?;
        let trunk = Trunk::load(&head, |level, index| Ok(state.tiles.get(&(level, index)).cloned()))
            .map_err(|_| StoreError::refused("the head's peaks or the tiles at its edge are missing or too few"))?;
        state.trunk = trunk;
        state.border = head.size;
        state.assert_invariants();
        Ok(())
    }
}
