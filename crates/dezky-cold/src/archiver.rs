//! The archiver: what is old enough leaves hot storage, batch by batch.
//!
//! For each batch, in this order: the intent is written down; the events object is put; it is read back; the manifest is signed,
//! put, read back, and both are verified; the batch is recorded in the store; the event `audit.archived` is recorded; only then
//! the events are deleted from hot storage. A run that was cut off after any of these steps is finished by the next one, which
//! finds out by looking how far it got: an object that lies there already is read back and adopted.

mod cut;
mod facts;
mod lay;
mod report;
mod tenure;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dezky_audit::{AuditLog, Clock, StoreError};
use dezky_audit_core::ids::Seq;
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::Trust;
use dezky_store::{BatchRecord, Intent, Store};
use tokio::sync::Mutex;

use crate::checkpoints::keep_checkpoint;
use crate::depot::Depot;
use crate::document::BatchDocument;
use crate::runs::LastRun;

pub(crate) use facts::{Before, Facts};
pub use report::{ArchiveError, ArchiveReport, Archived, Left, Times};

use cut::{Cut, Manner};
use tenure::Tenure;

/// The name of the archiver of a store that nobody shares.
const ALONE: &str = "archiver";

/// How large a batch may be. It has at least one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub events: u64,
    /// Of its lines, each with its LF.
    pub bytes: u64,
}

impl Default for Limits {
    /// 50,000 events or 32 MiB.
    fn default() -> Self {
        Self { events: 50_000, bytes: 32 << 20 }
    }
}

/// What is archived, and how.
#[derive(Debug, Clone)]
pub struct ArchiveConfig {
    /// What was recorded longer ago than this leaves hot storage; zero: everything does.
    pub retention: Duration,
    pub limits: Limits,
    /// The folder of temporary files without a name: one of the size of a packed batch.
    pub scratch: PathBuf,
}

impl Default for ArchiveConfig {
    /// 90 days; temporary files where the system has them.
    fn default() -> Self {
        Self { retention: Duration::from_secs(90 * 24 * 3_600), limits: Limits::default(), scratch: std::env::temp_dir() }
    }
}

/// Archives one log into one depot.
pub struct Archiver {
    log: AuditLog,
    depot: Arc<dyn Depot>,
    clock: Arc<dyn Clock>,
    config: ArchiveConfig,
    trust: Trust,
    /// Its name among the archivers of all processes.
    holder: String,
    turn: Mutex<()>,
}

/// The document of an [`Intent`].
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    /// What the manifest will say.
    created_at: String,
}

impl Archiver {
    /// # Errors
    /// When there is no randomness to be had for its name.
    pub fn new(log: AuditLog, depot: Arc<dyn Depot>, clock: Arc<dyn Clock>, config: ArchiveConfig) -> Result<Self, ArchiveError> {
        let mut bits = [0; 8];
        getrandom::fill(&mut bits).map_err(|_| ArchiveError::Random)?;
        let holder = format!("archiver-{}-{:016x}", std::process::id(), u64::from_be_bytes(bits));
        let trust = Trust::new(Some(log.origin().clone()), log.key_ring().clone(), None);
        let trust = trust.map_err(|error| ArchiveError::Memory { what: error.to_string() })?;
        Ok(Self { log, depot, clock, config, trust, holder, turn: Mutex::new(()) })
    }

    /// The same for a store that only one process at a time can have open: its archivers share one name, so that the next
    /// process need not wait for the lease of one that was killed.
    #[must_use]
    pub fn alone(mut self) -> Self {
        ALONE.clone_into(&mut self.holder);
        self
    }

    pub fn log(&self) -> &AuditLog {
        &self.log
    }

    pub fn depot(&self) -> &Arc<dyn Depot> {
        &self.depot
    }

    pub fn config(&self) -> &ArchiveConfig {
        &self.config
    }

    /// Archives what is old enough now, and finishes what an earlier run had begun.
    ///
    /// # Errors
    /// See [`ArchiveError`]. What was done before the error stays done.
    pub async fn run(&self) -> Result<ArchiveReport, ArchiveError> {
        let _turn = self.turn.try_lock().map_err(|_| ArchiveError::Running)?;
        let tenure = Tenure::take(self.store(), &*self.clock, &self.holder).await?;
        let began = self.clock.now();
        let mut report = ArchiveReport::default();
        let result = self.work(&tenure, &mut report).await;
        tenure.end().await;
        LastRun::new(began, self.clock.now(), &report, result.as_ref().err()).keep(self.store()).await;
        result.map(|()| report)
    }

    /// Whether a run of this process is under way.
    pub fn is_running(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    fn store(&self) -> &dyn Store {
        &**self.log.store()
    }

    async fn work(&self, tenure: &Tenure<'_>, report: &mut ArchiveReport) -> Result<(), ArchiveError> {
        let store = self.store();
        report.expired = store.expire_restored(self.clock.now()).await?;
        self.finish_recorded(tenure, report).await?;
        if let Some(intent) = store.archive_intent().await? {
            let border = store.hot().await?.border;
            if intent.end > border {
                report.batches.push(self.archive(tenure, border, intent.end, Some(&intent)).await?);
            }
            store.set_archive_intent(None, tenure.renewed().await?).await?;
        }
        let (target, left) = self.select().await?;
        report.left = left;
        if target > store.hot().await?.border
            && let Some(newest) = store.latest_checkpoint().await?
        {
            // A manifest is signed under what is published, and with archives it is published when it lies there too.
            keep_checkpoint(&*self.depot, &newest).await?;
        }
        loop {
            let border = store.hot().await?.border;
            if border >= target {
                return Ok(());
            }
            report.batches.push(self.archive(tenure, border, target, None).await?);
            store.set_archive_intent(None, tenure.renewed().await?).await?;
        }
    }

    /// The last event that is to leave: recorded long enough ago, and under a published checkpoint.
    async fn select(&self) -> Result<(u64, Left), ArchiveError> {
        let store = self.store();
        let (size, border) = (store.head().await?.size, store.hot().await?.border);
        let old = if self.config.retention.is_zero() {
            size
        } else {
            let retention = u64::try_from(self.config.retention.as_millis()).unwrap_or(u64::MAX);
            let before = self.clock.now().unix_ms().checked_sub(retention).and_then(Timestamp::from_unix_ms);
            match before {
                Some(before) => store.last_recorded_before(before).await?.map_or(border, Seq::get),
                None => border,
            }
        };
        let signed = store.latest_checkpoint().await?.map_or(0, |record| record.size);
        let target = old.min(signed).max(border);
        Ok((target, Left { too_young: size.saturating_sub(old), not_checkpointed: old.saturating_sub(target) }))
    }

    /// Batches that are recorded, and not deleted from hot storage yet.
    async fn finish_recorded(&self, tenure: &Tenure<'_>, report: &mut ArchiveReport) -> Result<(), ArchiveError> {
        let store = self.store();
        loop {
            let (size, border) = (store.head().await?.size, store.hot().await?.border);
            if border >= size {
                return Ok(());
            }
            let Some(record) = store.batches(border + 1..=size, 1).await?.into_iter().next() else { return Ok(()) };
            report.batches.push(self.finish(tenure, &record, Times::default(), true).await?);
        }
    }

    /// Takes the next batch out of hot storage: the intended one, or one cut anew that ends at `last` at most.
    async fn archive(
        &self,
        tenure: &Tenure<'_>,
        border: u64,
        last: u64,
        intent: Option<&Intent>,
    ) -> Result<Archived, ArchiveError> {
        let began = Instant::now();
        let store = self.store();
        if let Some(intent) = intent.filter(|intent| intent.start != border + 1) {
            let what =
                format!("the batch {} to {} was intended, but hot storage begins at {}", intent.start, intent.end, border + 1);
            return Err(ArchiveError::Memory { what });
        }
        let before = self.before(border).await?;
        // Before it is asked whether it takes parts.
        self.depot.ready().await?;
        let limits = if intent.is_some() { Limits { events: u64::MAX, bytes: u64::MAX } } else { self.config.limits };
        let manner = Manner { limits, withheld: self.depot.withholds(), scratch: &self.config.scratch };
        let cut = cut::cut(store, before, last, manner).await?;
        let cutting = began.elapsed();
        let fence = tenure.renewed().await?;
        let created_at = match intent {
            Some(intent) => planned_time(intent)?,
            None => self.intend(border + 1, &cut, fence).await?,
        };
        let began = Instant::now();
        let (document, adopted) = self.lay(&cut, created_at).await?;
        let record =
            document.record().ok_or_else(|| ArchiveError::Memory { what: "a batch cannot be written down".to_owned() })?;
        store.put_batch(&record, tenure.renewed().await?).await?;
        let times = Times { cut: cutting, confirm: began.elapsed(), delete: Duration::ZERO };
        self.finish(tenure, &record, times, adopted).await
    }

    /// Writes down what is about to be put, with the time that its manifest will have.
    async fn intend(&self, start: u64, cut: &Cut, fence: &dezky_store::Fence) -> Result<Timestamp, ArchiveError> {
        let created_at = self.clock.now();
        let plan = Plan { created_at: created_at.to_string() };
        let document = serde_json::to_string(&plan).map_err(|error| ArchiveError::Memory { what: error.to_string() })?;
        let intent = Intent { start, end: cut.facts.end(), document };
        self.store().set_archive_intent(Some(&intent), fence).await?;
        Ok(created_at)
    }

    /// Records the event of a recorded batch, and deletes its events from hot storage.
    async fn finish(
        &self,
        tenure: &Tenure<'_>,
        record: &BatchRecord,
        times: Times,
        adopted: bool,
    ) -> Result<Archived, ArchiveError> {
        let document = BatchDocument::read(record).ok_or_else(|| unreadable(record))?;
        let notice = dezky_audit::ArchivedBatch {
            archived_at: document.archived_at,
            start: document.start_seq,
            end: document.end_seq,
            revision: document.revision,
            manifest_sha256: document.manifest_sha256,
            jsonl_key: document.jsonl_key.clone(),
            manifest_key: document.manifest_key.clone(),
            bytes_uncompressed: document.bytes_uncompressed,
        };
        self.log.record_archived(&notice).await.map_err(ArchiveError::Record)?;
        let began = Instant::now();
        self.store().delete_prefix(&record.id, tenure.renewed().await?).await?;
        let archived = Archived {
            start: document.start_seq,
            end: document.end_seq,
            revision: document.revision,
            bytes: document.bytes_uncompressed,
            gzip_bytes: document.gzip_bytes,
            gzip_sha256: document.gzip_sha256,
            manifest_sha256: document.manifest_sha256,
            jsonl_key: document.jsonl_key,
            manifest_key: document.manifest_key,
            archived_at: document.archived_at,
            adopted,
            times: Times { delete: began.elapsed(), ..times },
        };
        tracing::info!(start = archived.start, end = archived.end, bytes = archived.bytes, adopted, "a batch was archived");
        Ok(archived)
    }

    /// Where the batch behind `border` begins, as the store's tiles and the batch before it tell.
    async fn before(&self, border: u64) -> Result<Before, ArchiveError> {
        let tree = self.log.tree_at(border).await?;
        if border == 0 {
            return Ok(Before { tree, hash: self.log.origin().genesis(), link: None });
        }
        let previous = self.store().batches(border..=border, 1).await?.into_iter().next();
        let previous = previous.filter(|record| record.id.end == border).ok_or_else(|| ArchiveError::Memory {
            what: format!("hot storage begins behind {border}, but no batch that ends there is remembered"),
        })?;
        let document = BatchDocument::read(&previous).ok_or_else(|| unreadable(&previous))?;
        Ok(Before { tree, hash: document.head_hash, link: Some(document.link) })
    }
}

fn planned_time(intent: &Intent) -> Result<Timestamp, ArchiveError> {
    let plan: Option<Plan> = serde_json::from_str(&intent.document).ok();
    plan.and_then(|plan| plan.created_at.parse().ok()).ok_or_else(|| ArchiveError::Memory {
        what: format!("what is remembered of the intended batch {} to {} cannot be read", intent.start, intent.end),
    })
}

fn unreadable(record: &BatchRecord) -> ArchiveError {
    ArchiveError::Store(StoreError::Corrupt {
        what: format!("the record of the batch {} to {}", record.id.start, record.id.end),
        source: None,
    })
}
