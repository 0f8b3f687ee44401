//! What the archiver remembers: its intent, and the batches that it has written, read back and verified.

use std::ops::RangeInclusive;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::leases::Fence;

/// The most bytes of a batch's or an intent's document.
pub const MAX_ARCHIVE_DOCUMENT_BYTES: usize = 4 << 20;

/// Which batch: its range of events, and how often it was written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId {
    pub start: u64,
    pub end: u64,
    pub revision: u32,
}

/// A batch that lies confirmed in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRecord {
    pub id: BatchId,
    /// JSON, the archiver's own: keys, digests, and what tells that a batch cannot match a query.
    pub document: String,
}

/// What the archiver is about to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub start: u64,
    pub end: u64,
    /// JSON, the archiver's own.
    pub document: String,
}

/// The archiver's memory. Every write carries the fence of its lease.
#[async_trait]
pub trait Archives: Send + Sync {
    /// The intent that stands.
    async fn archive_intent(&self) -> Result<Option<Intent>, StoreError>;

    /// Writes the intent down, or takes it back. Durable on return.
    ///
    /// # Errors
    /// `Fenced`.
    async fn set_archive_intent(&self, intent: Option<&Intent>, fence: &Fence) -> Result<(), StoreError>;

    /// Adds a batch. Durable on return; nothing is ever replaced. The same record again changes nothing.
    ///
    /// # Errors
    /// `Refused` when another document has that id, or the range is empty, beyond the head, or crosses the range of another
    /// batch (revisions of one batch share its range). `Fenced`.
    async fn put_batch(&self, record: &BatchRecord, fence: &Fence) -> Result<(), StoreError>;

    /// The batches that share an event with `range`, each in its highest revision, in order, at most `limit`.
    async fn batches(&self, range: RangeInclusive<u64>, limit: usize) -> Result<Vec<BatchRecord>, StoreError>;

    /// The batch that reaches furthest, in its highest revision.
    async fn newest_batch(&self) -> Result<Option<BatchRecord>, StoreError>;
}
