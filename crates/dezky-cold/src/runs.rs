//! What is remembered of the archiver's last run, whichever process made it.

use dezky_audit::{StoreError, chain};
use dezky_audit_core::time::Timestamp;
use dezky_store::{Store, Swap};
use serde::{Deserialize, Serialize};

use crate::archiver::{ArchiveError, ArchiveReport, Archived};
use crate::document::as_text;

const LAST: &str = "archive-last-run";
/// The most characters of an error that are kept.
const MAX_ERROR: usize = 2_000;

/// A run that came to its end, or was ended by an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    #[serde(with = "as_text")]
    pub began: Timestamp,
    #[serde(with = "as_text")]
    pub ended: Timestamp,
    /// What it archived before it ended.
    pub batches: u64,
    pub events: u64,
    pub bytes: u64,
    pub gzip_bytes: u64,
    /// Restored events that left again.
    pub expired: u64,
    /// Why it ended early.
    pub error: Option<String>,
}

impl LastRun {
    pub(crate) fn new(began: Timestamp, ended: Timestamp, report: &ArchiveReport, error: Option<&ArchiveError>) -> Self {
        let batches = &report.batches;
        Self {
            began,
            ended,
            batches: batches.len() as u64,
            events: batches.iter().map(Archived::count).sum(),
            bytes: batches.iter().map(|batch| batch.bytes).sum(),
            gzip_bytes: batches.iter().map(|batch| batch.gzip_bytes).sum(),
            expired: report.expired,
            error: error.map(|error| chain(error).chars().take(MAX_ERROR).collect()),
        }
    }

    /// The one that was kept last.
    pub(crate) async fn read(store: &dyn Store) -> Result<Option<Self>, StoreError> {
        Ok(store.bookmark(LAST).await?.and_then(|bookmark| serde_json::from_str(&bookmark.value).ok()))
    }

    /// For people only, so a failure is told and no more.
    pub(crate) async fn keep(&self, store: &dyn Store) {
        let kept = async {
            let version = store.bookmark(LAST).await?.map_or(0, |bookmark| bookmark.version);
            let value = serde_json::to_string(self).unwrap_or_default();
            store.move_bookmark(LAST, version, &value).await
        };
        match kept.await {
            // Another process has kept its own meanwhile.
            Ok(Swap::Done { .. } | Swap::Conflict { .. }) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "what the archiver's run did could not be noted down");
            }
        }
    }
}
