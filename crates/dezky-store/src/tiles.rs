//! Hash tiles of the log's tree, for proofs about events that may have left hot storage.

use async_trait::async_trait;
use dezky_audit_core::hash::Hash;

use crate::error::StoreError;

/// The tree's nodes at every eighth level (C2SP `tlog-tiles`, height 8).
#[async_trait]
pub trait Tiles: Send + Sync {
    /// The hashes of tile `index` at tile level `level`: 1 to 256 of them, as many as the log has complete; `None` when it
    /// has none. Level 0 holds leaf hashes. The hashes of one tile only ever grow in number; they never change.
    async fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Hash>>, StoreError>;
}
