//! The limits of the small records, checked alike by every backend before anything is written.

use std::time::Duration;

use dezky_audit_core::time::Timestamp;

use crate::archives::{BatchId, BatchRecord, Intent, MAX_ARCHIVE_DOCUMENT_BYTES};
use crate::bookmarks::MAX_BOOKMARK_BYTES;
use crate::checkpoints::CheckpointRecord;
use crate::directory::{Change, MAX_DOCUMENT_BYTES};
use crate::error::StoreError;
use crate::runs::{MAX_RUN_BYTES, VerificationRun};
use crate::settings::MAX_SETTING_BYTES;

/// A note has at most this many bytes (log format, section 5).
const MAX_NOTE_BYTES: usize = 1_000_000;
const MAX_OUTBOX_ENTRIES: usize = 100;

pub(crate) fn checkpoint(record: &CheckpointRecord) -> Result<(), StoreError> {
    size("a checkpoint's note", &record.note, MAX_NOTE_BYTES)?;
    name("a checkpoint's reason", &record.reason, 32)
}

pub(crate) fn bookmark(name_: &str, value: &str) -> Result<(), StoreError> {
    name("a cursor's name", name_, 200)?;
    size("a cursor's value", value, MAX_BOOKMARK_BYTES)
}

pub(crate) fn intent(intent: Option<&Intent>) -> Result<(), StoreError> {
    intent.map_or(Ok(()), |intent| size("an intent's document", &intent.document, MAX_ARCHIVE_DOCUMENT_BYTES))
}

pub(crate) fn batch(record: &BatchRecord) -> Result<(), StoreError> {
    let BatchId { start, end, .. } = record.id;
    if start == 0 || start > end {
        return Err(StoreError::refused(format!("a batch cannot be of {start}–{end}")));
    }
    size("a batch's document", &record.document, MAX_ARCHIVE_DOCUMENT_BYTES)
}

pub(crate) fn crossing(id: &BatchId, other: &BatchId) -> StoreError {
    StoreError::refused(format!("batch {}–{} crosses batch {}–{}", id.start, id.end, other.start, other.end))
}

pub(crate) fn other_document(id: &BatchId) -> StoreError {
    let BatchId { start, end, revision } = id;
    StoreError::refused(format!("batch {start}–{end} revision {revision} is recorded with another document"))
}

pub(crate) fn lease(name_: &str, holder: &str) -> Result<(), StoreError> {
    name("a lease's name", name_, 200)?;
    name("a lease's holder", holder, 200)
}

pub(crate) fn run(run: &VerificationRun) -> Result<(), StoreError> {
    size("a run's report", &run.report, MAX_RUN_BYTES)
}

pub(crate) fn change(change: &Change, outbox: &[String]) -> Result<(), StoreError> {
    let collection = change.collection.as_bytes();
    let valid = (1..=32).contains(&collection.len())
        && collection[0].is_ascii_lowercase()
        && collection.iter().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'-'));
    if !valid {
        return Err(StoreError::refused("a collection's name is [a-z][a-z_-]{0,31}"));
    }
    name("a document's key", &change.key, 256)?;
    size("a document", &change.body, MAX_DOCUMENT_BYTES)?;
    if outbox.len() > MAX_OUTBOX_ENTRIES {
        return Err(StoreError::refused(format!("at most {MAX_OUTBOX_ENTRIES} outbox entries a change")));
    }
    outbox.iter().try_for_each(|entry| size("an outbox entry", entry, MAX_DOCUMENT_BYTES))
}

pub(crate) fn setting(name_: &str, value: &str) -> Result<(), StoreError> {
    name("a setting's name", name_, 200)?;
    size("a setting", value, MAX_SETTING_BYTES)
}

/// `ttl` after `now`, at most the end of the year 9999.
pub(crate) fn later(now: Timestamp, ttl: Duration) -> Timestamp {
    let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_unix_ms(now.unix_ms().saturating_add(ms)).unwrap_or(Timestamp::MAX)
}

fn name(what: &str, text: &str, max: usize) -> Result<(), StoreError> {
    let length = text.chars().count();
    if (1..=max).contains(&length) { Ok(()) } else { Err(StoreError::refused(format!("{what} has 1 to {max} characters"))) }
}

fn size(what: &str, text: &str, max: usize) -> Result<(), StoreError> {
    if text.len() <= max { Ok(()) } else { Err(StoreError::refused(format!("{what} has at most {max} bytes"))) }
}
