//! The log itself: what was recorded, in order, and the one way to add to it.
//!
//! For the recorder, the checkpointer and the verifier.

use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Origin, Seq, Source, TenantSlug};
use dezky_audit_core::time::Timestamp;

use crate::error::StoreError;

/// The most events in one [`EventLog::append`].
pub const MAX_BATCH_EVENTS: usize = 10_000;
/// The most bytes of lines in one [`EventLog::append`].
pub const MAX_BATCH_BYTES: usize = 64 << 20;
/// The most bytes of one line (log format, section 1).
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// The most keys in one [`EventLog::seen`].
pub const MAX_SEEN_KEYS: usize = 10_000;

/// Where the log ends: all that is needed to go on, also when every event has left hot storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of events ever appended; the `seq` of the last one.
    pub size: u64,
    /// The `hash` of the last event; the genesis value of the origin at size 0.
    pub hash: Hash,
    /// Roots of the tree's perfect subtrees, largest first (log format, section 7, `prevPeaks`).
    pub peaks: Vec<Hash>,
}

/// Where one tenant's stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantHead {
    /// The number of the tenant's events; the `tenantSeq` of its last one.
    pub tenant_seq: u64,
    /// The position of its last event in the main log.
    pub seq: Seq,
    /// The `hash` of its last event.
    pub hash: Hash,
    /// Roots of the perfect subtrees of the tenant's own tree, largest first.
    pub peaks: Vec<Hash>,
}

/// The head that an append builds on: the token of its compare-and-swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    pub size: u64,
    pub hash: Hash,
}

impl Head {
    pub const fn tip(&self) -> Tip {
        Tip { size: self.size, hash: self.hash }
    }
}

/// An event, sealed and linked, as the recorder hands it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    pub seq: Seq,
    pub hash: Hash,
    /// The canonical bytes, without LF. Stored as they are; the store never writes them anew.
    pub line: Vec<u8>,
    pub recorded_at: Timestamp,
    pub tenant: Option<TenantPlace>,
    pub key: Option<DedupeKey>,
}

/// An event's place in its tenant's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantPlace {
    pub slug: TenantSlug,
    pub tenant_seq: u64,
}

/// What makes an event the same event when its source sends it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupeKey {
    pub source: Source,
    pub external_id: ExternalId,
    /// A MAC of the content as given. `None` when the event came from an archive and the MAC is not known: then the
    /// content of a repetition cannot be compared.
    pub content_mac: Option<Hash>,
    /// What comes before it in its batch is right without it. Where such a key is known already, a store may keep what comes
    /// before instead of nothing, so it need not look for the key before it writes.
    pub stands_alone: bool,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Append {
    /// Exactly the first `n` events are durable, adjacent to the expected head, and the head is the n-th. `n` is at least
    /// 1 for a batch that is not empty. SQLite and memory keep all; MongoDB may keep less when another writer came between,
    /// or where a key that stands alone is known.
    Appended { n: usize },
    /// Nothing was written: the head is not the expected one, or a `(source, externalId)` is already there.
    Conflict,
    /// Nobody knows: read the head and look for one's own events before anything else is written.
    OutcomeUnknown,
}

/// An event as it lies in the store. `seq` is where it lies; `line` may be any bytes if somebody has been at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub seq: u64,
    pub line: Vec<u8>,
}

/// What is remembered of a `(source, externalId)` for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub seq: Seq,
    pub hash: Hash,
    pub content_mac: Option<Hash>,
}

/// How much one read may return. A read returns at least one event if there is one, even when it is larger than `bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    pub events: usize,
    pub bytes: usize,
}

impl Default for ReadLimit {
    /// 1,000 events or 4 MiB.
    fn default() -> Self {
        Self { events: 1_000, bytes: 4 << 20 }
    }
}

/// The sequence of events. Append is the only way that history is written.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// The log's name, fixed when the store was opened: a store that holds another origin cannot be opened.
    fn origin(&self) -> &Origin;

    /// Where the log ends. Rises only by [`EventLog::append`]; never changes when events leave hot storage.
    async fn head(&self) -> Result<Head, StoreError>;

    /// Where a tenant's stream ends; `None` when it has no event. Outlives its events in hot storage.
    async fn tenant_head(&self, tenant: &TenantSlug) -> Result<Option<TenantHead>, StoreError>;

    /// The same of several tenants at once, in their order, at the end of the log that this handle saw last: for those who are
    /// about to append behind it, and are told then when the log goes on by now.
    async fn heads_of(&self, tenants: &[TenantSlug]) -> Result<Vec<Option<TenantHead>>, StoreError> {
        let mut heads = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            heads.push(self.tenant_head(tenant).await?);
        }
        Ok(heads)
    }

    /// Appends a batch if the log still ends at `expected`: compare-and-swap, durable on return.
    ///
    /// Lines, unique keys, tenant heads, tiles and the head become visible together, event by event in order: no reader
    /// ever sees a gap. The search copy follows within a second; [`crate::Search`] sees the events at once all the same.
    /// An empty batch is `Appended { n: 0 }` where the head is the expected one.
    ///
    /// # Errors
    /// `Refused` when the batch is not adjacent to `expected` (or a `tenant_seq` not to its tenant's head), repeats a key
    /// within itself, or breaks a limit of this module. `Unavailable` means that nothing was written.
    async fn append(&self, expected: Tip, batch: Arc<[NewEvent]>) -> Result<Append, StoreError>;

    /// The hot events of a range in order, from its start, as many as `limit` allows. What is not there is left out
    /// without remark: the caller knows what it expected. Go on behind the last one returned, until none is.
    async fn read(&self, range: RangeInclusive<u64>, limit: ReadLimit) -> Result<Vec<Stored>, StoreError>;

    /// The receipts of known keys, in the order of `keys`, at most [`MAX_SEEN_KEYS`]. Outlives the events in hot storage:
    /// sources repeat after a year.
    async fn seen(&self, keys: &[(Source, ExternalId)]) -> Result<Vec<Option<Receipt>>, StoreError>;
}
