use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{AuditLog, Config, ManualClock, Store, VerifyOptions, World};
use dezky_audit_core::source::{Mapped, authentik, ocis};
use dezky_audit_core::time::Timestamp;
use dezky_ingest::{Delivery, Health, Progress, StaticDirectory, TenantRule, Work};
use dezky_store::memory::MemoryStore;
use dezky_store::sqlite::{SqliteOptions, SqliteStore};
use dezky_store::{Identity, ReadLimit};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Scratch {
    pub(crate) log: AuditLog,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) dir: TempDir,
}

impl Scratch {
    pub(crate) async fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new("audit.example.eu/test".parse().unwrap()))).await
    }

    pub(crate) async fn over(store: Arc<dyn Store>) -> Self {
        Self::open(store, tempfile::tempdir().unwrap()).await
    }

    /// On a disk, so that it can be opened again.
    pub(crate) async fn on_disk() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = sqlite(&dir).await;
        Self::open(store, dir).await
    }

    /// A new process over the same folder: store, keys and all.
    pub(crate) async fn reopened(self) -> Self {
        let Self { log, dir, .. } = self;
        log.shutdown(Duration::from_secs(30)).await;
        drop(log);
        let store = sqlite(&dir).await;
        Self::open(store, dir).await
    }

    async fn open(store: Arc<dyn Store>, dir: TempDir) -> Self {
        let clock = Arc::new(ManualClock::new("2026-11-20T10:00:00.000Z".parse::<Timestamp>().unwrap()));
        let world = World { clock: Arc::clone(&clock) as _, ..World::system() };
        let mut config = Config::in_dir(dir.path());
        config.spool.limit = 4 << 20;
        config.spool.segment = 2 << 20;
        let log = AuditLog::open(config, store, world).await.unwrap();
        Self { log, clock, dir }
    }

    pub(crate) fn delivery(&self, source: &str) -> Delivery {
        let rule = TenantRule {
            slug: "corp".to_owned(),
            partner: None,
            groups: Vec::new(),
            spaces: vec!["2507ed59-d86c-4f2c-8f30-8eb2de3801f8".to_owned()],
            users: Vec::new(),
            domains: vec!["corp.example".to_owned()],
        };
        let directory = StaticDirectory::new(&[rule], &[]).unwrap();
        Delivery::new(self.log.clone(), Arc::new(directory), Arc::clone(&self.clock) as _, Health::new(source))
    }

    /// Everything in the log, as JSON.
    pub(crate) async fn events(&self) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        loop {
            let next = events.len() as u64 + 1;
            let stored =
                self.log.store().read(next..=u64::MAX >> 11, ReadLimit { events: 10_000, bytes: 64 << 20 }).await.unwrap();
            if stored.is_empty() {
                return events;
            }
            events.extend(stored.iter().map(|stored| serde_json::from_slice::<Value>(&stored.line).unwrap()));
        }
    }

    /// Those of sources, by `externalId`.
    pub(crate) async fn ids(&self) -> Vec<String> {
        let id = |event: &Value| event["externalId"].as_str().map(str::to_owned);
        self.events().await.iter().filter_map(id).collect()
    }

    /// The log verifies, and ends.
    pub(crate) async fn finish(self) {
        // The store works on threads of its own, for which a paused clock does not wait: it would jump to the shutdown's deadline. For
        // a task that blocks it does.
        let (done, held) = std::sync::mpsc::channel::<()>();
        let held = tokio::task::spawn_blocking(move || held.recv().is_ok());
        let verification = self.log.verify(VerifyOptions::default()).await.unwrap();
        assert_eq!(verification.exit_code, 0, "{}", verification.json);
        assert!(self.log.shutdown(Duration::from_secs(30)).await.complete);
        drop(done);
        assert!(!held.await.unwrap());
    }
}

async fn sqlite(dir: &TempDir) -> Arc<dyn Store> {
    let identity = Identity::Given("audit.example.eu/test".parse().unwrap());
    Arc::new(SqliteStore::open(dir.path().join("audit.db"), identity, SqliteOptions::default()).await.unwrap())
}

/// Works until there is nothing more.
pub(crate) async fn run<W: Work>(work: &mut W) {
    while work.round().await.unwrap() == Progress::More {}
}

/// One event of Authentik, for everything that is not about a certain source.
pub(crate) fn login(delivery: &Delivery, pk: &str, rest: &str) -> Mapped {
    let text = format!(
        r#"{{"pk":"{pk}","action":"login","user":{{"pk":1,"username":"jo","email":"jo@corp.example"}},"context":{{}},"created":"2026-11-20T09:12:02Z"{rest}}}"#
    );
    authentik::map_event(text.as_bytes(), delivery.key())
}

/// A line of OCIS's audit file about the file of that number.
pub(crate) fn line(number: usize) -> String {
    format!(
        "{{\"RemoteAddr\":\"\",\"User\":\"\",\"URL\":\"\",\"Method\":\"\",\"UserAgent\":\"\",\"Time\":\"2026-11-20T09:15:02Z\",\"App\":\"admin_audit\",\
         \"Message\":\"user 'u-1' created file 'f-{number}'\",\"Action\":\"file_create\",\"CLI\":false,\"Level\":1,\"Path\":\"\",\"Owner\":\"\",\
         \"FileID\":\"f-{number}\"}}\n"
    )
}

/// Which of [`line`]'s numbers an event is about.
pub(crate) fn number(event: &Value) -> Option<usize> {
    if event["source"] != ocis::SOURCE.as_str() {
        return None;
    }
    event["resource"]["id"].as_str()?.strip_prefix("f-")?.parse().ok()
}
