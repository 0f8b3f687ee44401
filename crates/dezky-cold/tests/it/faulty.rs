use std::collections::{BTreeMap, VecDeque};
use std::io::{Cursor, Read};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dezky_audit_core::event::{Link, PartName, Prepared, Salt};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{ExternalId, Origin, Seq, Source, TenantSlug};
use dezky_audit_core::time::Timestamp;
use dezky_cold::depot::{Body, Content, Depot, DepotError, Entry, ObjectKey, Put};
use dezky_store::*;

/// Blows at the n-th call: everything that passes through it is dead from then on, as a process is after kill -9.
#[derive(Default)]
pub(crate) struct Fuse {
    armed: AtomicBool,
    calls: AtomicUsize,
    at: AtomicUsize,
    after: AtomicBool,
    dead: AtomicBool,
    /// The whole process dies, without a word to anyone.
    for_real: AtomicBool,
}

impl Fuse {
    /// Lets `at` calls through; the next one fails, before or `after` it took effect.
    pub(crate) fn arm(&self, at: usize, after: bool) {
        self.calls.store(0, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
        self.after.store(after, Ordering::SeqCst);
        self.armed.store(true, Ordering::SeqCst);
    }

    /// As after a call, with the process itself.
    pub(crate) fn arm_for_real(&self, at: usize) {
        self.for_real.store(true, Ordering::SeqCst);
        self.arm(at, true);
    }

    /// A new process; says whether the old one had died.
    pub(crate) fn mend(&self) -> bool {
        self.armed.store(false, Ordering::SeqCst);
        self.dead.swap(false, Ordering::SeqCst)
    }

    async fn pass<T, E>(&self, work: impl Future<Output = Result<T, E>>, died: impl Fn() -> E) -> Result<T, E> {
        if self.dead.load(Ordering::SeqCst) {
            return Err(died());
        }
        if !self.armed.load(Ordering::SeqCst) || self.calls.fetch_add(1, Ordering::SeqCst) != self.at.load(Ordering::SeqCst) {
            return work.await;
        }
        let after = self.after.load(Ordering::SeqCst);
        if after {
            drop(work.await);
        }
        if self.for_real.load(Ordering::SeqCst) {
            std::process::abort();
        }
        self.dead.store(true, Ordering::SeqCst);
        Err(died())
    }

    /// An append is answered, or its recorder would wait for the store to come back.
    async fn pass_append(&self, work: impl Future<Output = Result<Append, StoreError>>) -> Result<Append, StoreError> {
        let mut answer = None;
        let noted = async {
            answer = Some(work.await);
            Ok(Append::OutcomeUnknown)
        };
        let passed = self.pass(noted, away).await;
        answer.unwrap_or(passed)
    }
}

fn away() -> StoreError {
    StoreError::Unavailable { what: "the process is dead", source: None }
}

fn gone() -> DepotError {
    DepotError::Put { key: String::new(), place: String::new(), hint: "the process is dead".to_owned(), source: None }
}

/// A store behind a fuse.
pub(crate) struct FusedStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) fuse: Arc<Fuse>,
}

#[async_trait]
impl EventLog for FusedStore {
    fn origin(&self) -> &Origin {
        self.inner.origin()
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.fuse.pass(self.inner.head(), away).await
    }

    async fn tenant_head(&self, tenant: &TenantSlug) -> Result<Option<TenantHead>, StoreError> {
        self.fuse.pass(EventLog::tenant_head(&*self.inner, tenant), away).await
    }

    async fn append(&self, expected: Tip, batch: Arc<[NewEvent]>) -> Result<Append, StoreError> {
        self.fuse.pass_append(self.inner.append(expected, batch)).await
    }

    async fn read(&self, range: RangeInclusive<u64>, limit: ReadLimit) -> Result<Vec<Stored>, StoreError> {
        self.fuse.pass(EventLog::read(&*self.inner, range, limit), away).await
    }

    async fn seen(&self, keys: &[(Source, ExternalId)]) -> Result<Vec<Option<Receipt>>, StoreError> {
        self.fuse.pass(self.inner.seen(keys), away).await
    }
}

macro_rules! delegate {
    ($($contract:ident { $(fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)* })*) => {
        $(
            #[async_trait]
            impl $contract for FusedStore {
                $(
                    async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                        self.fuse.pass($contract::$name(&*self.inner, $($argument),*), away).await
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
impl Store for FusedStore {
    fn gauges(&self) -> Gauges {
        self.inner.gauges()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// A depot behind a fuse.
pub(crate) struct FusedDepot {
    pub(crate) inner: Arc<dyn Depot>,
    pub(crate) fuse: Arc<Fuse>,
}

#[async_trait]
impl Depot for FusedDepot {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn withholds(&self) -> bool {
        self.inner.withholds()
    }

    async fn put(&self, key: &ObjectKey, content: Content, sha256: Hash) -> Result<Put, DepotError> {
        self.fuse.pass(self.inner.put(key, content, sha256), gone).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Body>, DepotError> {
        self.fuse.pass(self.inner.get(key), gone).await
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, DepotError> {
        self.fuse.pass(self.inner.size(key), gone).await
    }

    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<Entry>, DepotError> {
        self.fuse.pass(self.inner.list(prefix, after, limit), gone).await
    }
}

/// What a network or a bucket does to a put or a get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The next put does nothing.
    RefusedPut,
    /// The next put is done, and nobody is told.
    LostAnswer,
    /// The next put keeps half, and says that it is done.
    HalfPut,
    /// The next get has one byte wrong.
    WrongByte,
    /// The next get ends early.
    HalfGet,
    /// The next get finds nothing.
    NotThere,
}

/// A depot that does as its script says, first for names of one kind.
pub(crate) struct LyingDepot {
    pub(crate) inner: Arc<dyn Depot>,
    /// Only for names that begin with this.
    pub(crate) prefix: &'static str,
    pub(crate) script: Mutex<VecDeque<Fault>>,
}

impl LyingDepot {
    fn take(&self, key: &ObjectKey, puts: bool) -> Option<Fault> {
        let of_puts = |fault: &Fault| matches!(fault, Fault::RefusedPut | Fault::LostAnswer | Fault::HalfPut);
        let mut script = self.script.lock().unwrap();
        let due = key.as_str().starts_with(self.prefix) && script.front().is_some_and(|fault| of_puts(fault) == puts);
        if due { script.pop_front() } else { None }
    }
}

#[async_trait]
impl Depot for LyingDepot {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn withholds(&self) -> bool {
        self.inner.withholds()
    }

    async fn put(&self, key: &ObjectKey, content: Content, sha256: Hash) -> Result<Put, DepotError> {
        match self.take(key, true) {
            None => self.inner.put(key, content, sha256).await,
            Some(Fault::LostAnswer) => {
                self.inner.put(key, content, sha256).await?;
                Err(gone())
            }
            Some(Fault::HalfPut) => {
                let mut bytes = match content {
                    Content::Bytes(bytes) => bytes,
                    Content::File(mut file) => {
                        let mut bytes = Vec::new();
                        std::io::Seek::rewind(&mut file).unwrap();
                        file.read_to_end(&mut bytes).unwrap();
                        bytes
                    }
                };
                bytes.truncate(bytes.len() / 2);
                let sha256 = Hash::of(&bytes);
                self.inner.put(key, Content::Bytes(bytes), sha256).await
            }
            Some(_) => Err(gone()),
        }
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Body>, DepotError> {
        let Some(mut body) = self.inner.get(key).await? else { return Ok(None) };
        let Some(fault) = self.take(key, false) else { return Ok(Some(body)) };
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).unwrap();
        let middle = bytes.len() / 2;
        match fault {
            Fault::NotThere => return Ok(None),
            Fault::HalfGet => bytes.truncate(middle),
            _ => bytes[middle] ^= 1,
        }
        Ok(Some(Box::new(Cursor::new(bytes))))
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, DepotError> {
        self.inner.size(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<Entry>, DepotError> {
        self.inner.list(prefix, after, limit).await
    }
}

/// Another process, whose clock is another, appends one event; returns its position.
pub(crate) async fn append_recorded_at(store: &dyn Store, recorded_at: &str) -> u64 {
    let tip = store.head().await.unwrap().tip();
    let seq = Seq::new(tip.size + 1).unwrap();
    let link = Link { seq, recorded_at: recorded_at.parse().unwrap(), prev_hash: tip.hash, tenant: None };
    let prepared = Prepared::new(crate::scratch::draft("rival.came"), || Salt::new([7; 16])).unwrap();
    let mut line = Vec::new();
    let hash = prepared.link(&link, &mut line, &mut Vec::new());
    let event = NewEvent { seq, hash, line, recorded_at: link.recorded_at, tenant: None, key: None };
    assert_eq!(store.append(tip, Arc::from([event])).await.unwrap(), Append::Appended { n: 1 });
    seq.get()
}

/// Changes a character of a stored line behind everyone's back.
pub(crate) fn tamper(database: &std::path::Path, seq: u64) {
    let connection = rusqlite::Connection::open(database).unwrap();
    let change = "UPDATE event SET line = CAST(replace(CAST(line AS TEXT), 'code', 'mode') AS BLOB) WHERE seq = ?1";
    assert_eq!(connection.execute(change, [i64::try_from(seq).unwrap()]).unwrap(), 1);
}
