//! What is published beside the archives while the log is open: checkpoints as they are signed, and the tree's tiles as they fill.
//!
//! Before anything is, the newest checkpoint that lies there is compared with the log, as its opening would have done. A log that was
//! opened without that, because the depot was away, signs nothing until then; one that turns out to disagree is refused then.

use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{AuditLog, CheckpointRecord, Clock, KnownCheckpoint, OpenError, StoreError, chain};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::checkpoints::{keep_checkpoint, newest_checkpoint};
use crate::depot::{Depot, DepotError};
use crate::tiles::{self, PublishError};
use crate::timeline::Timeline;

/// Checkpoints that nobody asked for are kept no more often than this; after a failure it is tried again as late.
const PAUSE: Duration = Duration::from_secs(60);
/// How often a depot is asked again that was away when the log was opened: nothing is signed meanwhile.
const AGAIN: Duration = Duration::from_secs(2);

/// Why nothing is published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    #[error("the depot could not be read or written")]
    Depot(#[from] DepotError),
    #[error("the store could not be read")]
    Store(#[source] StoreError),
    /// Somebody else has signed more of this log than the store has, or something else.
    #[error("the depot holds a checkpoint that this log cannot have signed; stop this process, and compare")]
    Disagrees(#[source] Arc<OpenError>),
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
    /// Why nothing is published now, for people.
    trouble: watch::Sender<Option<String>>,
    /// Why this log must not go on.
    refused: watch::Sender<Option<Arc<OpenError>>>,
}

impl Keeper {
    pub(crate) fn new(log: AuditLog, depot: Arc<dyn Depot>, clock: Arc<dyn Clock>, timeline: Timeline) -> Self {
        let (trouble, refused) = (watch::Sender::new(None), watch::Sender::new(None));
        Self { log, depot, clock, timeline, compared: tokio::sync::Mutex::new(false), trouble, refused }
    }

    /// Why nothing is published now.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Ends when the log turned out not to agree with what lies in the depot: why.
    pub(crate) async fn refused(&self) -> Arc<OpenError> {
        let mut refused = self.refused.subscribe();
        loop {
            if let Some(why) = refused.borrow_and_update().clone() {
                return why;
            }
            // The sender lives as long as this.
            drop(refused.changed().await);
        }
    }

    /// Keeps a checkpoint in the depot, if that agrees with the log.
    pub(crate) async fn keep(&self, record: &CheckpointRecord) -> Result<(), KeepError> {
        self.compare().await?;
        keep_checkpoint(&*self.depot, record).await?;
        Ok(())
    }

    /// Once: a depot that was away when the log was opened is compared when it is back.
    pub(crate) async fn compare(&self) -> Result<(), KeepError> {
        let mut compared = self.compared.lock().await;
        if *compared {
            return Ok(());
        }
        self.depot.ready().await?;
        let newest = newest_checkpoint(&*self.depot, self.clock.now()).await?;
        let known =
            newest.map(|newest| KnownCheckpoint { note: newest.note, from: format!("{} in {}", newest.key, self.depot.place()) });
        match self.log.compare(known.as_ref()).await {
            Ok(()) => *compared = true,
            Err(OpenError::Store(error)) => return Err(KeepError::Store(error)),
            Err(error) => {
                let error = Arc::new(error);
                self.refused.send_replace(Some(Arc::clone(&error)));
                return Err(KeepError::Disagrees(error));
            }
        }
        Ok(())
    }

    /// The same, of a log that waits for it, until it is done.
    async fn compare_at_last(&self) {
        let mut told = None;
        while self.log.awaits_comparison() {
            let Err(error) = self.compare().await else {
                self.trouble.send_replace(None);
                tracing::info!("the checkpoints beside the archives are compared: the log is signed again");
                return;
            };
            self.trouble.send_replace(Some(chain(&error)));
            if told.is_none_or(|at: Instant| at.elapsed() >= PAUSE) {
                told = Some(Instant::now());
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "nothing is signed until the checkpoints beside the archives could be compared; events are recorded"
                );
            }
            if matches!(error, KeepError::Disagrees(_)) {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Publishes until `stop` is true or its sender is gone.
    pub(crate) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.compare_at_last() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
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
                        Ok(()) => {
                            published = Some(record.size);
                            self.trouble.send_replace(None);
                        }
                        Err(error) => {
                            self.trouble.send_replace(Some(chain(&error)));
                            tracing::error!(
                                error = &error as &dyn std::error::Error,
                                "a checkpoint is not published beside the archives; it is tried again"
                            );
                        }
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
