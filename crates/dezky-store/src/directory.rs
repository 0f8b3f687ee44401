//! The platform's own documents (tenants, partners, users, flags), and the outbox that ties each change to its event.

use async_trait::async_trait;

use crate::bookmarks::Swap;
use crate::error::StoreError;

/// Collections that the platform uses; a name is `[a-z][a-z_-]{0,31}`.
pub const TENANTS: &str = "tenants";
pub const PARTNERS: &str = "partners";
pub const USERS: &str = "users";
pub const FLAGS: &str = "flags";
pub const TOKENS: &str = "tokens";

/// The most bytes of a document or an outbox entry.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// A document, and the version that a change of it must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub key: String,
    pub version: u64,
    /// JSON, the platform's own.
    pub body: String,
}

/// A change of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub collection: String,
    /// 1–256 characters.
    pub key: String,
    /// The version that it replaces; 0: it must not be there yet.
    pub expected: u64,
    pub body: String,
}

/// Something that must still be done for a change: its audit event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    pub id: u64,
    pub body: String,
}

/// Versioned documents. None is ever removed, so that a key is never given twice; a deleted one says so in its body.
#[async_trait]
pub trait Directory: Send + Sync {
    /// One document.
    async fn document(&self, collection: &str, key: &str) -> Result<Option<Document>, StoreError>;

    /// The documents of a collection in the order of their keys, behind `after`, at most `limit`.
    async fn documents(&self, collection: &str, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError>;

    /// Changes a document by compare-and-swap, and puts entries into the outbox: both or neither, durable on return.
    async fn change_document(&self, change: &Change, outbox: &[String]) -> Result<Swap, StoreError>;

    /// Entries that are not acknowledged, oldest first, at most `limit`. An entry may be handed out more than once.
    async fn outbox(&self, limit: usize) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Removes entries that have been done; unknown ids are no error.
    async fn ack_outbox(&self, ids: &[u64]) -> Result<(), StoreError>;
}
