use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{AuditLog, Config, Draft, ManualClock, Receipt, Store, VerifyOptions, World};
use dezky_audit_core::event::{LineCheck, check_line};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Origin;
use dezky_audit_core::json::Value;
use dezky_audit_core::time::Timestamp;
use dezky_store::memory::MemoryStore;
use dezky_store::sqlite::{SqliteOptions, SqliteStore};
use dezky_store::{EventLog, Identity, ReadLimit, Stored};
use tempfile::TempDir;

pub(crate) const ORIGIN: &str = "audit.example.eu/test";

/// The stores that everything has to work on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Backend {
    Memory,
    Sqlite,
}

pub(crate) const BACKENDS: [Backend; 2] = [Backend::Memory, Backend::Sqlite];

impl Backend {
    pub(crate) async fn open(self, dir: &Path) -> Arc<dyn Store> {
        match self {
            Self::Memory => Arc::new(MemoryStore::new(origin())),
            Self::Sqlite => {
                let identity = Identity::Given(origin());
                Arc::new(SqliteStore::open(dir.join("audit.db"), identity, SqliteOptions::default()).await.unwrap())
            }
        }
    }
}

pub(crate) fn origin() -> Origin {
    ORIGIN.parse().unwrap()
}

/// A log in a folder of its own.
pub(crate) struct Scratch {
    pub(crate) log: AuditLog,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) dir: TempDir,
}

impl Scratch {
    pub(crate) async fn new(backend: Backend) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = backend.open(dir.path()).await;
        Self::over(store, dir).await
    }

    /// Over a store that is there already.
    pub(crate) async fn over(store: Arc<dyn Store>, dir: TempDir) -> Self {
        let config = config(dir.path());
        Self::configured(config, store, dir).await
    }

    pub(crate) async fn configured(config: Config, store: Arc<dyn Store>, dir: TempDir) -> Self {
        let (world, clock) = world();
        let log = AuditLog::open(config, Arc::clone(&store), world).await.unwrap();
        Self { log, store, clock, dir }
    }

    /// Shuts the log down, having checked all of it: every line, both chains, and the verifier's opinion.
    pub(crate) async fn finish(self) -> Vec<Stored> {
        let events = check_log(&*self.store).await;
        let verification = self.log.verify(VerifyOptions::default()).await.unwrap();
        assert_eq!(verification.exit_code, 0, "{}", verification.json);
        assert_eq!(verification.report.events, self.store.head().await.unwrap().size);
        assert!(self.log.shutdown(Duration::from_secs(30)).await.complete);
        events
    }
}

/// A small spool, so that tests do not reserve 64 MiB each.
pub(crate) fn config(dir: &Path) -> Config {
    let mut config = Config::in_dir(dir);
    config.spool.limit = 4 << 20;
    config.spool.segment = 2 << 20;
    config
}

/// A world whose clock stands still.
pub(crate) fn world() -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(time("2026-05-01T00:00:00.000Z")));
    (World { clock: Arc::clone(&clock) as _, ..World::system() }, clock)
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn draft(action: &str) -> Draft {
    let mut draft =
        Draft::new(action.parse().unwrap(), "success".parse().unwrap(), "platform-api".parse().unwrap(), "user".parse().unwrap());
    draft.metadata = Some(vec![("note".to_owned(), Value::from("ünïcode"))]);
    draft
}

pub(crate) fn keyed(action: &str, external_id: &str) -> Draft {
    Draft { external_id: Some(external_id.parse().unwrap()), ..draft(action) }
}

pub(crate) fn of_tenant(tenant: &str, draft: Draft) -> Draft {
    Draft { tenant: Some(tenant.parse().unwrap()), ..draft }
}

/// Every event in the store: adjacent, canonical, linked in the log and in its tenant's stream, with the head that the
/// store says.
pub(crate) async fn check_log(store: &dyn Store) -> Vec<Stored> {
    let head = store.head().await.unwrap();
    let events = read_all(store, head.size).await;
    let (mut previous, mut tenants) = (store.origin().genesis(), HashMap::<String, (u64, Hash)>::new());
    for (seq, stored) in (1..).zip(&events) {
        assert_eq!(stored.seq, seq);
        let mut preimage = Vec::new();
        let LineCheck::Event(event) = check_line(&stored.line, &mut preimage) else { panic!("event {seq} is malformed") };
        assert_eq!((event.seq.get(), event.stored_hash), (seq, event.computed_hash));
        assert_eq!(event.prev_hash, previous, "event {seq}");
        if let Some(link) = event.tenant {
            let genesis = (0, store.origin().tenant_genesis(link.slug));
            let (last, hash) = tenants.get(link.slug).copied().unwrap_or(genesis);
            assert_eq!((link.seq, link.prev_hash), (last + 1, hash), "event {seq}");
            tenants.insert(link.slug.to_owned(), (link.seq, event.computed_hash));
        }
        previous = event.computed_hash;
    }
    assert_eq!((events.len() as u64, previous), (head.size, head.hash));
    events
}

pub(crate) async fn read_all(store: &dyn Store, size: u64) -> Vec<Stored> {
    let mut events = Vec::new();
    while (events.len() as u64) < size {
        let read = EventLog::read(store, events.len() as u64 + 1..=size, ReadLimit::default()).await.unwrap();
        if read.is_empty() {
            break;
        }
        events.extend(read);
    }
    events
}

/// The values of a member that is a string, event by event.
pub(crate) fn member(events: &[Stored], name: &str) -> Vec<String> {
    let value = |stored: &Stored| {
        let value: serde_json::Value = serde_json::from_slice(&stored.line).unwrap();
        value[name].as_str().unwrap_or_default().to_owned()
    };
    events.iter().map(value).collect()
}

/// The event of a receipt is in the log, with its hash.
pub(crate) fn assert_holds(events: &[Stored], receipt: &Receipt) {
    let stored = &events[usize::try_from(receipt.seq.get()).unwrap() - 1];
    let mut preimage = Vec::new();
    let LineCheck::Event(event) = check_line(&stored.line, &mut preimage) else { panic!("malformed") };
    assert_eq!((event.seq, event.stored_hash), (receipt.seq, receipt.hash));
}
