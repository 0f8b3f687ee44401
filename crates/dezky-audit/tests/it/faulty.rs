use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dezky_audit::{Draft, Store, StoreError};
use dezky_audit_core::event::{LineCheck, Link, PartName, Prepared, Salt, check_line};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Origin, Seq, Source, TenantSlug};
use dezky_audit_core::time::Timestamp;
use dezky_store::*;
use tokio::sync::Notify;

/// A store that does what a disk, a lock or a network does to it.
pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn Store>,
    /// Stands in for `inner` once it was swapped.
    other: std::sync::OnceLock<Arc<dyn Store>>,
    /// Every call fails.
    down: AtomicBool,
    /// What becomes of the next appends; after that they go through.
    script: Mutex<VecDeque<Fault>>,
    /// So many readings of the head fail.
    headless: AtomicUsize,
    /// An append whose effect is still to come.
    late: Mutex<Option<(Tip, Arc<[NewEvent]>)>>,
    /// Appends wait for it when it is held.
    held: AtomicBool,
    released: Notify,
    pub(crate) appends: AtomicUsize,
}

pub(crate) enum Fault {
    /// Before anything was written.
    Unavailable,
    /// Written, and nobody is told.
    UnknownKept,
    /// Not written, and nobody is told.
    UnknownLost,
    /// Nobody is told, and it is written only when the next append comes.
    UnknownLate,
    /// Only the first so many are written, then another writer comes.
    Prefix(usize),
    /// Only the first so many are written, and nobody is told.
    UnknownPrefix(usize),
    /// Another writer comes before.
    Rival(Box<Draft>),
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            other: std::sync::OnceLock::new(),
            down: AtomicBool::new(false),
            script: Mutex::default(),
            headless: AtomicUsize::new(0),
            late: Mutex::default(),
            held: AtomicBool::new(false),
            released: Notify::new(),
            appends: AtomicUsize::new(0),
        })
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub(crate) fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.script.lock().unwrap().extend(faults);
    }

    pub(crate) fn fail_heads(&self, n: usize) {
        self.headless.store(n, Ordering::SeqCst);
    }

    /// Appends wait until they are released.
    pub(crate) fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    pub(crate) fn release(&self) {
        self.held.store(false, Ordering::SeqCst);
        self.released.notify_waiters();
    }

    /// From now on everything goes to another store of the same origin.
    pub(crate) fn swap(&self, other: Arc<dyn Store>) {
        assert!(self.other.set(other).is_ok());
    }

    fn store(&self) -> &dyn Store {
        &**self.other.get().unwrap_or(&self.inner)
    }

    fn gate(&self) -> Result<(), StoreError> {
        if self.down.load(Ordering::SeqCst) { Err(away()) } else { Ok(()) }
    }
}

fn away() -> StoreError {
    StoreError::Unavailable { what: "a test took it away", source: None }
}

/// Appends a line of another store as it is, key and all; it has to fit.
pub(crate) async fn copy_event(store: &dyn Store, stored: &Stored) {
    let mut preimage = Vec::new();
    let LineCheck::Event(event) = check_line(&stored.line, &mut preimage) else { panic!("malformed") };
    let tenant = event.tenant.map(|link| TenantPlace { slug: link.slug.parse().unwrap(), tenant_seq: link.seq });
    let event = NewEvent {
        seq: event.seq,
        hash: event.stored_hash,
        line: stored.line.clone(),
        recorded_at: event.recorded_at,
        tenant,
        key: None,
    };
    let tip = store.head().await.unwrap().tip();
    assert_eq!(store.append(tip, Arc::from([event])).await.unwrap(), Append::Appended { n: 1 });
}

/// Another process appends one event, as a recorder would.
pub(crate) async fn rival_append(store: &dyn Store, draft: Draft) -> NewEvent {
    let tip = store.head().await.unwrap().tip();
    let tenant = match draft.tenant.clone() {
        None => None,
        Some(slug) => {
            let head = EventLog::tenant_head(store, &slug).await.unwrap();
            let genesis = store.origin().tenant_genesis(slug.as_str());
            let (last, hash) = head.map_or((0, genesis), |head| (head.tenant_seq, head.hash));
            Some((slug, last + 1, hash))
        }
    };
    let recorded_at = Timestamp::MIN;
    let key = draft.external_id.clone().map(|external_id| DedupeKey {
        source: draft.source.clone(),
        external_id,
        content_mac: Some(Hash::of(b"another process's content")),
        stands_alone: false,
    });
    let seq = Seq::new(tip.size + 1).unwrap();
    let link = Link { seq, recorded_at, prev_hash: tip.hash, tenant: tenant.as_ref().map(|(_, seq, hash)| (*seq, *hash)) };
    let mut line = Vec::new();
    let prepared = Prepared::new(draft, || Salt::new([7; 16])).unwrap();
    let hash = prepared.link(&link, &mut line, &mut Vec::new());
    let tenant = tenant.map(|(slug, tenant_seq, _)| TenantPlace { slug, tenant_seq });
    let event = NewEvent { seq, hash, line, recorded_at, tenant, key };
    assert_eq!(store.append(tip, Arc::from([event.clone()])).await.unwrap(), Append::Appended { n: 1 });
    event
}

#[async_trait]
impl EventLog for Faulty {
    fn origin(&self) -> &Origin {
        self.store().origin()
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.gate()?;
        let failing = self.headless.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if failing.is_ok() { Err(away()) } else { self.store().head().await }
    }

    async fn tenant_head(&self, tenant: &TenantSlug) -> Result<Option<TenantHead>, StoreError> {
        self.gate()?;
        EventLog::tenant_head(self.store(), tenant).await
    }

    async fn append(&self, expected: Tip, batch: Arc<[NewEvent]>) -> Result<Append, StoreError> {
        self.gate()?;
        self.appends.fetch_add(1, Ordering::SeqCst);
        loop {
            let released = self.released.notified();
            if !self.held.load(Ordering::SeqCst) {
                break;
            }
            released.await;
        }
        self.gate()?;
        let late = self.late.lock().unwrap().take();
        if let Some((tip, events)) = late {
            assert!(matches!(self.store().append(tip, events).await.unwrap(), Append::Appended { .. }));
        }
        let fault = self.script.lock().unwrap().pop_front();
        match fault {
            None => self.store().append(expected, batch).await,
            Some(Fault::Unavailable) => Err(away()),
            Some(Fault::UnknownKept) => {
                self.store().append(expected, batch).await?;
                Ok(Append::OutcomeUnknown)
            }
            Some(Fault::UnknownLost) => Ok(Append::OutcomeUnknown),
            Some(Fault::UnknownLate) => {
                *self.late.lock().unwrap() = Some((expected, batch));
                Ok(Append::OutcomeUnknown)
            }
            Some(Fault::Prefix(n)) => {
                let appended = self.store().append(expected, batch[..n].into()).await?;
                rival_append(self.store(), crate::scratch::draft("rival.came")).await;
                Ok(appended)
            }
            Some(Fault::UnknownPrefix(n)) => {
                self.store().append(expected, batch[..n].into()).await?;
                Ok(Append::OutcomeUnknown)
            }
            Some(Fault::Rival(draft)) => {
                rival_append(self.store(), *draft).await;
                self.store().append(expected, batch).await
            }
        }
    }

    async fn read(&self, range: RangeInclusive<u64>, limit: ReadLimit) -> Result<Vec<Stored>, StoreError> {
        self.gate()?;
        EventLog::read(self.store(), range, limit).await
    }

    async fn seen(&self, keys: &[(Source, ExternalId)]) -> Result<Vec<Option<Receipt>>, StoreError> {
        self.gate()?;
        self.store().seen(keys).await
    }
}

macro_rules! delegate {
    ($($contract:ident { $(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)* })*) => {
        $(
            #[async_trait]
            impl $contract for Faulty {
                $(
                    async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                        self.gate()?;
                        $contract::$name(self.store(), $($argument),*).await
                    }
                )*
            }
        )*
    };
}

delegate! {
    Search {
        fn list(scope: &Scope, query: &Query) -> Page;
        fn get(scope: &Scope, seq: Seq) -> Option<Stored>;
        fn count(scope: &Scope, filter: &Filter, budget: Duration) -> Count;
        fn hourly(scope: &Scope, since: Timestamp, until: Timestamp, by: CountBy) -> Vec<HourCount>;
        fn totals(scope: &Scope, since: Timestamp, until: Timestamp, by: CountBy) -> BTreeMap<String, u64>;
    }
    SearchCopy {
        fn check(range: RangeInclusive<u64>, limit: ReadLimit) -> Vec<Checked>;
        fn settle() -> ();
        fn rebuild() -> ();
    }
    Retention {
        fn hot() -> Hot;
        fn last_recorded_before(time: Timestamp) -> Option<Seq>;
        fn delete_prefix(batch: &BatchId, fence: &Fence) -> ();
        fn restore(range: RangeInclusive<u64>, until: Timestamp, lines: Vec<Stored>) -> ();
        fn expire_restored(now: Timestamp) -> u64;
        fn withhold(seq: Seq, part: PartName) -> Option<Hash>;
    }
    Archives {
        fn archive_intent() -> Option<Intent>;
        fn set_archive_intent(intent: Option<&Intent>, fence: &Fence) -> ();
        fn put_batch(record: &BatchRecord, fence: &Fence) -> ();
        fn batches(range: RangeInclusive<u64>, limit: usize) -> Vec<BatchRecord>;
        fn newest_batch() -> Option<BatchRecord>;
    }
    Tiles {
        fn tile(level: u8, index: u64) -> Option<Vec<Hash>>;
    }
    Checkpoints {
        fn put_checkpoint(record: &CheckpointRecord) -> ();
        fn latest_checkpoint() -> Option<CheckpointRecord>;
        fn checkpoint_at(size: u64) -> Option<CheckpointRecord>;
        fn checkpoint_covering(size: u64) -> Option<CheckpointRecord>;
        fn checkpoints(after: u64, limit: usize) -> Vec<CheckpointRecord>;
    }
    Bookmarks {
        fn bookmark(name: &str) -> Option<Bookmark>;
        fn move_bookmark(name: &str, expected: u64, value: &str) -> Swap;
    }
    Leases {
        fn lease(name: &str, holder: &str, ttl: Duration, now: Timestamp) -> Lease;
        fn release(fence: &Fence) -> ();
    }
    Runs {
        fn add_run(run: &VerificationRun) -> ();
        fn runs(limit: usize) -> Vec<VerificationRun>;
    }
    Settings {
        fn setting(name: &str) -> Option<String>;
        fn get_or_create_setting(name: &str, value: &str) -> String;
    }
    Directory {
        fn document(collection: &str, key: &str) -> Option<Document>;
        fn documents(collection: &str, after: Option<&str>, limit: usize) -> Vec<Document>;
        fn change_document(change: &Change, outbox: &[String]) -> Swap;
        fn outbox(limit: usize) -> Vec<OutboxEntry>;
        fn ack_outbox(ids: &[u64]) -> ();
    }
    Transfer {
        fn tenant_heads(after: Option<&TenantSlug>, limit: usize) -> Vec<(TenantSlug, TenantHead)>;
        fn receipts(after: Option<&(Source, ExternalId)>, limit: usize) -> Vec<(Source, ExternalId, Receipt)>;
        fn adopt(relics: Vec<Relic>) -> ();
        fn begin(head: Head) -> ();
    }
}

#[async_trait]
impl Store for Faulty {
    fn gauges(&self) -> Gauges {
        self.store().gauges()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.gate()?;
        self.store().ping().await
    }

    async fn close(&self) {
        self.store().close().await;
    }
}
