use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{AuditLog, Config, ManualClock, Query, Scope, Store, VerifyOptions, World};
use dezky_audit_core::event::{Actor, Client, PartText};
use dezky_audit_core::ids::{ActorType, Origin};
use dezky_audit_core::time::Timestamp;
use dezky_platform::{Acting, Platform};
use dezky_store::Identity;
use dezky_store::memory::MemoryStore;
use dezky_store::sqlite::{SqliteOptions, SqliteStore};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Scratch {
    pub(crate) platform: Platform,
    pub(crate) log: AuditLog,
    pub(crate) dir: TempDir,
}

fn origin() -> Origin {
    Origin::new("audit.example.eu/platform").unwrap()
}

pub(crate) async fn sqlite(dir: &Path) -> Arc<dyn Store> {
    let identity = Identity::Given(origin());
    Arc::new(SqliteStore::open(dir.join("audit.db"), identity, SqliteOptions::default()).await.unwrap())
}

pub(crate) fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(origin()))
}

pub(crate) async fn over(store: Arc<dyn Store>, dir: TempDir) -> Scratch {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_ms(1_790_000_000_000).unwrap()));
    let world = World { clock: Arc::clone(&clock) as Arc<_>, ..World::system() };
    let log = AuditLog::open(Config::in_dir(dir.path()), store, world).await.unwrap();
    Scratch { platform: Platform::start(log.clone(), clock), log, dir }
}

pub(crate) async fn fresh() -> Scratch {
    let dir = tempfile::tempdir().unwrap();
    let store = sqlite(dir.path()).await;
    over(store, dir).await
}

pub(crate) fn zoe() -> Acting {
    Acting {
        actor_type: ActorType::new("operator").unwrap(),
        actor: Actor { id: PartText::new("op-7").ok(), email: PartText::new("zoe@example.eu").ok(), name: None },
        client: Client { ip: "192.0.2.7".parse().ok(), user_agent: None },
    }
}

impl Scratch {
    /// The events of changes, oldest first, once there are so many.
    pub(crate) async fn events(&self, count: usize) -> Vec<Value> {
        let query = Query::parse([("source", "platform-api"), ("order", "asc"), ("limit", "500")]).unwrap();
        for _ in 0..1_000 {
            let page = self.log.list(&Scope::All, &query).await.unwrap();
            if page.events.len() >= count {
                return page.events.iter().map(|stored| serde_json::from_slice(&stored.line).unwrap()).collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("there are not {count} events");
    }

    pub(crate) async fn actions(&self, count: usize) -> Vec<String> {
        let text = |event: &Value| format!("{} {}", event["action"].as_str().unwrap(), event["outcome"].as_str().unwrap());
        self.events(count).await.iter().map(text).collect()
    }

    /// Ends it; the log must verify.
    pub(crate) async fn end(self) {
        self.platform.shutdown(Duration::from_secs(10)).await;
        let verified = self.log.verify(VerifyOptions::default()).await.unwrap();
        assert!(verified.report.findings.is_empty(), "{:?}", verified.report.findings);
        self.log.shutdown(Duration::from_secs(10)).await;
    }
}
