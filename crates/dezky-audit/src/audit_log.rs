//! The log as a service holds it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dezky_audit_core::event::Draft;
use dezky_audit_core::ids::{Origin, Seq, TenantSlug};
use dezky_store::{CheckpointRecord, Count, Filter, Page, Query, Scope, Store, StoreError, Stored};

use crate::checkpoint::{CheckpointError, Reason};
use crate::config::Config;
use crate::export::{Export, ExportError};
use crate::keys::PublishedKey;
use crate::metrics::Metrics;
use crate::open::OpenError;
use crate::prove::{ProveError, TenantCheckpoint};
use crate::record::{Fate, Receipt, RecordError};
use crate::verify::{Verification, VerifyError, VerifyOptions};
use crate::world::World;

/// An open log. Cheap to clone; all clones are the same log.
///
/// Dropping the last clone stops the background work without draining it: call [`AuditLog::shutdown`] first.
#[derive(Clone)]
pub struct AuditLog {
    inner: Arc<Inner>,
}

struct Inner {}

/// What a shutdown left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Whether everything that had been accepted was recorded, or refused with an answer, before the deadline.
    pub complete: bool,
    /// Events that stay in the spool until the next start.
    pub spooled: u64,
}

#[expect(clippy::unused_async, clippy::todo, unused_variables, reason = "the bodies follow")]
impl AuditLog {
    /// Opens the log that `store` holds, and makes a first checkpoint if something is new.
    ///
    /// Spawns its background tasks on the current tokio runtime.
    ///
    /// # Errors
    /// When the store belongs to another origin, keys are missing or unsafe, the spool cannot be reserved, or the store is
    /// behind, or disagrees with, a checkpoint that was signed.
    pub async fn open(config: Config, store: Arc<dyn Store>, world: World) -> Result<Self, OpenError> {
        todo!()
    }

    /// Opens the embedded default: SQLite in `dir/audit.db`; `config` says the rest (see [`Config::in_dir`]).
    ///
    /// # Errors
    /// As [`AuditLog::open`].
    pub async fn open_in(dir: impl AsRef<Path>, config: Config) -> Result<Self, OpenError> {
        todo!()
    }

    /// The log's name.
    pub fn origin(&self) -> &Origin {
        todo!()
    }

    /// The storage beneath, for what has its own contract there: hourly counts, bookmarks, verification runs, the directory.
    /// The log's events have no way in but [`AuditLog::record`].
    pub fn store(&self) -> &Arc<dyn Store> {
        todo!()
    }

    /// Records one event; durable when it returns.
    ///
    /// A draft whose `(source, externalId)` is known gets the old event's receipt. Dropping the future does not take the
    /// event back.
    ///
    /// # Errors
    /// [`RecordError::Refused`] with one refusal: conflicting content, reserved names, limits. Everything else as it says.
    pub async fn record(&self, draft: Draft) -> Result<Receipt, RecordError> {
        todo!()
    }

    /// Records up to 10,000 events in their order; durable when it returns; one receipt each.
    ///
    /// All are checked before anything is written, repeated `externalId`s against the log too. If the process dies in the
    /// middle, a prefix may stand (on a store that splits batches): the same batch sent again completes it, since those with an
    /// `externalId` are known by it. Those without are recorded anew.
    ///
    /// # Errors
    /// As [`AuditLog::record`], all refused drafts named by their index.
    pub async fn record_batch(&self, drafts: Vec<Draft>) -> Result<Vec<Receipt>, RecordError> {
        todo!()
    }

    /// Records an event without making anybody wait: returns at once, cannot fail.
    ///
    /// The event goes to the recorder, or while the store is away to the spool, and from there to the log in order, once.
    /// A draft without `externalId` is given a random one. What [`Fate`] tells may be awaited or dropped.
    pub fn record_best_effort(&self, draft: Draft) -> Fate {
        todo!()
    }

    /// A page of the events that match. See [`dezky_store::Search::list`].
    pub async fn list(&self, scope: &Scope, query: &Query) -> Result<Page, StoreError> {
        todo!()
    }

    /// One hot event.
    pub async fn get(&self, scope: &Scope, seq: Seq) -> Result<Option<Stored>, StoreError> {
        todo!()
    }

    /// How many hot events match.
    pub async fn count(&self, scope: &Scope, filter: &Filter, budget: Duration) -> Result<Count, StoreError> {
        todo!()
    }

    /// Takes a checkpoint and starts an export of the hot events up to its size, in `seq` order, those that match.
    ///
    /// A broken line is exported as it is, unless a filter or a scope cannot tell whose it is.
    pub async fn export(&self, scope: Scope, filter: Filter) -> Result<Export, ExportError> {
        todo!()
    }

    /// Signs the log as it is now, or returns the newest checkpoint when nothing is new.
    pub async fn checkpoint(&self, reason: Reason) -> Result<CheckpointRecord, CheckpointError> {
        todo!()
    }

    /// The newest checkpoint.
    pub async fn latest_checkpoint(&self) -> Result<Option<CheckpointRecord>, StoreError> {
        todo!()
    }

    /// The newest checkpoint of exactly this size.
    pub async fn checkpoint_at(&self, size: u64) -> Result<Option<CheckpointRecord>, StoreError> {
        todo!()
    }

    /// The keys that sign now, the newest first.
    pub fn keys(&self) -> &[PublishedKey] {
        todo!()
    }

    /// The `.tlog-proof` (C2SP `tlog-proof@v1`, with the event as `extra`) of a hot event under the newest checkpoint; makes one
    /// first if none covers the event. `None` when the event does not exist for this scope.
    ///
    /// # Errors
    /// When the checkpoint cannot be made, or the stored event is not the one in the tree.
    pub async fn proof(&self, scope: &Scope, seq: Seq) -> Result<Option<String>, ProveError> {
        todo!()
    }

    /// The tenant's checkpoint, signed now, and the proof of its last event in the main log. `None` when the tenant has no
    /// event or is outside the scope.
    ///
    /// # Errors
    /// As [`AuditLog::proof`].
    pub async fn tenant_checkpoint(&self, scope: &Scope, tenant: &TenantSlug) -> Result<Option<TenantCheckpoint>, ProveError> {
        todo!()
    }

    /// Verifies the live store, and keeps the result as a verification run. Dropping the future cancels it.
    ///
    /// # Errors
    /// Only when it could not look. One verification runs at a time.
    pub async fn verify(&self, options: VerifyOptions) -> Result<Verification, VerifyError> {
        todo!()
    }

    /// Whether events can be recorded now, by trying the store.
    pub async fn ready(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// The numbers now.
    pub fn metrics(&self) -> Metrics {
        todo!()
    }

    /// Stops taking events, records what waits, takes a last checkpoint, and closes the spool and the store.
    ///
    /// What is not done after `deadline` is given up: its callers are told, best-effort events stay in the spool.
    pub async fn shutdown(&self, deadline: Duration) -> Drained {
        todo!()
    }
}
