//! The log as a service holds it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dezky_audit_core::checkpoint::Reason;
use dezky_audit_core::event::{Door, Draft};
use dezky_audit_core::ids::{Origin, Seq, TenantSlug};
use dezky_audit_core::verify::Report;
use dezky_store::{CheckpointRecord, Count, Filter, Page, Query, Scope, Store, StoreError, Stored};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::checkpoint::CheckpointError;
use crate::checkpointer::Requests;
use crate::config::{Config, KnownCheckpoint, RecordLimits};
use crate::export::{Export, ExportError};
use crate::keys::{IngestSecret, Keys, PublishedKey};
use crate::lane::{Item, Lane};
use crate::metrics::{Counters, Metrics};
use crate::open::{self, OpenError};
use crate::prove::{self, ProveError, TenantCheckpoint};
use crate::queue::Queue;
use crate::record::{Fate, Kept, Receipt, RecordError, Refusal, RefusalReason};
use crate::spool::SpoolGauges;
use crate::unit::{Answer, Bringer, Call, CallPlace, Entry, Preparing, Terms, Unit};
use crate::verify::{self, Verification, Verifier, VerifyError, VerifyOptions};
use crate::world::World;

/// More drafts than these are prepared on a thread of their own.
const MANY_DRAFTS: usize = 64;

/// An open log. Cheap to clone; all clones are the same log.
///
/// Dropping the last clone ends the background work without waiting for it: call [`AuditLog::shutdown`] first.
#[derive(Clone)]
pub struct AuditLog {
    pub(crate) inner: Arc<Inner>,
}

/// What all clones share. The tasks do not hold it, so that they end when the last clone is dropped.
pub(crate) struct Inner {
    pub(crate) origin: Origin,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) world: World,
    pub(crate) keys: Arc<Keys>,
    pub(crate) secret: IngestSecret,
    pub(crate) queue: Arc<Queue>,
    pub(crate) lane: Arc<Lane>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) spool_gauges: Arc<SpoolGauges>,
    pub(crate) spool_limit: u64,
    pub(crate) lane_limit: usize,
    pub(crate) record_limits: RecordLimits,
    pub(crate) max_findings: usize,
    pub(crate) requests: Requests,
    /// The newest checkpoint that this process knows; written by the checkpointer.
    pub(crate) newest: watch::Receiver<Option<CheckpointRecord>>,
    /// The log's size as this process knows it; written by the recorder.
    pub(crate) size: watch::Receiver<u64>,
    pub(crate) verifier: Verifier,
    /// Whether what is kept elsewhere was compared, so that this process may sign.
    pub(crate) compared: watch::Sender<bool>,
    pub(crate) stop_replay: watch::Sender<bool>,
    pub(crate) stop_signing: watch::Sender<bool>,
    /// `None` once the log was shut down.
    pub(crate) tasks: Mutex<Option<Tasks>>,
}

/// The background work.
pub(crate) struct Tasks {
    pub(crate) recorder: JoinHandle<()>,
    pub(crate) intake: JoinHandle<()>,
    pub(crate) replay: JoinHandle<()>,
    pub(crate) checkpointer: JoinHandle<()>,
    pub(crate) spool: std::thread::JoinHandle<()>,
}

/// What a shutdown left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Whether everything that had been accepted was recorded, or refused with an answer, before the deadline.
    pub complete: bool,
    /// Events that stay in the spool until the next start.
    pub spooled: u64,
}

impl AuditLog {
    /// Opens the log that `store` holds, and makes a first checkpoint if something is new.
    ///
    /// Spawns its background tasks on the current tokio runtime.
    ///
    /// # Errors
    /// When the store belongs to another origin, keys are missing or unsafe, the spool cannot be reserved, or the store is
    /// behind, or disagrees with, a checkpoint that was signed.
    pub async fn open(config: Config, store: Arc<dyn Store>, world: World) -> Result<Self, OpenError> {
        open::open(config, store, world).await
    }

    /// Opens the embedded default: SQLite in `dir/audit.db`; `config` says the rest (see [`Config::in_dir`]).
    ///
    /// # Errors
    /// As [`AuditLog::open`].
    pub async fn open_in(dir: impl AsRef<Path>, config: Config) -> Result<Self, OpenError> {
        open::open_in(dir.as_ref(), config).await
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The log's name.
    pub fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    /// The storage beneath, for what has its own contract there: hourly counts, bookmarks, verification runs, the directory.
    /// The log's events have no way in but [`AuditLog::record`].
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// Records one event; durable when it returns.
    ///
    /// A draft whose `(source, externalId)` is known gets the old event's receipt. Dropping the future does not take the
    /// event back.
    ///
    /// # Errors
    /// [`RecordError::Refused`] with one refusal: conflicting content, reserved names, limits. Everything else as it says.
    pub async fn record(&self, draft: Draft) -> Result<Receipt, RecordError> {
        let refused = |reason| RecordError::Refused(vec![Refusal { index: 0, reason }]);
        let entry = self.inner.preparing().entry(draft, 0, Door::Caller, None)?.map_err(refused)?;
        let answers = self.inner.answers(vec![entry], Terms::AllOrNothing).await?;
        let (answer, _) = answers.first().copied().ok_or(RecordError::OutcomeUnknown)?;
        receipt(answer, CallPlace { entry: 0, repeats: false }).map_err(refused)
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
        let (entries, places) = self.prepared(drafts, Bringer::Caller).await?.all_or_nothing()?;
        let answers = self.inner.answers(entries, Terms::AllOrNothing).await?;
        let receipt = |place: CallPlace| {
            let (answer, index) = answers.get(place.entry).copied().ok_or(RecordError::OutcomeUnknown)?;
            receipt(answer, place).map_err(|reason| RecordError::Refused(vec![Refusal { index, reason }]))
        };
        places.into_iter().map(receipt).collect()
    }

    /// Records up to 10,000 events of an adapter of ours in their order, each by itself: what cannot be recorded does not keep
    /// the others out. They may say in `metadata._audit` what the adapter had to change; everything else that belongs to the log
    /// is refused as in [`AuditLog::record`].
    ///
    /// If the process dies in the middle, some of them may stand. Give each an `externalId`, and send all of them again.
    ///
    /// # Errors
    /// As [`AuditLog::record_batch`], but for refused drafts.
    pub async fn record_adapted(&self, drafts: Vec<Draft>) -> Result<Vec<Result<Receipt, RefusalReason>>, RecordError> {
        let Call { entries, places } = self.prepared(drafts, Bringer::Adapter).await?;
        let answers = self.inner.answers(entries, Terms::EachByItself).await?;
        let receipt = |place: Result<CallPlace, RefusalReason>| {
            let place = match place {
                Ok(place) => place,
                Err(reason) => return Ok(Err(reason)),
            };
            let (answer, _) = answers.get(place.entry).copied().ok_or(RecordError::OutcomeUnknown)?;
            Ok(receipt(answer, place))
        };
        places.into_iter().map(receipt).collect()
    }

    async fn prepared(&self, drafts: Vec<Draft>, bringer: Bringer) -> Result<Call, RecordError> {
        if drafts.len() <= MANY_DRAFTS {
            return self.inner.preparing().call(drafts, bringer);
        }
        let inner = Arc::clone(&self.inner);
        let prepare = move || inner.preparing().call(drafts, bringer);
        // A panic in there is a bug of ours; nothing has been handed over.
        tokio::task::spawn_blocking(prepare).await.map_err(|_| RecordError::Closed)?
    }

    /// Records an event without making anybody wait: returns at once, cannot fail.
    ///
    /// The event goes to the recorder, or while the store is away to the spool, and from there to the log in order, once.
    /// A draft without `externalId` is given a random one. What [`Fate`] tells may be awaited or dropped.
    pub fn record_best_effort(&self, draft: Draft) -> Fate {
        self.best_effort(draft, Door::Caller)
    }

    pub(crate) fn best_effort(&self, draft: Draft, door: Door) -> Fate {
        let (fate, fated) = oneshot::channel();
        match self.inner.item(draft, door) {
            Ok(Ok((entry, content))) => {
                let at = self.inner.world.clock.now();
                self.inner.lane.push(Item { entry, content, at, fate });
            }
            Ok(Err(reason)) => {
                self.inner.counters.refused.add(1);
                tracing::warn!(%reason, "a best-effort event cannot be recorded");
                drop(fate.send(Kept::Refused(reason)));
            }
            Err(error) => {
                self.inner.counters.lost.add(1);
                tracing::error!(error = &error as &dyn std::error::Error, "a best-effort event is lost");
                drop(fate.send(Kept::Lost));
            }
        }
        Fate(fated)
    }

    /// A page of the events that match. See [`dezky_store::Search::list`].
    pub async fn list(&self, scope: &Scope, query: &Query) -> Result<Page, StoreError> {
        self.inner.store.list(scope, query).await
    }

    /// One hot event.
    pub async fn get(&self, scope: &Scope, seq: Seq) -> Result<Option<Stored>, StoreError> {
        self.inner.store.get(scope, seq).await
    }

    /// How many hot events match.
    pub async fn count(&self, scope: &Scope, filter: &Filter, budget: Duration) -> Result<Count, StoreError> {
        self.inner.store.count(scope, filter, budget).await
    }

    /// Takes a checkpoint and starts an export of the hot events up to its size, in `seq` order, those that match.
    ///
    /// A broken line is exported as it is, unless a filter or a scope cannot tell whose it is. When the store is no longer what was
    /// signed, and so cannot be signed any more, the export is under the newest checkpoint: it is evidence then. So it is while
    /// nothing is signed for another reason ([`Config::compare_later`]).
    pub async fn export(&self, scope: Scope, filter: Filter) -> Result<Export, ExportError> {
        let checkpoint = match self.checkpoint(Reason::Manual).await {
            Ok(checkpoint) => checkpoint,
            Err(error) if error.is_evidence() || matches!(error, CheckpointError::NotCompared) => {
                self.latest_checkpoint().await?.ok_or(error)?
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Export::new(Arc::clone(&self.inner.store), scope, filter, checkpoint))
    }

    /// Signs the log as it is now, or returns the newest checkpoint when nothing is new.
    pub async fn checkpoint(&self, reason: Reason) -> Result<CheckpointRecord, CheckpointError> {
        self.inner.requests.ask(reason).await
    }

    /// The newest checkpoint.
    pub async fn latest_checkpoint(&self) -> Result<Option<CheckpointRecord>, StoreError> {
        self.inner.store.latest_checkpoint().await
    }

    /// The newest checkpoint that this process knows, as it changes.
    pub fn checkpoints(&self) -> watch::Receiver<Option<CheckpointRecord>> {
        self.inner.newest.clone()
    }

    /// Sees that the log has, and agrees with, what the newest checkpoint says that was kept elsewhere, if there is one: what opening
    /// asks of [`Config::known_checkpoints`], for one that could not be read then. A log that waited for it
    /// ([`Config::compare_later`]) signs from now on.
    ///
    /// # Errors
    /// As [`AuditLog::open`]. Nothing is done about it, but a log that waited goes on waiting.
    pub async fn compare(&self, known: Option<&KnownCheckpoint>) -> Result<(), OpenError> {
        if let Some(known) = known {
            open::agrees(&self.inner, known).await?;
        }
        self.inner.compared.send_if_modified(|compared| !std::mem::replace(compared, true));
        Ok(())
    }

    /// Whether nothing is signed until [`AuditLog::compare`] was called.
    pub fn awaits_comparison(&self) -> bool {
        !*self.inner.compared.borrow()
    }

    /// The newest checkpoint of exactly this size.
    pub async fn checkpoint_at(&self, size: u64) -> Result<Option<CheckpointRecord>, StoreError> {
        self.inner.store.checkpoint_at(size).await
    }

    /// The keys that sign now, the newest first.
    pub fn keys(&self) -> &[PublishedKey] {
        self.inner.keys.published()
    }

    /// The `.tlog-proof` (C2SP `tlog-proof@v1`, with the event as `extra`) of a hot event under the newest checkpoint; makes one
    /// first if none covers the event. `None` when the event does not exist for this scope.
    ///
    /// # Errors
    /// When the checkpoint cannot be made, or the stored event is not the one in the tree.
    pub async fn proof(&self, scope: &Scope, seq: Seq) -> Result<Option<String>, ProveError> {
        prove::event(&self.inner, scope, seq).await
    }

    /// The proof of an event that has left hot storage, by its line as it was archived: the tree outlives the lines.
    ///
    /// # Errors
    /// As [`AuditLog::proof`].
    pub async fn proof_of(&self, seq: Seq, line: Vec<u8>) -> Result<String, ProveError> {
        prove::line(&self.inner, seq, line).await
    }

    /// The tenant's checkpoint, signed now, and the proof of its last event in the main log. `None` when the tenant has no
    /// event or is outside the scope.
    ///
    /// # Errors
    /// As [`AuditLog::proof`].
    pub async fn tenant_checkpoint(&self, scope: &Scope, tenant: &TenantSlug) -> Result<Option<TenantCheckpoint>, ProveError> {
        prove::tenant(&self.inner, scope, tenant, None).await
    }

    /// The same of a tenant whose last event has left hot storage ([`ProveError::Archived`] says which): here it is.
    ///
    /// # Errors
    /// As [`AuditLog::tenant_checkpoint`]; `Archived` when the tenant has a later event by now, which was archived too.
    pub async fn tenant_checkpoint_with(
        &self,
        scope: &Scope,
        tenant: &TenantSlug,
        last: Stored,
    ) -> Result<Option<TenantCheckpoint>, ProveError> {
        prove::tenant(&self.inner, scope, tenant, Some(last)).await
    }

    /// Verifies the live store, and keeps the result as a verification run. Dropping the future cancels it.
    ///
    /// # Errors
    /// Only when it could not look. One verification runs at a time.
    pub async fn verify(&self, options: VerifyOptions) -> Result<Verification, VerifyError> {
        verify::run(&self.inner, options).await
    }

    /// Keeps what another verification of this log came to, of more than the live store, as [`AuditLog::verify`] keeps its own.
    ///
    /// # Errors
    /// When the report cannot be written as JSON.
    pub async fn keep_verification(&self, report: Report) -> Result<Verification, VerifyError> {
        verify::keep(&self.inner, self.inner.world.clock.now(), report).await
    }

    /// Whether events can be recorded now, by trying the store.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.inner.store.ping().await
    }

    /// The numbers now.
    pub fn metrics(&self) -> Metrics {
        Metrics::of(&self.inner)
    }

    /// Stops taking events, records what waits, takes a last checkpoint, and closes the spool and the store.
    ///
    /// What is not done after `deadline` is given up: its callers are told, best-effort events stay in the spool.
    pub async fn shutdown(&self, deadline: Duration) -> Drained {
        let inner = &*self.inner;
        let tasks = inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(tasks) = tasks else { return Drained { complete: true, spooled: inner.spool_gauges.entries() } };
        let until = Instant::now() + deadline;
        inner.lane.close();
        let mut complete = finish(tasks.intake, until).await;
        inner.stop_replay.send_replace(true);
        complete &= finish(tasks.replay, until).await;
        inner.queue.close();
        complete &= finish(tasks.recorder, until).await;
        match tokio::time::timeout_at(until, inner.requests.ask(Reason::Manual)).await {
            Ok(Ok(record)) => tracing::info!(size = record.size, "the log is closed under its last checkpoint"),
            Ok(Err(error)) => tracing::error!(error = &error as &dyn std::error::Error, "closed without a last checkpoint"),
            Err(_) => tracing::error!("closed without a last checkpoint: no time was left"),
        }
        inner.stop_signing.send_replace(true);
        complete &= finish(tasks.checkpointer, until).await;
        // Nobody holds the spool any more, so its thread ends.
        let spool = tokio::task::spawn_blocking(move || tasks.spool.join());
        complete &= tokio::time::timeout_at(until, spool).await.is_ok();
        complete &= tokio::time::timeout_at(until, inner.store.close()).await.is_ok();
        Drained { complete, spooled: inner.spool_gauges.entries() }
    }
}

impl Inner {
    fn preparing(&self) -> Preparing<'_> {
        Preparing { secret: &self.secret, random: &*self.world.random }
    }

    /// What becomes of entries in the recorder's hands, each with the index of its draft.
    async fn answers(&self, entries: Vec<Entry>, terms: Terms) -> Result<Vec<(Answer, usize)>, RecordError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let indexes: Vec<_> = entries.iter().map(|entry| entry.index).collect();
        let (unit, answer) = Unit::new(entries, terms);
        let (count, bytes) = (unit.entries.len(), unit.bytes);
        let (max_events, max_bytes) = (RecordLimits::MAX_EVENTS, RecordLimits::MAX_BYTES);
        if count > max_events || bytes > max_bytes {
            return Err(RecordError::TooLarge { count, bytes, max_events, max_bytes });
        }
        self.queue.push(unit).inspect_err(|error| {
            self.counters.overloaded.add(u64::from(matches!(error, RecordError::Overloaded)));
        })?;
        // The recorder answers always, unless it was stopped in the middle.
        let answers = answer.await.map_err(|_| RecordError::OutcomeUnknown)??;
        Ok(answers.into_iter().zip(indexes).collect())
    }

    /// A best-effort event, prepared, and its content for the spool.
    fn item(&self, mut draft: Draft, door: Door) -> Result<Result<(Entry, Vec<u8>), RefusalReason>, RecordError> {
        if draft.external_id.is_none() {
            let mut bits = [0; 16];
            self.world.random.fill(&mut bits)?;
            draft.external_id = format!("{:032x}", u128::from_be_bytes(bits)).parse().ok();
        }
        let content = draft.content();
        let entry = self.preparing().entry(draft, 0, door, None)?;
        Ok(entry.map(|entry| (entry, content)))
    }
}

impl Drop for Inner {
    /// The tasks end by themselves: what they wait for is closed.
    fn drop(&mut self) {
        self.lane.close();
        self.queue.close();
    }
}

/// The receipt of a draft, given the answer of the entry that stands for it.
fn receipt(answer: Answer, place: CallPlace) -> Result<Receipt, RefusalReason> {
    match answer {
        Answer::Recorded(receipt) => Ok(Receipt { duplicate: receipt.duplicate || place.repeats, ..receipt }),
        Answer::Conflict(seq) => Err(RefusalReason::ConflictingContent { seq }),
    }
}

/// Waits for a task; one that is not done in time is stopped.
async fn finish(mut task: JoinHandle<()>, until: Instant) -> bool {
    match tokio::time::timeout_at(until, &mut task).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!(%error, "a background task of the log has failed");
            false
        }
        Err(_) => {
            task.abort();
            // Dropped for certain before anything that it uses is closed.
            drop(task.await);
            false
        }
    }
}
