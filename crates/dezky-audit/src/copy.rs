//! A log moves to another store: its lines byte for byte, and what outlives them.
//!
//! Nothing is linked or signed anew: the target's events, tree and checkpoints are the source's. The target is empty, or holds
//! a prefix of the same log, which is checked; so a copy that was interrupted goes on, and one that is done changes nothing.
//! At the end the target is verified, and compared with the source line by line.
//!
//! What the [contract](dezky_store) names no list of stays behind: cursors and settings that the caller does not name,
//! the hourly counts of archived events, archived ranges that are restored for a while, leases.
//!
//! Nobody may write to either store meanwhile. Events that the source gets all the same are not copied; another writer in the
//! target ends the copy.

pub(crate) mod archived;
mod events;
mod records;

pub use events::append_lines;

use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::note::KeyRing;
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::{Conclude, Report, Start, Trust};
use dezky_store::{Head, Store, StoreError};

use crate::tree;
use crate::verify::{Look, VerifyError};

/// The most findings of the last verification that are kept.
const MAX_FINDINGS: usize = 100;

/// What is copied beside what every log has.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// The keys that the log's checkpoints verify under. Without any, the copy is compared with the source, and nobody vouches
    /// for either.
    pub keys: KeyRing,
    /// Names of cursors to carry over, beside the log's own.
    pub bookmarks: Vec<String>,
}

/// What a copy came to.
#[derive(Debug, Clone)]
pub struct Copied {
    /// The events of the log, the root and the last hash: the same in both stores.
    pub size: u64,
    pub root: Hash,
    pub hash: Hash,
    /// How many of them are archived, and lie in neither store.
    pub archived: u64,
    /// How many this copy wrote; the others were there.
    pub written: u64,
    /// The verification of the target. Its exit code is 0, or 4 where no known key has signed all of it.
    pub report: Report,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub stage: Stage,
    /// Events that are done with in this stage, and how many there are.
    pub done: u64,
    pub total: u64,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Copying,
    Comparing,
    Verifying,
}

/// Why a log was not copied. What was written so far stays, and the same copy goes on behind it, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    #[error("the source could not be read")]
    Source(#[source] StoreError),
    #[error("the target could not be read or written")]
    Target(#[source] StoreError),
    #[error("the source is the log '{from}', the target the log '{to}'; copy into an empty store")]
    OtherLog { from: String, to: String },
    /// The target holds something else than the beginning of the source.
    #[error("the target's {size} events are not the first {size} of the source: {why}; copy into an empty store")]
    NoPrefix { size: u64, why: &'static str },
    #[error(
        "the source has archived its events up to {border}, the target ends at {size}: those between are not hot any more; \
         copy into an empty store"
    )]
    ArchivedSince { border: u64, size: u64 },
    #[error("event {seq} of the source is not intact; run a verification of the source, nothing behind it was copied")]
    Broken { seq: u64 },
    #[error("somebody else writes to the target; end that, and copy again")]
    OtherWriter,
    #[error("{waiting} changes in the source's outbox are not recorded yet; start the service on it once, then copy again")]
    Outbox { waiting: usize },
    #[error("{what} of the target is not the source's, though every event was copied; copy into an empty store")]
    Differs { what: String },
    #[error("the copy could not be verified")]
    Verify(#[source] VerifyError),
    #[error("the copy does not verify: {} findings, the first: {first}", .report.findings.len() as u64 + .report.findings_omitted)]
    Findings { first: String, report: Box<Report> },
}

/// Copies the log of `from` to `to`, as it is when the copy begins.
///
/// `now` is the time for what is written beside the log: the lease under which batch records are added.
///
/// # Errors
/// See [`CopyError`].
pub async fn copy(
    from: &dyn Store,
    to: &dyn Store,
    options: &CopyOptions,
    now: Timestamp,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Copied, CopyError> {
    if from.origin() != to.origin() {
        return Err(CopyError::OtherLog { from: from.origin().to_string(), to: to.origin().to_string() });
    }
    let waiting = from.outbox(1_000).await.map_err(CopyError::Source)?.len();
    if waiting > 0 {
        return Err(CopyError::Outbox { waiting });
    }
    let head = from.head().await.map_err(CopyError::Source)?;
    let border = from.hot().await.map_err(CopyError::Source)?.border;
    let mut begun = to.head().await.map_err(CopyError::Target)?;
    if begun.size == 0 && border > 0 {
        archived::begin(from, to, border, &head).await?;
        begun = to.head().await.map_err(CopyError::Target)?;
    }
    is_prefix(from, to, &begun, &head, border).await?;
    let written = head.size - begun.size;
    events::append(from, to, begun.tip(), head.size, progress).await?;
    let copied_from = to.hot().await.map_err(CopyError::Target)?.border;
    if copied_from > 0 {
        archived::settle_tenants(from, to).await?;
    }
    records::copy(from, to, head.size, &options.bookmarks, now).await?;

    let hot_from = border.max(copied_from) + 1;
    same_heads(from, to, &head).await?;
    events::compare(from, to, hot_from, head.size, progress).await?;
    let report = verify(to, &options.keys, copied_from, &head, now, progress).await?;
    let root = tree::root_of(&head).map_err(|_| differs("the tree"))?;
    Ok(Copied { size: head.size, root, hash: head.hash, archived: copied_from, written, report })
}

/// Refuses a target that is not the beginning of the source.
async fn is_prefix(from: &dyn Store, to: &dyn Store, begun: &Head, head: &Head, border: u64) -> Result<(), CopyError> {
    let no_prefix = |why| CopyError::NoPrefix { size: begun.size, why };
    if begun.size > head.size {
        return Err(no_prefix("it has more of them"));
    }
    if begun.size < border {
        return Err(CopyError::ArchivedSince { border, size: begun.size });
    }
    let own = tree::root_of(begun).map_err(|_| no_prefix("its tree does not agree with itself"))?;
    let theirs = tree::root_at(from, begun.size).await.map_err(CopyError::Source)?;
    let tiled = tree::root_at(to, begun.size).await.map_err(CopyError::Target)?;
    if theirs != Ok(own) || tiled != Ok(own) {
        return Err(no_prefix("their roots differ"));
    }
    // The root covers the last event's hash; this is for a head that was changed beside the tree.
    let last = Seq::new(begun.size).filter(|_| begun.size > border);
    match last {
        Some(last) if events::hash_at(from, last).await? != begun.hash => Err(no_prefix("the last of them differs")),
        _ => Ok(()),
    }
}

/// Both stores end alike, in the log and in every tenant's stream.
async fn same_heads(from: &dyn Store, to: &dyn Store, head: &Head) -> Result<(), CopyError> {
    if to.head().await.map_err(CopyError::Target)? != *head {
        return Err(differs("the head"));
    }
    let mut after = None;
    loop {
        let tenants = from.tenant_heads(after.as_ref(), 1_000).await.map_err(CopyError::Source)?;
        let Some((last, _)) = tenants.last() else { return Ok(()) };
        if to.tenant_heads(after.as_ref(), 1_000).await.map_err(CopyError::Target)? != tenants {
            return Err(differs("the head of a tenant"));
        }
        after = Some(last.clone());
    }
}

async fn verify(
    to: &dyn Store,
    keys: &KeyRing,
    border: u64,
    head: &Head,
    now: Timestamp,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, CopyError> {
    to.settle().await.map_err(CopyError::Target)?;
    let start = if border == 0 {
        Start::Beginning
    } else {
        let tree = tree::frontier_at(to, border).await.map_err(CopyError::Target)?.map_err(|_| differs("the tree"))?;
        let head_hash = archived::hash_at(to, border, head).await.map_err(CopyError::Target)?;
        Start::After { size: border, head_hash, tree: Some(tree) }
    };
    let trust = Trust::new(Some(to.origin().clone()), keys.clone(), None).map_err(|_| CopyError::Verify(VerifyError::Closed))?;
    let done = std::sync::atomic::AtomicU64::new(0);
    let total = head.size - border;
    let walked = |events| {
        let done = done.fetch_add(events, std::sync::atomic::Ordering::Relaxed) + events;
        progress(Progress { stage: Stage::Verifying, done, total });
    };
    let look = Look { store: to, trust: &trust, walked: &walked };
    let walk = look.walk(start, border + 1, head.size, MAX_FINDINGS).await.map_err(CopyError::Verify)?;
    let report = walk.finish(Conclude { now, max_age_seconds: None, ends_early: false });
    match report.findings.first() {
        Some(finding) => Err(CopyError::Findings { first: finding.message.clone(), report: Box::new(report) }),
        None => Ok(report),
    }
}

fn differs(what: impl Into<String>) -> CopyError {
    CopyError::Differs { what: what.into() }
}
