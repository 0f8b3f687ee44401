//! A log whose first events are archived: the target begins at the source's border, with what outlives them.
//!
//! A store knows a tenant's peaks only at the end of its stream. So a stream that has hot events begins in the target with
//! peaks of zeros, which count but mean nothing, and gets the source's own once its last event is there
//! ([`settle_tenants`], every time: an interrupted copy makes up for it).

use std::collections::HashMap;

use dezky_audit_core::event::{LineCheck, check_line};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{Seq, TenantSlug};
use dezky_audit_core::merkle::tile::tiles;
use dezky_store::{Head, ReadLimit, Relic, Store, StoreError, TenantHead};

use super::{CopyError, differs};
use crate::tree;

const PAGE: usize = 1_000;

/// Where a tenant's stream stood at the border.
struct Standing {
    tenant_seq: u64,
    hash: Hash,
}

/// Lets the empty target begin at `border`.
pub(super) async fn begin(from: &dyn Store, to: &dyn Store, border: u64, head: &Head) -> Result<(), CopyError> {
    let standings = standings(from, border, head.size).await?;
    adopt_receipts(from, to, border).await?;
    adopt_tiles(from, to, border).await?;
    adopt_tenants(from, to, &standings).await?;
    let tree = tree::frontier_at(from, border).await.map_err(CopyError::Source)?;
    let tree = tree.map_err(|_| CopyError::Broken { seq: border })?;
    let hash = hash_at(from, border, head).await.map_err(CopyError::Source)?;
    to.begin(Head { size: border, hash, peaks: tree.peaks().to_vec() }).await.map_err(CopyError::Target)
}

/// Gives the tenants of the target the peaks that the source has.
pub(super) async fn settle_tenants(from: &dyn Store, to: &dyn Store) -> Result<(), CopyError> {
    let mut after = None;
    loop {
        let tenants = from.tenant_heads(after.as_ref(), PAGE).await.map_err(CopyError::Source)?;
        let Some((last, _)) = tenants.last() else { return Ok(()) };
        after = Some(last.clone());
        let relics = tenants.into_iter().map(|(tenant, head)| Relic::TenantHead { tenant, head }).collect();
        match to.adopt(relics).await {
            Ok(()) => {}
            Err(StoreError::Refused { .. }) => return Err(differs("the head of a tenant")),
            Err(error) => return Err(CopyError::Target(error)),
        }
    }
}

/// The hash of the last archived event: the first hot one names it, and without any it is the head's.
pub(crate) async fn hash_at(store: &dyn Store, border: u64, head: &Head) -> Result<Hash, StoreError> {
    if border == head.size {
        return Ok(head.hash);
    }
    let broken = || StoreError::Corrupt { what: format!("event {} is not intact", border + 1), source: None };
    let first = store.read(border + 1..=border + 1, ReadLimit::default()).await?;
    let mut preimage = Vec::new();
    match first.first().map(|stored| check_line(&stored.line, &mut preimage)) {
        Some(LineCheck::Event(event)) if event.seq.get() == border + 1 => Ok(event.prev_hash),
        _ => Err(broken()),
    }
}

/// The streams that have hot events, as their first hot event tells.
async fn standings(from: &dyn Store, border: u64, size: u64) -> Result<HashMap<TenantSlug, Standing>, CopyError> {
    let mut standings = HashMap::new();
    let (mut next, mut preimage) = (border + 1, Vec::new());
    while next <= size {
        let read = from.read(next..=size, ReadLimit::default()).await.map_err(CopyError::Source)?;
        if read.is_empty() {
            return Err(CopyError::Broken { seq: next });
        }
        for stored in &read {
            let broken = CopyError::Broken { seq: next };
            let LineCheck::Event(event) = check_line(&stored.line, &mut preimage) else { return Err(broken) };
            next += 1;
            let Some(link) = event.tenant else { continue };
            let Ok(slug) = TenantSlug::new(link.slug) else { return Err(broken) };
            standings.entry(slug).or_insert(Standing { tenant_seq: link.seq - 1, hash: link.prev_hash });
        }
    }
    Ok(standings)
}

async fn adopt_receipts(from: &dyn Store, to: &dyn Store, border: u64) -> Result<(), CopyError> {
    let mut after = None;
    loop {
        let receipts = from.receipts(after.as_ref(), PAGE).await.map_err(CopyError::Source)?;
        let Some((source, id, _)) = receipts.last() else { return Ok(()) };
        after = Some((source.clone(), id.clone()));
        let archived = receipts.into_iter().filter(|(_, _, receipt)| receipt.seq.get() <= border);
        let relics = archived.map(|(source, external_id, receipt)| Relic::Receipt { source, external_id, receipt }).collect();
        to.adopt(relics).await.map_err(CopyError::Target)?;
    }
}

/// The tiles as they were at the border.
async fn adopt_tiles(from: &dyn Store, to: &dyn Store, border: u64) -> Result<(), CopyError> {
    let mut relics = Vec::new();
    for id in tiles(border) {
        let hashes = from.tile(id.level(), id.index()).await.map_err(CopyError::Source)?;
        let width = usize::from(id.width());
        let hashes = hashes.filter(|hashes| hashes.len() >= width).ok_or(CopyError::Broken { seq: border })?;
        relics.push(Relic::Tile { level: id.level(), index: id.index(), hashes: hashes[..width].to_vec() });
        if relics.len() == PAGE {
            to.adopt(std::mem::take(&mut relics)).await.map_err(CopyError::Target)?;
        }
    }
    to.adopt(relics).await.map_err(CopyError::Target)
}

async fn adopt_tenants(from: &dyn Store, to: &dyn Store, standings: &HashMap<TenantSlug, Standing>) -> Result<(), CopyError> {
    let mut after = None;
    loop {
        let tenants = from.tenant_heads(after.as_ref(), PAGE).await.map_err(CopyError::Source)?;
        let Some((last, _)) = tenants.last() else { return Ok(()) };
        after = Some(last.clone());
        let mut relics = Vec::new();
        for (tenant, head) in tenants {
            match standings.get(&tenant) {
                None => relics.push(Relic::TenantHead { tenant, head }),
                // All its events are hot.
                Some(Standing { tenant_seq: 0, .. }) => {}
                Some(Standing { tenant_seq, hash }) => {
                    let peaks = vec![Hash::new([0; 32]); tenant_seq.count_ones() as usize];
                    let head = TenantHead { tenant_seq: *tenant_seq, seq: Seq::FIRST, hash: *hash, peaks };
                    relics.push(Relic::TenantHead { tenant, head });
                }
            }
        }
        to.adopt(relics).await.map_err(CopyError::Target)?;
    }
}
