//! The workers of the sources that are configured.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use dezky_api::Sources;
use dezky_audit::{AuditLog, Randomness as _, SystemClock, SystemRandomness};
use dezky_audit_core::source::stalwart::AllowList;
use dezky_ingest::authentik::{Client, Groups, Memory, Poll, PollSettings, Sweep};
use dezky_ingest::bus::{Bus, BusSettings};
use dezky_ingest::tail::FileTail;
use dezky_ingest::webhook::{Emptying, Form, Inbox, InboxLimits, Intake, Proof, SignatureKey};
use dezky_ingest::{Delivery, Health, Holders, Pace, Problem, Work, Worker};
use dezky_platform::Platform;
use tokio::sync::Notify;

use crate::settings::GenericSource;

/// How often the tenants and users of other processes are looked up.
const REFRESH: Duration = Duration::from_secs(30);
/// How often it is asked whether a day has passed since the last comparison.
const SWEEP: Duration = Duration::from_secs(600);
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
    /// How far back Authentik is compared with the log, in days; 0: never.
    pub(crate) authentik_sweep: u16,
    pub(crate) authentik_groups: Option<Duration>,
    /// When it is given the file is not read: the two share no id.
    pub(crate) ocis_bus: Option<BusSettings>,
    pub(crate) stalwart_key: Option<SignatureKey>,
    /// Kinds of events beyond the usual ones.
    pub(crate) stalwart_also: AllowList,
    pub(crate) generic: Vec<GenericSource>,
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
    if let Err(error) = platform.refresh_directory().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "tenants are not known yet; events are on the log's own timeline"
        );
    }
    let mut starting = Starting { log, platform, holder: holder(dir)?, sources: Sources::default(), workers: Vec::new() };
    if settings.enabled {
        starting.all(settings, &dir.join("inbox"))?;
    }
    let Starting { sources, workers, .. } = starting;
    Ok((sources, Workers { workers, refreshing: refresh(platform.clone()) }))
}

struct Starting<'a> {
    log: &'a AuditLog,
    platform: &'a Platform,
    holder: Arc<str>,
    sources: Sources,
    workers: Vec<Worker>,
}

impl Starting<'_> {
    fn all(&mut self, settings: SourceSettings, inboxes: &Path) -> anyhow::Result<()> {
        let proof = settings.stalwart_key.map_or(Proof::Place, Proof::Signature);
        // Its bodies lie in the folder itself, those of the others in folders there.
        self.webhook("stalwart", proof, Form::Stalwart(settings.stalwart_also), inboxes)?;
        for GenericSource { mapping, proof } in settings.generic {
            let name = mapping.source().to_string();
            let folder = inboxes.join(&name);
            self.webhook(&name, proof, Form::Generic(Box::new(mapping)), &folder)?;
        }
        self.warn_of_orphans(inboxes);
        if let Some(client) = settings.authentik {
            let memory = Memory::default();
            if settings.authentik_sweep > 0 {
                let (client, days) = (Arc::clone(&client), settings.authentik_sweep);
                self.worker("authentik-sweep", SWEEP, Holders::One(Arc::clone(&self.holder)), move |delivery| {
                    Sweep::resume(delivery, Arc::clone(&client), days)
                });
            }
            if let Some(interval) = settings.authentik_groups {
                let client = Arc::clone(&client);
                self.worker("authentik-groups", interval, Holders::One(Arc::clone(&self.holder)), move |delivery| {
                    Groups::resume(delivery, Arc::clone(&client))
                });
            }
            self.worker("authentik", settings.authentik_interval, Holders::One(Arc::clone(&self.holder)), move |delivery| {
                Poll::resume(delivery, Arc::clone(&client), PollSettings::default(), memory.clone())
            });
        }
        match (settings.ocis_bus, settings.ocis_file) {
            (Some(bus), _) => {
                let bus = Arc::new(bus);
                self.worker("ocis", settings.ocis_interval, Holders::One(Arc::clone(&self.holder)), move |delivery| {
                    let bus = Arc::clone(&bus);
                    async move { Bus::resume(delivery, &bus).await }
                });
            }
            (None, Some(path)) => {
                self.worker("ocis", settings.ocis_interval, Holders::One(Arc::clone(&self.holder)), move |delivery| {
                    FileTail::resume(delivery, path.clone())
                });
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// A source that posts. Each process has an inbox of its own.
    fn webhook(&mut self, name: &str, proof: Proof, form: Form, folder: &Path) -> anyhow::Result<()> {
        let inbox = Inbox::open(folder, InboxLimits::default()).with_context(|| format!("the inbox of {name} cannot be used"))?;
        let (emptied, form) = (Arc::clone(&inbox), Arc::new(form));
        let is_proved_by_place = matches!(proof, Proof::Place);
        let (health, waker) = self.worker(name, INBOX, Holders::All, move |delivery| {
            let work = Emptying::new(delivery, Arc::clone(&emptied), Arc::clone(&form));
            async move { Ok(work) }
        });
        if is_proved_by_place {
            let warning = "no key and no token is set: it takes what comes from this machine, and anybody on it can forge events";
            tracing::warn!(source = name, "{warning}");
            health.warn(warning);
        }
        self.sources.intakes.insert(name.to_owned(), Intake::new(proof, inbox, waker));
        Ok(())
    }

    fn worker<W, M, F>(&mut self, name: &str, interval: Duration, holders: Holders, make: M) -> (Health, Arc<Notify>)
    where
        W: Work + 'static,
        M: Fn(Delivery) -> F + Send + Sync + 'static,
        F: Future<Output = Result<W, Problem>> + Send + 'static,
    {
        let health = Health::new(name);
        let delivery = Delivery::new(self.log.clone(), self.platform.directory(), Arc::new(SystemClock), health.clone());
        let own = delivery.clone();
        let worker =
            Worker::spawn(delivery, Arc::new(SystemRandomness), Pace::every(interval), holders, move || make(own.clone()));
        let waker = worker.waker();
        self.sources.health.push(health.clone());
        self.workers.push(worker);
        (health, waker)
    }

    /// Bodies of a source that is not configured any more would wait for ever.
    fn warn_of_orphans(&self, inboxes: &Path) {
        let Ok(entries) = std::fs::read_dir(inboxes) else { return };
        for folder in entries.flatten().filter(|entry| entry.path().is_dir()) {
            let name = folder.file_name().to_string_lossy().into_owned();
            let has_bodies = || std::fs::read_dir(folder.path()).is_ok_and(|mut bodies| bodies.next().is_some());
            if !self.sources.intakes.contains_key(&name) && has_bodies() {
                tracing::warn!(source = name, "bodies wait in the inbox of a source that is not configured any more");
            }
        }
    }
}

/// Under which name this data folder's process reads sources, the same whenever it is started.
fn holder(dir: &Path) -> anyhow::Result<Arc<str>> {
    let path = dir.join("sources.holder");
    if let Ok(name) = std::fs::read_to_string(&path)
        && name.len() == 32
    {
        return Ok(name.into());
    }
    let mut bits = [0; 16];
    SystemRandomness.fill(&mut bits).ok().context("the system's random number generator does not answer")?;
    let name = format!("{:032x}", u128::from_be_bytes(bits));
    std::fs::write(&path, &name).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(name.into())
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
