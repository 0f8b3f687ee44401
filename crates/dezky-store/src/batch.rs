//! What every backend asks of a batch before it writes, and what the batch makes of heads and trees.

use std::collections::{BTreeMap, HashSet};

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{Seq, TenantSlug};
use dezky_audit_core::merkle::tile::edge::{Tile, TileEdge};
use dezky_audit_core::merkle::{Frontier, leaf_hash};

use crate::error::StoreError;
use crate::log::{Head, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_LINE_BYTES, NewEvent, TenantHead, Tip};

/// Refuses a batch that breaks a limit, is not adjacent to `expected`, or repeats a key.
pub(crate) fn check(expected: Tip, batch: &[NewEvent]) -> Result<(), StoreError> {
    if batch.len() > MAX_BATCH_EVENTS {
        return Err(StoreError::refused(format!("a batch has at most {MAX_BATCH_EVENTS} events, not {}", batch.len())));
    }
    let mut keys = HashSet::with_capacity(batch.len());
    let mut bytes = 0;
    for (event, due) in batch.iter().zip(expected.size + 1..) {
        if event.seq.get() != due {
            return Err(StoreError::refused(format!("the batch has seq {} where {due} is due", event.seq)));
        }
        if event.line.is_empty() || event.line.len() > MAX_LINE_BYTES {
            return Err(StoreError::refused(format!("the line of seq {due} has {} bytes", event.line.len())));
        }
        bytes += event.line.len();
        if let Some(key) = &event.key
            && !keys.insert((&key.source, &key.external_id))
        {
            return Err(StoreError::refused(format!("seq {due} repeats a key of its own batch")));
        }
    }
    if bytes > MAX_BATCH_BYTES {
        return Err(StoreError::refused(format!("a batch has at most {MAX_BATCH_BYTES} bytes, not {bytes}")));
    }
    Ok(())
}

/// The log's own tree: its peaks and the right edge of its tiles.
#[derive(Debug, Clone)]
pub(crate) struct Trunk {
    frontier: Frontier,
    edge: TileEdge,
    hash: Hash,
}

impl Trunk {
    pub(crate) const fn empty(genesis: Hash) -> Self {
        Self { frontier: Frontier::new(), edge: TileEdge::new(), hash: genesis }
    }

    /// The tree that ends at `head`; `tile` reads what was stored.
    pub(crate) fn load(
        head: &Head,
        mut tile: impl FnMut(u8, u64) -> Result<Option<Vec<Hash>>, StoreError>,
    ) -> Result<Self, StoreError> {
        let damaged = |what: &str| StoreError::corrupt(format!("{what} of the log's tree at size {}", head.size));
        let frontier = Frontier::from_peaks(head.size, head.peaks.clone()).map_err(|_| damaged("the peaks"))?;
        let mut failure = None;
        let edge = TileEdge::load(head.size, |id| match tile(id.level(), id.index()) {
            Ok(hashes) => Ok(hashes.unwrap_or_default()),
            Err(e) => {
                failure = Some(e);
                Err(Unread)
            }
        });
        match failure {
            Some(failure) => Err(failure),
            None => Ok(Self { frontier, edge: edge.map_err(|_| damaged("a tile"))?, hash: head.hash }),
        }
    }

    pub(crate) const fn tip(&self) -> Tip {
        Tip { size: self.frontier.size(), hash: self.hash }
    }

    pub(crate) fn head(&self) -> Head {
        Head { size: self.frontier.size(), hash: self.hash, peaks: self.frontier.peaks().to_vec() }
    }

    /// Adds a batch's events; returns the tiles that are new or wider.
    pub(crate) fn grow(&mut self, batch: &[NewEvent]) -> Result<Vec<Tile>, StoreError> {
        let leaves: Vec<Hash> = batch.iter().map(|event| leaf_hash(&event.hash)).collect();
        let tiles = self.edge.append(&leaves).map_err(|_| StoreError::refused("the log is full"))?;
        self.frontier.extend(&leaves);
        self.hash = batch.last().map_or(self.hash, |event| event.hash);
        Ok(tiles)
    }
}

/// A tile that could not be read; why is kept elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("the tile could not be read")]
struct Unread;

/// A tenant's stream, ready to grow.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    frontier: Frontier,
    last: Option<(Seq, Hash)>,
}

impl Branch {
    /// The stream that ends at `head`; an empty one for `None`.
    pub(crate) fn load(head: Option<TenantHead>) -> Result<Self, StoreError> {
        let Some(head) = head else { return Ok(Self { frontier: Frontier::new(), last: None }) };
        let frontier =
            Frontier::from_peaks(head.tenant_seq, head.peaks).map_err(|_| StoreError::corrupt("the peaks of a tenant's tree"))?;
        Ok(Self { frontier, last: Some((head.seq, head.hash)) })
    }

    /// The head, once there is an event.
    pub(crate) fn head(&self) -> Option<TenantHead> {
        let (seq, hash) = self.last?;
        Some(TenantHead { tenant_seq: self.frontier.size(), seq, hash, peaks: self.frontier.peaks().to_vec() })
    }
}

/// Adds a batch's events to the streams of their tenants; `load` gives a stream that is not in `branches` yet.
pub(crate) fn grow_branches(
    branches: &mut BTreeMap<TenantSlug, Branch>,
    batch: &[NewEvent],
    mut load: impl FnMut(&TenantSlug) -> Result<Option<TenantHead>, StoreError>,
) -> Result<(), StoreError> {
    for event in batch {
        let Some(place) = &event.tenant else { continue };
        if !branches.contains_key(&place.slug) {
            branches.insert(place.slug.clone(), Branch::load(load(&place.slug)?)?);
        }
        let Some(branch) = branches.get_mut(&place.slug) else { continue };
        let due = branch.frontier.size() + 1;
        if place.tenant_seq != due {
            let seq = event.seq;
            let given = place.tenant_seq;
            return Err(StoreError::refused(format!("seq {seq} has tenantSeq {given} where {due} is due")));
        }
        branch.frontier.push_event(&event.hash);
        branch.last = Some((event.seq, event.hash));
    }
    Ok(())
}
