//! The tree's tiles and entry bundles in the depot, under their names of C2SP `tlog-tiles`: full ones only, since nothing is written twice.
//!
//! They are a publication: the log's own proofs are made from the store's tiles, which outlive the events. Who
//! has the depot alone can prove and mirror with them. They hold hashes only.

use dezky_audit::{AuditLog, Scope, StoreError};
use dezky_audit_core::event::{LineCheck, check_line};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::merkle::leaf_hash;
use dezky_audit_core::merkle::tile::{BundleId, FULL_WIDTH, TileId, encode_bundle, encode_tile};
use dezky_store::{ReadLimit, Swap};
use tokio::sync::watch;

use crate::depot::{Content, Depot, DepotError, InvalidKey, ObjectKey};
use crate::timeline::{Timeline, TimelineError};

/// Up to where the tiles are published: a number of leaves.
const PUBLISHED: &str = "tiles-published";
const WIDTH: u64 = FULL_WIDTH as u64;
/// After so many bundles it is noted down how far they got.
const NOTED: u64 = 64;

/// Why tiles were not published, or an entry bundle could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    #[error("the store could not be read or written")]
    Store(#[from] StoreError),
    #[error("the depot could not be written")]
    Depot(#[from] DepotError),
    #[error("archived events could not be read")]
    Timeline(#[from] TimelineError),
    #[error("{tile} cannot be named in a depot")]
    Name {
        tile: String,
        #[source]
        source: InvalidKey,
    },
    #[error("event {seq} is not what the tree says; run a verification")]
    Mismatch { seq: u64 },
    #[error("the store has no full {tile}; run a verification")]
    Missing { tile: String },
}

/// Publishes what is full in the tree of `size` leaves, and was not published before, or some of it when `stop` becomes true.
pub(crate) async fn publish(
    log: &AuditLog,
    depot: &dyn Depot,
    timeline: &Timeline,
    size: u64,
    stop: &watch::Receiver<bool>,
) -> Result<(), PublishError> {
    let store = log.store();
    let noted = store.bookmark(PUBLISHED).await?;
    let mut version = noted.as_ref().map_or(0, |noted| noted.version);
    let mut next = noted.and_then(|noted| noted.value.parse::<u64>().ok()).unwrap_or(0) / WIDTH;
    while (next + 1) * WIDTH <= size && !*stop.borrow() {
        let bundle = BundleId::new(next, FULL_WIDTH).ok_or(PublishError::Mismatch { seq: next * WIDTH + 1 })?;
        let hashes = entries(log, Some(timeline), bundle).await?;
        put(depot, &bundle.to_string(), encode_bundle(&hashes)).await?;
        let (mut level, mut index) = (0, next);
        loop {
            let tile = full_tile(log, level, index).await?;
            put(depot, &tile.0.to_string(), encode_tile(&tile.1)).await?;
            // The last of a full tile below completes the one above.
            if !(index + 1).is_multiple_of(WIDTH) {
                break;
            }
            (level, index) = (level + 1, index / WIDTH);
        }
        next += 1;
        if next.is_multiple_of(NOTED) || (next + 1) * WIDTH > size {
            match store.move_bookmark(PUBLISHED, version, &(next * WIDTH).to_string()).await? {
                Swap::Done { version: now } => version = now,
                // Another process publishes too; what is there already stays.
                Swap::Conflict { .. } => return Ok(()),
            }
        }
    }
    Ok(())
}

async fn full_tile(log: &AuditLog, level: u8, index: u64) -> Result<(TileId, Vec<Hash>), PublishError> {
    let missing = || PublishError::Missing { tile: format!("tile/{level}/{index}") };
    let id = TileId::new(level, index, FULL_WIDTH).ok_or_else(missing)?;
    let hashes = log.store().tile(level, index).await?.filter(|hashes| hashes.len() == usize::from(FULL_WIDTH));
    Ok((id, hashes.ok_or_else(missing)?))
}

async fn put(depot: &dyn Depot, name: &str, bytes: Vec<u8>) -> Result<(), PublishError> {
    let key = ObjectKey::new(name).map_err(|source| PublishError::Name { tile: name.to_owned(), source })?;
    let sha256 = Hash::of(&bytes);
    depot.put(&key, Content::Bytes(bytes), sha256).await?;
    Ok(())
}

/// The event hashes of a bundle, from hot storage or the archive, each held against its leaf.
///
/// # Errors
/// When they cannot be read, or are not those of the tree. Without a timeline, `Mismatch` also for what is not hot.
pub async fn entries(log: &AuditLog, timeline: Option<&Timeline>, bundle: BundleId) -> Result<Vec<Hash>, PublishError> {
    let first = bundle.first_leaf().ok_or(PublishError::Mismatch { seq: 0 })? + 1;
    let last = first + u64::from(bundle.width()) - 1;
    let leaves = log.store().tile(0, bundle.index()).await?.unwrap_or_default();
    let mut lines = read(log, first, last).await?.into_iter().peekable();
    let (mut hashes, mut preimage) = (Vec::with_capacity(usize::from(bundle.width())), Vec::new());
    for (seq, leaf) in (first..=last).zip(leaves) {
        let mismatch = || PublishError::Mismatch { seq };
        let line = match (lines.next_if(|stored| stored.seq == seq), timeline) {
            (Some(stored), _) => stored.line,
            (None, Some(timeline)) => {
                let place = Seq::new(seq).ok_or_else(mismatch)?;
                timeline.event(&Scope::All, place).await?.ok_or_else(mismatch)?.line
            }
            (None, None) => return Err(mismatch()),
        };
        let LineCheck::Event(event) = check_line(&line, &mut preimage) else { return Err(mismatch()) };
        if leaf_hash(&event.stored_hash) != leaf {
            return Err(mismatch());
        }
        hashes.push(event.stored_hash);
    }
    if hashes.len() < usize::from(bundle.width()) {
        return Err(PublishError::Mismatch { seq: first + hashes.len() as u64 });
    }
    Ok(hashes)
}

/// The hot lines of a range.
async fn read(log: &AuditLog, first: u64, last: u64) -> Result<Vec<dezky_store::Stored>, StoreError> {
    let (mut lines, mut next) = (Vec::new(), first);
    while next <= last {
        let read = log.store().read(next..=last, ReadLimit::default()).await?;
        let Some(end) = read.last().map(|stored| stored.seq) else { break };
        next = end + 1;
        lines.extend(read);
    }
    Ok(lines)
}
