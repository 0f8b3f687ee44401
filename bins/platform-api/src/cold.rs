//! Where archives go, and what an operator does with them beside serving.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use dezky_audit::{AuditLog, Clock as _, KnownCheckpoint, SystemClock, chain};
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::Trust;
use dezky_cold::{
    ArchiveConfig, ArchiveReport, Cold, ColdConfig, Depot, DepotError, FolderDepot, Limits, S3Depot, S3Settings,
    newest_checkpoint, restore_all,
};
use dezky_store::Identity;

use crate::backend::Backend;
use crate::data_dir::DataDir;
use crate::settings::Settings;
use crate::wire;

/// Unpacked batches that are kept for lists, in bytes.
const CACHE: u64 = 512 << 20;
/// How long a service waits for its archives before it starts without having compared their checkpoints.
const START: Duration = Duration::from_secs(30);
/// Batches that are listed at once.
const PAGE: usize = 200;

/// How cold storage is run.
#[derive(Debug, Clone)]
pub(crate) struct ColdSettings {
    pub(crate) retention: Duration,
    /// Whether the log lies in a file, which one process at a time has open.
    pub(crate) alone: bool,
    pub(crate) daily: bool,
    pub(crate) hour: u8,
    pub(crate) batch_events: u64,
    /// `None`: in the data folder, unless the log lies in a database, which others share.
    pub(crate) place: Option<Place>,
}

/// Where archives lie.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Folder(PathBuf),
    /// On any server that speaks S3.
    Bucket(Box<S3Settings>),
}

/// The depot that the settings name; `None` where there is no place for archives.
pub(crate) async fn depot(settings: &Settings) -> anyhow::Result<Option<Arc<dyn Depot>>> {
    Ok(match place(settings) {
        None => None,
        Some(Place::Folder(path)) => Some(Arc::new(FolderDepot::open(path).await?)),
        Some(Place::Bucket(settings)) => Some(Arc::new(S3Depot::open(*settings).await?)),
    })
}

/// The depot of a service, with its newest checkpoint among those that the log is compared with.
///
/// Recording does not wait for archives: where they cannot be reached now, the log is opened to be compared later, and nothing is
/// signed until it was. What is wrong with them otherwise is an error here.
pub(crate) async fn of_service(settings: &mut Settings) -> anyhow::Result<Option<Arc<dyn Depot>>> {
    let place = place(settings);
    let depot: Arc<dyn Depot> = match place {
        None => return Ok(None),
        Some(Place::Folder(path)) => Arc::new(FolderDepot::open(path).await?),
        Some(Place::Bucket(bucket)) => Arc::new(S3Depot::connect(*bucket).await?),
    };
    let look = async {
        depot.ready().await?;
        published(&*depot).await
    };
    let trouble = match tokio::time::timeout(START, look).await {
        Ok(Ok(newest)) => {
            settings.log.known_checkpoints.extend(newest);
            return Ok(Some(depot));
        }
        Ok(Err(error)) if error.is_refusal() => return Err(error.into()),
        Ok(Err(error)) => chain(&error),
        Err(_) => format!("{} did not answer within {} s", depot.place(), START.as_secs()),
    };
    settings.log.compare_later = true;
    tracing::error!(
        trouble,
        "the archives cannot be reached: events are recorded, but NOTHING IS SIGNED until the checkpoints that lie there were compared"
    );
    Ok(Some(depot))
}

/// The newest checkpoint beside the archives.
pub(crate) async fn published(depot: &dyn Depot) -> Result<Option<KnownCheckpoint>, DepotError> {
    let newest = newest_checkpoint(depot, SystemClock.now()).await?;
    Ok(newest.map(|newest| KnownCheckpoint { note: newest.note, from: format!("{}: {}", depot.place(), newest.key) }))
}

fn place(settings: &Settings) -> Option<Place> {
    let embedded = || settings.database.is_none().then(|| Place::Folder(settings.data_dir.join("cold")));
    settings.cold.place.clone().or_else(embedded)
}

/// Cold storage of an open log, its worker started where the settings want one.
pub(crate) fn start(log: &AuditLog, depot: Arc<dyn Depot>, settings: &ColdSettings, scratch: &Path) -> anyhow::Result<Cold> {
    let limits = Limits { events: settings.batch_events, ..Limits::default() };
    let archive = ArchiveConfig { retention: settings.retention, limits, scratch: scratch.to_owned() };
    let config = ColdConfig { archive, alone: settings.alone, daily: settings.daily, hour: settings.hour, cache_bytes: CACHE };
    Cold::start(log.clone(), depot, Arc::new(SystemClock), config).context("cold storage could not be started")
}

/// What is asked of the archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Errand {
    Run,
    List,
    /// A batch, by its first event, into hot storage for so many days.
    Restore {
        start: u64,
        days: u64,
    },
    /// All of them into an empty store.
    RestoreAll {
        to: Backend,
    },
}

/// Does it, and says what came of it.
pub(crate) async fn run(errand: &Errand, settings: Settings) -> anyhow::Result<String> {
    let dir = DataDir::claim(&settings.data_dir).context(
        "the data folder cannot be used here; where the service runs, ask it: POST /audit/archive/run, GET /audit/archives",
    )?;
    let depot = depot(&settings).await.context("the archives")?.context(
        "no place for archives is configured: with a database, set AUDIT_COLD_BUCKET, or AUDIT_COLD_DIR to a folder that all processes have",
    )?;
    if let Errand::RestoreAll { to } = errand {
        return rebuild(depot, to, &settings, dir.path()).await;
    }
    let (drain_time, cold) = (settings.http.limits.drain_time, ColdSettings { daily: false, ..settings.cold.clone() });
    let log = wire::open_log(settings, &dir, Some(&depot)).await?;
    let cold = start(&log, depot, &cold, dir.path())?;
    let done = match errand {
        Errand::List => listed(&cold).await,
        Errand::Restore { start, days } => restored(&cold, *start, *days).await,
        Errand::Run | Errand::RestoreAll { .. } => archived(&log, &cold).await,
    };
    cold.stop().await;
    let drained = log.shutdown(drain_time).await;
    anyhow::ensure!(drained.complete || done.is_err(), "the log could not be closed in time");
    done
}

async fn archived(log: &AuditLog, cold: &Cold) -> anyhow::Result<String> {
    log.checkpoint(dezky_audit::Reason::Manual).await.context("no checkpoint could be made")?;
    let report = cold.run().await.context("not everything was archived")?;
    Ok(said(&report, &cold.depot().place()))
}

fn said(report: &ArchiveReport, place: &str) -> String {
    let mut text = format!("archives  {place}\n");
    for batch in &report.batches {
        text.push_str(&format!(
            "archived  {} to {}  {} events, {} bytes in {}\n          sha256 {}\n",
            batch.start,
            batch.end,
            batch.count(),
            batch.gzip_bytes,
            batch.jsonl_key,
            batch.gzip_sha256,
        ));
    }
    let events: u64 = report.batches.iter().map(dezky_cold::Archived::count).sum();
    text.push_str(&format!("events    {events} left hot storage in {} batches\n", report.batches.len()));
    if report.expired > 0 {
        text.push_str(&format!("expired   {} restored events left again\n", report.expired));
    }
    text.push_str(&format!(
        "stay hot  {} too young, {} not under a checkpoint yet\n",
        report.left.too_young, report.left.not_checkpointed
    ));
    text
}

async fn listed(cold: &Cold) -> anyhow::Result<String> {
    let mut text = format!("archives  {}\n", cold.depot().place());
    let mut before = u64::MAX;
    loop {
        let batches = cold.batches(before, PAGE).await?;
        let Some(last) = batches.last() else { return Ok(text) };
        before = last.start_seq;
        for batch in &batches {
            text.push_str(&format!(
                "{}  {} to {}  {} events, {} bytes  manifest {}\n",
                batch.archived_at, batch.start_seq, batch.end_seq, batch.event_count, batch.gzip_bytes, batch.manifest_sha256
            ));
        }
    }
}

async fn restored(cold: &Cold, start: u64, days: u64) -> anyhow::Result<String> {
    let until =
        days.checked_mul(24 * 3_600_000).and_then(|ms| Timestamp::from_unix_ms(SystemClock.now().unix_ms().checked_add(ms)?));
    let until = until.context("so many days end after the year 9999")?;
    let events = cold.restore(start, until).await?;
    Ok(format!("restored  {events} events from {start} on, until {until}\n"))
}

/// The whole log, from the archives alone, into an empty store.
async fn rebuild(depot: Arc<dyn Depot>, to: &Backend, settings: &Settings, dir: &Path) -> anyhow::Result<String> {
    let keys = match &settings.log.shared {
        Some(shared) => shared.ring(),
        None => dezky_audit::folder_keys(&settings.log.keys_dir)?,
    };
    let place = depot.place();
    let origin = dezky_cold::origin_of(&*depot).await?.with_context(|| format!("no archive lies in {place}"))?;
    let store = to.open(Identity::Given(origin.clone())).await.context("the store to restore into")?;
    let trust = Trust::new(Some(origin.clone()), keys, None)?;
    let rebuilt = restore_all(depot, Arc::clone(&store), trust, SystemClock.now(), dir.to_owned()).await;
    store.close().await;
    let rebuilt = rebuilt?;
    let verified = match rebuilt.report.exit_code {
        0 => "the log's keys have signed all of it".to_owned(),
        4 => format!("no key that is known here has signed all of it (signed up to {})", rebuilt.report.authenticated_size),
        _ => anyhow::bail!("the archives do not verify; see dezky-verify archive {place}"),
    };
    Ok(format!(
        "log       {origin}\narchives  {place}\nevents    {}, {} of them written now\nroot      {}\nverified  {} batches; {verified}\n",
        rebuilt.size,
        rebuilt.written,
        rebuilt.root.to_base64(),
        rebuilt.batches
    ))
}
