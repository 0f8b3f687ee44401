//! Cold storage as a service holds it: one archiver with its daily worker, the way back, and the log read through both tiers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dezky_audit::{AuditLog, CheckpointRecord, Clock, OpenError, Reason, StoreError, Verification};
use dezky_audit_core::time::Timestamp;
use dezky_store::Store;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::archiver::{ArchiveConfig, ArchiveError, ArchiveReport, Archiver};
use crate::depot::Depot;
use crate::document::BatchDocument;
use crate::keeper::{KeepError, Keeper};
use crate::restore::{RestoreError, restore};
use crate::runs::LastRun;
use crate::timeline::{Timeline, TimelineConfig};
use crate::verify::{ArchiveVerifyError, Progress, verify_all};
use crate::worker::{Worker, last_day, next_run};

/// So long the end waits for the last checkpoint to be published.
const LAST: Duration = Duration::from_secs(10);

/// How cold storage is run.
#[derive(Debug, Clone)]
pub struct ColdConfig {
    pub archive: ArchiveConfig,
    /// Whether no other process can have the store open (see [`Archiver::alone`]).
    pub alone: bool,
    /// Whether the worker runs the archiver by itself.
    pub daily: bool,
    /// From which hour of the day on, UTC.
    pub hour: u8,
    /// The most bytes of unpacked batches that are kept for lists.
    pub cache_bytes: u64,
}

/// Cold storage of one log. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Cold(Arc<Parts>);

struct Parts {
    archiver: Arc<Archiver>,
    timeline: Timeline,
    keeper: Arc<Keeper>,
    clock: Arc<dyn Clock>,
    daily: bool,
    hour: u8,
    scratch: PathBuf,
    stop: watch::Sender<bool>,
    /// What must have ended before the log is closed.
    tasks: Mutex<Vec<JoinHandle<()>>>,
    verifying: Arc<tokio::sync::Mutex<()>>,
    figures: Mutex<Option<Figures>>,
}

/// How archiving stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where archives lie, for people.
    pub place: String,
    pub daily: bool,
    pub hour: u8,
    pub retention_days: u64,
    /// Whether a run of this process is under way.
    pub running: bool,
    /// The last run, of whichever process.
    pub last: Option<LastRun>,
    /// When the worker runs next; `None` when it never does.
    pub next: Option<Timestamp>,
    /// Why checkpoints are not published beside the archives now.
    pub trouble: Option<String>,
}

/// How much is where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    pub hot_events: u64,
    /// Archived events that are back in hot storage for a while.
    pub restored_events: u64,
    pub archived_batches: u64,
    pub archived_events: u64,
    /// Of their lines.
    pub archived_bytes: u64,
    /// Of their objects.
    pub archived_gzip_bytes: u64,
    /// When the last run ended, and whether it did what was to be done.
    pub last_run: Option<(Timestamp, bool)>,
}

/// Who watches a verification; it ends when they go.
struct Watcher(Arc<Progress>);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Cold {
    /// Starts to publish checkpoints and tiles, and the worker, if there is to be one, on the current runtime.
    ///
    /// # Errors
    /// As [`Archiver::new`].
    pub fn start(log: AuditLog, depot: Arc<dyn Depot>, clock: Arc<dyn Clock>, config: ColdConfig) -> Result<Self, ArchiveError> {
        let scratch = config.archive.scratch.clone();
        let reading = TimelineConfig { scratch: scratch.clone(), cache_bytes: config.cache_bytes };
        let timeline = Timeline::new(log.clone(), Arc::clone(&depot), reading);
        let keeper = Arc::new(Keeper::new(log.clone(), Arc::clone(&depot), Arc::clone(&clock), timeline.clone()));
        let archiver = Archiver::new(log, depot, Arc::clone(&clock), config.archive)?;
        let archiver = Arc::new(if config.alone { archiver.alone() } else { archiver });
        let cold = Self(Arc::new(Parts {
            archiver,
            timeline,
            keeper,
            clock,
            daily: config.daily,
            hour: config.hour,
            scratch,
            stop: watch::Sender::new(false),
            tasks: Mutex::default(),
            verifying: Arc::default(),
            figures: Mutex::default(),
        }));
        cold.keep(tokio::spawn(Arc::clone(&cold.0.keeper).run(cold.0.stop.subscribe())));
        if config.daily {
            let worker = Worker::new(Arc::clone(&cold.0.archiver), Arc::clone(&cold.0.clock), config.hour);
            cold.keep(tokio::spawn(worker.run(cold.0.stop.subscribe())));
        }
        Ok(cold)
    }

    /// The log through both its tiers.
    pub fn timeline(&self) -> &Timeline {
        &self.0.timeline
    }

    pub fn depot(&self) -> &Arc<dyn Depot> {
        self.0.archiver.depot()
    }

    /// Archives what is old enough now, whether the worker would or not. Dropping the future does not end the run.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub async fn run(&self) -> Result<ArchiveReport, ArchiveError> {
        if self.0.archiver.log().awaits_comparison() {
            self.0.keeper.compare().await.map_err(|error| ArchiveError::NotCompared(Box::new(error)))?;
        }
        let archiver = Arc::clone(&self.0.archiver);
        let (answer, answered) = oneshot::channel();
        // Nobody may be left to hear of it.
        self.keep(tokio::spawn(async move { drop(answer.send(archiver.run().await)) }));
        answered.await.map_err(|_| ArchiveError::Ending)?
    }

    /// Publishes a checkpoint beside the archives, durable on return.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub async fn publish(&self, record: &CheckpointRecord) -> Result<(), KeepError> {
        self.0.keeper.keep(record).await
    }

    /// Ends when the depot was found to hold a checkpoint that this log cannot have signed, as opening the log would have found had
    /// the depot been there: why. The log must not go on then; whoever holds it ends.
    pub async fn refused(&self) -> Arc<OpenError> {
        self.0.keeper.refused().await
    }

    /// How archiving stands.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn status(&self) -> Result<Status, StoreError> {
        let store = self.store();
        let next = if self.0.daily { Some(next_run(self.0.clock.now(), self.0.hour, last_day(store).await?)) } else { None };
        Ok(Status {
            place: self.depot().place(),
            daily: self.0.daily,
            hour: self.0.hour,
            retention_days: self.0.archiver.config().retention.as_secs() / (24 * 3_600),
            running: self.0.archiver.is_running(),
            last: LastRun::read(store).await?,
            next,
            trouble: self.0.keeper.trouble(),
        })
    }

    /// The batches that begin before `before`, the newest first, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn batches(&self, before: u64, limit: usize) -> Result<Vec<BatchDocument>, StoreError> {
        let mut documents = Vec::new();
        for start in self.0.timeline.starts(before, limit).await? {
            documents.extend(self.batch(start).await?);
        }
        Ok(documents)
    }

    /// The batch that begins at `start`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn batch(&self, start: u64) -> Result<Option<BatchDocument>, StoreError> {
        let record = self.store().batches(start..=start, 1).await?.into_iter().next();
        let Some(record) = record.filter(|record| record.id.start == start) else { return Ok(None) };
        let unreadable = || StoreError::Corrupt { what: format!("the record of the batch that begins at {start}"), source: None };
        BatchDocument::read(&record).map(Some).ok_or_else(unreadable)
    }

    /// Puts the batch that begins at `start` back into hot storage until a time; returns how many events it has.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub async fn restore(&self, start: u64, until: Timestamp) -> Result<u64, RestoreError> {
        let log = self.0.archiver.log();
        restore(log, &**self.depot(), start, until, self.0.clock.now(), &self.0.scratch).await
    }

    /// Verifies both tiers up to a fresh checkpoint (a store that is not signed for, up to its end), and keeps the result as a verification run. It goes on when the future is
    /// dropped.
    ///
    /// # Errors
    /// Only when it could not look. One such verification runs at a time.
    pub async fn verify(&self, max_findings: usize) -> Result<Verification, ArchiveVerifyError> {
        self.verifying(max_findings, Arc::default()).await
    }

    /// The same for somebody who watches, and who ends it by dropping the future.
    ///
    /// # Errors
    /// As [`Cold::verify`].
    pub async fn verify_watched(&self, max_findings: usize, progress: Arc<Progress>) -> Result<Verification, ArchiveVerifyError> {
        let watcher = Watcher(Arc::clone(&progress));
        let verified = self.verifying(max_findings, progress).await;
        drop(watcher);
        verified
    }

    /// Whether a verification through the archives is under way in this process.
    pub fn is_verifying(&self) -> bool {
        self.0.verifying.try_lock().is_err()
    }

    async fn verifying(&self, max_findings: usize, progress: Arc<Progress>) -> Result<Verification, ArchiveVerifyError> {
        let turn = Arc::clone(&self.0.verifying).try_lock_owned().map_err(|_| ArchiveVerifyError::Running)?;
        let (cold, (answer, answered)) = (self.clone(), oneshot::channel());
        self.keep(tokio::spawn(async move {
            let found = cold.look(max_findings, progress).await;
            // Whoever hears of it may begin the next one.
            drop(turn);
            drop(answer.send(found));
        }));
        answered.await.map_err(|_| ArchiveVerifyError::Ending)?
    }

    async fn look(&self, max_findings: usize, progress: Arc<Progress>) -> Result<Verification, ArchiveVerifyError> {
        let log = self.0.archiver.log();
        // Everything up to a fresh checkpoint; when the store is not signed for, everything that it says it has.
        let end = match log.checkpoint(Reason::Manual).await {
            Ok(record) => record.size,
            Err(_) => self.store().head().await?.size,
        };
        let now = self.0.clock.now();
        let report = verify_all(log, Arc::clone(self.depot()), end, now, max_findings, progress).await?;
        log.keep_verification(report).await.map_err(ArchiveVerifyError::Kept)
    }

    /// How much is where now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn figures(&self) -> Result<Figures, StoreError> {
        let store = self.store();
        let (head, hot) = (store.head().await?, store.hot().await?);
        let totals = self.0.timeline.totals().await?;
        let restored_events = hot.restored.iter().map(|restored| restored.range.end() + 1 - restored.range.start()).sum();
        let figures = Figures {
            hot_events: head.size.saturating_sub(hot.border) + restored_events,
            restored_events,
            archived_batches: totals.batches,
            archived_events: totals.events,
            archived_bytes: totals.bytes,
            archived_gzip_bytes: totals.gzip_bytes,
            last_run: LastRun::read(store).await?.map(|run| (run.ended, run.error.is_none())),
        };
        *self.0.figures.lock().unwrap_or_else(PoisonError::into_inner) = Some(figures);
        Ok(figures)
    }

    /// The figures as they were asked for last.
    pub fn known_figures(&self) -> Option<Figures> {
        *self.0.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the worker, publishes a last checkpoint, and waits for what was begun. Call it before the log is shut down.
    pub async fn stop(&self) {
        let last = async {
            if !self.0.archiver.log().awaits_comparison()
                && let Ok(record) = self.0.archiver.log().checkpoint(Reason::Manual).await
                && let Err(error) = self.publish(&record).await
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the last checkpoint is not published beside the archives"
                );
            }
        };
        if tokio::time::timeout(LAST, last).await.is_err() {
            tracing::warn!("the last checkpoint is not published beside the archives: no time was left");
        }
        self.0.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of cold storage has failed");
            }
        }
    }

    fn keep(&self, task: JoinHandle<()>) {
        let mut tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    fn store(&self) -> &dyn Store {
        &**self.0.archiver.log().store()
    }
}
