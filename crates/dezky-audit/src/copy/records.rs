//! The small records beside the events: checkpoints, batches, runs, documents, cursors, settings.

use std::time::Duration;

use dezky_audit_core::time::Timestamp;
use dezky_store::directory::{FLAGS, PARTNERS, TENANTS, TOKENS, USERS};
use dezky_store::{Change, Fence, Lease, Store, Swap};

use super::{CopyError, differs};
use crate::open::SIGNING_KEYS;

const PAGE: usize = 1_000;
/// Verification runs that are carried over, the newest.
const MAX_RUNS: usize = 1_000;
/// Under this name, and for so long, batch records are added.
const LEASE: &str = "copy";
const LEASE_TIME: Duration = Duration::from_secs(600);

pub(super) async fn copy(
    from: &dyn Store,
    to: &dyn Store,
    size: u64,
    bookmarks: &[String],
    now: Timestamp,
) -> Result<(), CopyError> {
    copy_checkpoints(from, to, size).await?;
    copy_batches(from, to, size, now).await?;
    copy_runs(from, to).await?;
    for collection in [TENANTS, PARTNERS, USERS, FLAGS, TOKENS] {
        copy_documents(from, to, collection).await?;
    }
    for name in bookmarks.iter().map(String::as_str).chain([SIGNING_KEYS]) {
        copy_bookmark(from, to, name).await?;
    }
    copy_key_dates(from, to).await
}

/// The checkpoints up to `size`, in their order.
async fn copy_checkpoints(from: &dyn Store, to: &dyn Store, size: u64) -> Result<(), CopyError> {
    if let Some(empty) = from.checkpoint_at(0).await.map_err(CopyError::Source)? {
        to.put_checkpoint(&empty).await.map_err(CopyError::Target)?;
    }
    let mut after = 0;
    loop {
        let records = from.checkpoints(after, PAGE).await.map_err(CopyError::Source)?;
        let Some(last) = records.last() else { return Ok(()) };
        after = last.size;
        for record in records.iter().filter(|record| record.size <= size) {
            to.put_checkpoint(record).await.map_err(CopyError::Target)?;
        }
    }
}

async fn copy_batches(from: &dyn Store, to: &dyn Store, size: u64, now: Timestamp) -> Result<(), CopyError> {
    let mut next = 1;
    let mut fence: Option<Fence> = None;
    while next <= size {
        let records = from.batches(next..=size, PAGE).await.map_err(CopyError::Source)?;
        let Some(last) = records.last() else { return Ok(()) };
        next = last.id.end + 1;
        for record in &records {
            let fence = match &fence {
                Some(fence) => fence.clone(),
                None => fence.insert(lease(to, now).await?).clone(),
            };
            to.put_batch(record, &fence).await.map_err(CopyError::Target)?;
        }
    }
    match fence {
        Some(fence) => to.release(&fence).await.map_err(CopyError::Target),
        None => Ok(()),
    }
}

async fn lease(to: &dyn Store, now: Timestamp) -> Result<Fence, CopyError> {
    match to.lease(LEASE, LEASE, LEASE_TIME, now).await.map_err(CopyError::Target)? {
        Lease::Held { fence, .. } => Ok(fence),
        Lease::Taken { .. } => Err(CopyError::OtherWriter),
    }
}

/// Into a target that has no runs of its own.
async fn copy_runs(from: &dyn Store, to: &dyn Store) -> Result<(), CopyError> {
    let known = to.runs(MAX_RUNS).await.map_err(CopyError::Target)?;
    let runs = from.runs(MAX_RUNS).await.map_err(CopyError::Source)?;
    // Added oldest first, so what is there is a beginning of what is to be there.
    for run in runs.iter().rev().filter(|run| !known.contains(run)) {
        to.add_run(run).await.map_err(CopyError::Target)?;
    }
    Ok(())
}

async fn copy_documents(from: &dyn Store, to: &dyn Store, collection: &str) -> Result<(), CopyError> {
    let mut after: Option<String> = None;
    loop {
        let documents = from.documents(collection, after.as_deref(), PAGE).await.map_err(CopyError::Source)?;
        let Some(last) = documents.last() else { return Ok(()) };
        after = Some(last.key.clone());
        for document in &documents {
            let there = to.document(collection, &document.key).await.map_err(CopyError::Target)?;
            if there.as_ref().is_some_and(|there| there.body == document.body) {
                continue;
            }
            let change = Change {
                collection: collection.to_owned(),
                key: document.key.clone(),
                expected: there.map_or(0, |there| there.version),
                body: document.body.clone(),
            };
            let swap = to.change_document(&change, &[]).await.map_err(CopyError::Target)?;
            done(swap)?;
        }
    }
}

async fn copy_bookmark(from: &dyn Store, to: &dyn Store, name: &str) -> Result<(), CopyError> {
    let Some(bookmark) = from.bookmark(name).await.map_err(CopyError::Source)? else { return Ok(()) };
    let there = to.bookmark(name).await.map_err(CopyError::Target)?;
    if there.as_ref().is_some_and(|there| there.value == bookmark.value) {
        return Ok(());
    }
    let expected = there.map_or(0, |there| there.version);
    done(to.move_bookmark(name, expected, &bookmark.value).await.map_err(CopyError::Target)?)
}

/// Since when each of the keys that sign now is known.
async fn copy_key_dates(from: &dyn Store, to: &dyn Store) -> Result<(), CopyError> {
    let keys = from.bookmark(SIGNING_KEYS).await.map_err(CopyError::Source)?;
    for name in keys.iter().flat_map(|keys| keys.value.lines()).filter_map(crate::keys::since_setting) {
        let Some(since) = from.setting(&name).await.map_err(CopyError::Source)? else { continue };
        let kept = to.get_or_create_setting(&name, &since).await.map_err(CopyError::Target)?;
        if kept != since {
            return Err(differs(format!("the setting {name}")));
        }
    }
    Ok(())
}

fn done(swap: Swap) -> Result<(), CopyError> {
    match swap {
        Swap::Done { .. } => Ok(()),
        Swap::Conflict { .. } => Err(CopyError::OtherWriter),
    }
}
