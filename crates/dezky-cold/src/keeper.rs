//! What is published beside the archives while the log is open: checkpoints as they are signed, and the tree's tiles as they fill.

use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{AuditLog, CheckpointRecord, Clock, KnownCheckpoint, OpenError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::checkpoints::{keep_checkpoint, newest_checkpoint};
use crate::depot::{Depot, DepotError};
use crate::tiles::{self, PublishError};
use crate::timeline::Timeline;

/// Checkpoints that nobody asked for are kept no more often than this; after a failure it is tried again as late.
const PAUSE: Duration = Duration::from_secs(60);

/// Why nothing is published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    #[error("the depot could not be read or written")]
    Depot(#[from] DepotError),
    /// Somebody else has signed more of this log than the store has, or something else.
    #[error("the depot holds a checkpoint that this log cannot have signed; stop this process, and compare")]
    Disagrees(#[source] Box<OpenError>),
    #[error("the tree's tiles could not be published")]
    Tiles(#[from] PublishError),
}

pub(crate) struct Keeper {
    pub(crate) log: AuditLog,
    pub(crate) depot: Arc<dyn Depot>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeline: Timeline,
    /// Whether the newest checkpoint of the depot was compared with the log.
    compared: tokio::sync::Mutex<bool>,
}

impl Keeper {
    pub(crate) fn new(log: AuditLog, depot: Arc<dyn Depot>, clock: Arc<dyn Clock>, timeline: Timeline) -> Self {
        Self { log, depot, clock, timeline, compared: tokio::sync::Mutex::new(false) }
    }

    /// Keeps a checkpoint in the depot, if that agrees with the log.
    pub(crate) async fn keep(&self, record: &CheckpointRecord) -> Result<(), KeepError> {
        self.compare().await?;
        keep_checkpoint(&*self.depot, record).await?;
        Ok(())
    }

    /// Once: a depot that was away when the log was opened is compared when it is back.
    async fn compare(&self) -> Result<(), KeepError> {
        let mut compared = self.compared.lock().await;
        if !*compared {
            if let Some(newest) = newest_checkpoint(&*self.depot, self.clock.now()).await? {
                let from = format!("{} in {}", newest.key, self.depot.place());
                let known = KnownCheckpoint { note: newest.note, from };
                self.log.agrees_with(&known).await.map_err(|error| KeepError::Disagrees(Box::new(error)))?;
            }
            *compared = true;
        }
        Ok(())
    }

    /// Publishes until `stop` is true or its sender is gone.
    pub(crate) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut newest = self.log.checkpoints();
        // The size up to which everything is published.
        let mut published = None;
        let mut not_before = Instant::now();
        loop {
            let record = newest.borrow_and_update().clone();
            let news = record.filter(|record| published.is_none_or(|size| size < record.size));
            let wait = match news {
                None => None,
                Some(record) if record.reason == "manual" || not_before <= Instant::now() => {
                    match self.publish(&record, &stop).await {
                        Ok(()) => published = Some(record.size),
                        Err(error) => tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "a checkpoint is not published beside the archives; it is tried again"
                        ),
                    }
                    not_before = Instant::now() + PAUSE;
                    None
                }
                Some(_) => Some(not_before),
            };
            let due = wait.unwrap_or_else(|| Instant::now() + PAUSE);
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                changed = newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }

    async fn publish(&self, record: &CheckpointRecord, stop: &watch::Receiver<bool>) -> Result<(), KeepError> {
        self.keep(record).await?;
        tiles::publish(&self.log, &*self.depot, &self.timeline, record.size, stop).await?;
        Ok(())
    }
}
