//! Signed checkpoints, kept for ever.

use async_trait::async_trait;
use dezky_audit_core::checkpoint;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::time::Timestamp;

use crate::error::StoreError;

/// The record kept beside a note (log format, section 5). The store does not read the note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// When it was made; unsigned.
    pub at: Timestamp,
    /// `headSeq`: the tree size.
    pub size: u64,
    /// `headHash`.
    pub head_hash: Hash,
    /// `rootHash`.
    pub root: Hash,
    /// `startup`, `interval`, `threshold`, `manual` or `heartbeat`.
    pub reason: String,
    /// The signed note, whole.
    pub note: String,
}

/// As the verifier reads it. The reason is unsigned, and of no meaning to it.
impl From<&CheckpointRecord> for checkpoint::CheckpointRecord {
    fn from(record: &CheckpointRecord) -> Self {
        Self {
            at: record.at,
            head_seq: record.size,
            head_hash: record.head_hash,
            root_hash: record.root,
            reason: checkpoint::Reason::Manual,
            note: record.note.clone(),
        }
    }
}

/// The checkpoints that were published: one is when it is in here.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// Adds a record; durable on return. The same size and note again changes nothing. Nothing is ever replaced or removed.
    /// Whether it may be signed is the caller's matter: the store does not compare roots.
    async fn put_checkpoint(&self, record: &CheckpointRecord) -> Result<(), StoreError>;

    /// The one of the greatest size; among several, the one put last.
    async fn latest_checkpoint(&self) -> Result<Option<CheckpointRecord>, StoreError>;

    /// The one of exactly this size; among several, the one put last.
    async fn checkpoint_at(&self, size: u64) -> Result<Option<CheckpointRecord>, StoreError>;

    /// The one of the least size that covers `size` or more; among several of that size, the one put last.
    async fn checkpoint_covering(&self, size: u64) -> Result<Option<CheckpointRecord>, StoreError>;

    /// All of a size above `after`, in the order of size, then of being put, at most `limit`. Records of one size are never
    /// divided between pages; a page is longer than `limit` where they would be.
    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<CheckpointRecord>, StoreError>;
}
