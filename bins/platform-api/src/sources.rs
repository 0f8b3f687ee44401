//! The workers of the sources that are configured.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use dezky_api::Sources;
use dezky_audit::{AuditLog, SystemClock, SystemRandomness};
use dezky_audit_core::source::stalwart::AllowList;
use dezky_ingest::authentik::{Client, Memory, Poll, PollSettings};
use dezky_ingest::bus::{Bus, BusSettings};
use dezky_ingest::stalwart::{Emptying, Inbox, InboxLimits, StalwartIntake, WebhookKey};
use dezky_ingest::tail::FileTail;
use dezky_ingest::{Delivery, Health, Pace, Worker};
use dezky_platform::Platform;

/// How often the tenants and users of other processes are looked up.
const REFRESH: Duration = Duration::from_secs(30);
/// How often an inbox is looked into that nobody has said has something.
const INBOX: Duration = Duration::from_secs(60);

/// What is read, and how.
#[derive(Default)]
pub(crate) struct SourceSettings {
    /// `false` turns all of them off.
    pub(crate) enabled: bool,
    pub(crate) authentik: Option<Arc<Client>>,
    pub(crate) authentik_interval: Duration,
    pub(crate) ocis_file: Option<PathBuf>,
    pub(crate) ocis_interval: Duration,
    /// When it is given the file is not read: the two share no id. Never shown, for it may hold a password.
    pub(crate) ocis_bus: Option<String>,
    /// Never shown.
    pub(crate) stalwart_key: Option<WebhookKey>,
    /// Kinds of events beyond the usual ones.
    pub(crate) stalwart_also: AllowList,
}

impl std::fmt::Debug for SourceSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceSettings").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

/// Running workers.
pub(crate) struct Workers {
    workers: Vec<Worker>,
    refreshing: tokio::task::JoinHandle<()>,
}

/// Starts what is configured.
pub(crate) async fn start(
    settings: SourceSettings,
    log: &AuditLog,
    platform: &Platform,
    dir: &Path,
) -> anyhow::Result<(Sources, Workers)> {
    let mut sources = Sources::default();
    let mut workers = Vec::new();
    if let Err(error) = platform.refresh_directory().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "tenants are not known yet; events are on the log's own timeline"
        );
    }
    let delivery = |health: &Health| Delivery::new(log.clone(), platform.directory(), Arc::new(SystemClock), health.clone());
    if settings.enabled {
        let health = Health::new("stalwart");
        let inbox = Inbox::open(dir.join("inbox"), InboxLimits::default()).context("the inbox for webhooks cannot be used")?;
        let (emptied, own, allow) = (Arc::clone(&inbox), delivery(&health), Arc::new(settings.stalwart_also));
        let make = move || {
            let work = Emptying::new(own.clone(), Arc::clone(&emptied), Arc::clone(&allow));
            async move { Ok(work) }
        };
        // Each process has an inbox of its own.
        let worker = Worker::spawn_own(delivery(&health), Arc::new(SystemRandomness), Pace::every(INBOX), make);
        sources.stalwart = Some(StalwartIntake::new(settings.stalwart_key, inbox, worker.waker()));
        sources.health.push(health);
        workers.push(worker);
    }
    if let Some(client) = settings.authentik.filter(|_| settings.enabled) {
        let health = Health::new("authentik");
        let (own, memory) = (delivery(&health), Memory::default());
        let make = move || Poll::resume(own.clone(), Arc::clone(&client), PollSettings::default(), memory.clone());
        let pace = Pace::every(settings.authentik_interval);
        workers.push(Worker::spawn(delivery(&health), Arc::new(SystemRandomness), pace, make));
        sources.health.push(health);
    }
    let by_bus = settings.ocis_bus.is_some();
    if let Some(url) = settings.ocis_bus.filter(|_| settings.enabled) {
        let health = Health::new("ocis");
        let (own, bus) = (delivery(&health), Arc::new(BusSettings { url, user_and_password: None }));
        let make = move || {
            let (own, bus) = (own.clone(), Arc::clone(&bus));
            async move { Bus::resume(own, &bus).await }
        };
        let pace = Pace::every(settings.ocis_interval);
        workers.push(Worker::spawn(delivery(&health), Arc::new(SystemRandomness), pace, make));
        sources.health.push(health);
    }
    if let Some(path) = settings.ocis_file.filter(|_| settings.enabled && !by_bus) {
        let health = Health::new("ocis");
        let own = delivery(&health);
        let make = move || FileTail::resume(own.clone(), path.clone());
        let pace = Pace::every(settings.ocis_interval);
        workers.push(Worker::spawn(delivery(&health), Arc::new(SystemRandomness), pace, make));
        sources.health.push(health);
    }
    Ok((sources, Workers { workers, refreshing: refresh(platform.clone()) }))
}

fn refresh(platform: Platform) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(REFRESH).await;
            if let Err(error) = platform.refresh_directory().await {
                tracing::debug!(error = &error as &dyn std::error::Error, "tenants could not be looked up");
            }
        }
    })
}

impl Workers {
    /// Ends them, each behind what is durable.
    pub(crate) async fn stop(self) {
        self.refreshing.abort();
        for worker in self.workers {
            worker.stop().await;
        }
    }
}
