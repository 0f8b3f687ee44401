//! From the outbox to the log: in order, each event once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{AuditLog, Draft, RecordError};
use dezky_audit_core::event::Door;
use dezky_store::{OutboxEntry, StoreError};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// How long a change waits for its event to be in the log.
pub const RELAY_TIME: Duration = Duration::from_secs(1);
/// How often the relay looks for what other processes, or its own failures, have left.
const PATIENCE: Duration = Duration::from_secs(5);
/// Entries that are recorded together.
const BATCH: usize = 500;

pub(crate) struct Relay {
    log: AuditLog,
    /// One relays at a time. The entries that the log will never take; tried again after the next start.
    stuck: Mutex<BTreeSet<u64>>,
}

/// Why the outbox could not be emptied now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    #[error("the outbox could not be used")]
    Store(#[from] StoreError),
    #[error("the log does not take events now")]
    Record(#[from] RecordError),
}

impl Relay {
    pub(crate) fn new(log: AuditLog) -> Self {
        Self { log, stuck: Mutex::default() }
    }

    /// Records what is in the outbox, for as long as the log takes it.
    pub(crate) async fn drain(&self) -> Result<(), RelayError> {
        let mut stuck = self.stuck.lock().await;
        loop {
            let mut entries = self.log.store().outbox(BATCH + stuck.len()).await?;
            entries.retain(|entry| !stuck.contains(&entry.id));
            if entries.is_empty() {
                return Ok(());
            }
            let mut done = Vec::with_capacity(entries.len());
            if let Some(drafts) = entries.iter().map(|entry| parsed(entry).ok()).collect()
                && self.log.record_batch(drafts).await.is_ok()
            {
                done.extend(entries.iter().map(|entry| entry.id));
            } else {
                for entry in &entries {
                    if self.record(entry).await? {
                        done.push(entry.id);
                    } else {
                        stuck.insert(entry.id);
                    }
                }
            }
            self.log.store().ack_outbox(&done).await?;
        }
    }

    /// Records one entry; false when the log will never take it.
    async fn record(&self, entry: &OutboxEntry) -> Result<bool, RecordError> {
        let refusal = match parsed(entry) {
            Ok(draft) => match self.log.record(draft).await {
                Ok(_) => return Ok(true),
                Err(error @ RecordError::Refused(_)) => error.to_string(),
                Err(error) => return Err(error),
            },
            Err(error) => error,
        };
        tracing::error!(entry = entry.id, refusal, "the event of a change cannot be recorded; it stays in the outbox");
        Ok(false)
    }
}

fn parsed(entry: &OutboxEntry) -> Result<Draft, String> {
    Draft::from_json(entry.body.as_bytes(), Door::Caller).map_err(|error| error.to_string())
}

/// The task that relays what nobody waits for.
pub(crate) struct Relaying(JoinHandle<()>);

impl Relaying {
    pub(crate) fn start(relay: Arc<Relay>) -> Self {
        Self(tokio::spawn(async move {
            let mut failing = false;
            loop {
                match relay.drain().await {
                    Ok(()) => failing = false,
                    Err(error) if !std::mem::replace(&mut failing, true) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "events of changes wait in the outbox");
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(PATIENCE).await;
            }
        }))
    }

    pub(crate) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Relaying {
    fn drop(&mut self) {
        self.stop();
    }
}
