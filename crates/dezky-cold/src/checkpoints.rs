//! Signed checkpoints, kept in the depot as well: who restores an old copy of the store cannot fork history unnoticed.
//!
//! The key of one is `checkpoints/<day of its record, UTC>/<size, 20 digits>.note`, the object its signed note. The newest is found
//! from the day of today backwards, so that nothing has to be overwritten and no listing is long.

use std::io::Read;

use dezky_audit::CheckpointRecord;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::time::Timestamp;

use crate::depot::{Content, Depot, DepotError, ObjectKey, Put};
use crate::fetch;

const FOLDER: &str = "checkpoints/";
const PAGE: usize = 1_000;
const DAY_MS: u64 = 24 * 3_600_000;
/// No note is longer.
const MAX_NOTE: u64 = 1_000_000;

/// A checkpoint as it lies in a depot, unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCheckpoint {
    pub key: ObjectKey,
    pub note: String,
}

/// Keeps a checkpoint; durable on return. One that is there already stays.
///
/// # Errors
/// When the depot does not take it.
pub async fn keep_checkpoint(depot: &dyn Depot, record: &CheckpointRecord) -> Result<Put, DepotError> {
    let key = key(&day(record.at), record.size);
    if depot.size(&key).await?.is_some() {
        return Ok(Put::Exists);
    }
    let note = record.note.clone().into_bytes();
    let sha256 = Hash::of(&note);
    depot.put(&key, Content::Bytes(note), sha256).await
}

/// The kept checkpoint of the greatest size; `None` when there is none.
///
/// # Errors
/// When the depot cannot be read.
pub async fn newest_checkpoint(depot: &dyn Depot, now: Timestamp) -> Result<Option<KeptCheckpoint>, DepotError> {
    let Some(first) = depot.list(FOLDER, None, 1).await?.into_iter().next() else { return Ok(None) };
    let begin = first.key.as_str().strip_prefix(FOLDER).unwrap_or_default().to_owned();
    let mut ms = now.unix_ms();
    let mut newest = None;
    while let Some(today) = Timestamp::from_unix_ms(ms).map(day).filter(|_| newest.is_none()) {
        newest = greatest(depot, &format!("{FOLDER}{today}/"), None).await?;
        let Some(before) = ms.checked_sub(DAY_MS).filter(|_| today >= begin) else { break };
        ms = before;
    }
    // A clock that was ahead has left days that have not come yet.
    let end_of_today = ObjectKey::new(format!("{FOLDER}{}/z", day(now))).ok();
    let ahead = greatest(depot, FOLDER, end_of_today).await?;
    let key = newest.into_iter().chain(ahead).max_by(|a, b| size(a).cmp(size(b))).unwrap_or(first.key);
    let Some(body) = depot.get(&key).await? else { return Ok(None) };
    let read = tokio::task::spawn_blocking(move || {
        let mut note = String::new();
        body.take(MAX_NOTE).read_to_string(&mut note).map(|_| note)
    });
    let note = read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let note = note.map_err(|error| fetch::unread(depot, &key, error))?;
    Ok(Some(KeptCheckpoint { key, note }))
}

/// The object of the greatest size under a prefix, behind `after`.
async fn greatest(depot: &dyn Depot, prefix: &str, mut after: Option<ObjectKey>) -> Result<Option<ObjectKey>, DepotError> {
    let mut greatest: Option<ObjectKey> = None;
    loop {
        let page = depot.list(prefix, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(greatest) };
        after = Some(last.key.clone());
        let page = page.into_iter().map(|entry| entry.key);
        greatest = page.chain(greatest).max_by(|a, b| size(a).cmp(size(b)));
    }
}

/// The digits of the size: of one length, so that they sort as numbers.
fn size(key: &ObjectKey) -> &str {
    key.as_str().rsplit('/').next().unwrap_or_default()
}

fn key(day: &str, size: u64) -> ObjectKey {
    ObjectKey::new(format!("{FOLDER}{day}/{size:020}.note")).expect("digits, hyphens and slashes")
}

/// `2026-05-01`.
fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}
