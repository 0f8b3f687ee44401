//! The way back: one batch into hot storage for a while, or a whole log into an empty store from the archive alone.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dezky_audit::AuditLog;
use dezky_audit::copy::{CopyError, append_lines};
use dezky_audit_core::archive::{BatchReader, Manifest, ObjectKind, Plan, PlannedBatch};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Origin;
use dezky_audit_core::merkle::Frontier;
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::{ArchiveWalk, BatchEvents, Conclude, Report, Step, Trust};
use dezky_store::{Fence, Lease, Store, StoreError, Stored, Tip};
use tokio::runtime::Handle;

use crate::archiver::{Before, Facts};
use crate::depot::{Depot, DepotError};
use crate::document::BatchDocument;
use crate::fetch;
use crate::verify::{manifest_names, plan};

/// What is written to the store at once.
const CHUNK_EVENTS: usize = 2_000;
const CHUNK_BYTES: usize = 8 << 20;
const MAX_FINDINGS: usize = 100;
/// Under this name, and for so long, batch records are added.
const LEASE: &str = "restore";
const LEASE_TIME: std::time::Duration = std::time::Duration::from_secs(600);

/// Why archived events did not come back. What was written before stays; the same call again goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    #[error("no batch begins at event {start}; the list of archives names those that there are")]
    NoSuchBatch { start: u64 },
    #[error("the store could not be read or written")]
    Store(#[from] StoreError),
    #[error("the depot could not be read")]
    Depot(#[from] DepotError),
    #[error("the temporary file could not be read; try again")]
    Scratch(#[source] io::Error),
    /// It is not what was archived. Nothing of it was written.
    #[error(
        "the batch that begins at {start} does not verify: {why}. Nothing of it was restored; run a verification of the archive"
    )]
    NotIntact { start: u64, why: String },
    #[error("the archive is of the log '{archive}', the store of '{store}'")]
    OtherLog { archive: String, store: String },
    #[error("the store holds {size} events that are not the first of this archive; restore into an empty store")]
    NotEmpty { size: u64 },
    #[error("the events could not be written")]
    Append(#[source] CopyError),
    #[error("the program is ending")]
    Ending,
}

/// Puts the batch that begins at `start` back into hot storage until a time; returns how many events it has.
///
/// It is fetched, held against what the store remembers of it, and verified before anything is written. It is not archived
/// again; when its time is over it leaves with the next run of the archiver. `scratch` is a folder for a temporary file.
///
/// # Errors
/// See [`RestoreError`].
pub async fn restore(
    log: &AuditLog,
    depot: &dyn Depot,
    start: u64,
    until: Timestamp,
    now: Timestamp,
    scratch: &Path,
) -> Result<u64, RestoreError> {
    let store = Arc::clone(log.store());
    let not_intact = |why: &str| RestoreError::NotIntact { start, why: why.to_owned() };
    let record = store.batches(start..=start, 1).await?.into_iter().next();
    let record = record.filter(|record| record.id.start == start).ok_or(RestoreError::NoSuchBatch { start })?;
    let document = BatchDocument::read(&record).ok_or_else(|| not_intact("its record in the store cannot be read"))?;
    let name = document.name(ObjectKind::Manifest).ok_or_else(|| not_intact("its record in the store cannot be read"))?;
    let names = fetch::names(name);
    let manifest = fetch::manifest_file(depot, names.0).await?.ok_or_else(|| not_intact("its manifest is not in the depot"))?;
    if Hash::of(&manifest) != document.manifest_sha256 {
        return Err(not_intact("its manifest is not the one that was recorded"));
    }
    let spooled = fetch::spooled(depot, names.1, scratch).await?;
    let (file, steps) = spooled.ok_or_else(|| not_intact("its events are not in the depot"))?;
    let trust = Trust::new(Some(log.origin().clone()), log.key_ring().clone(), None);
    let trust = trust.map_err(|error| not_intact(&error.to_string()))?;
    let judged = tokio::task::spawn_blocking(move || fetch::judge(&trust, names, &manifest, steps, now));
    judged.await.map_err(|_| RestoreError::Ending)?.map_err(|why| not_intact(&why))?;
    let range = document.start_seq..=document.end_seq;
    let handle = Handle::current();
    let write =
        move |lines: Vec<Stored>| handle.block_on(store.restore(range.clone(), until, lines)).map_err(RestoreError::Store);
    let feeding = tokio::task::spawn_blocking(move || feed(file, start, write));
    feeding.await.map_err(|_| RestoreError::Ending)??;
    Ok(document.event_count)
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Rebuilt {
    /// The events of the store now, all of the archive's.
    pub size: u64,
    pub root: Hash,
    pub batches: u64,
    /// How many events this call wrote; the others were there.
    pub written: u64,
    /// The verification of the archive. Its exit code is 0, or 4 where no known key has signed all of it.
    pub report: Report,
}

/// Writes all events of an archive into an empty store of the same origin, byte for byte, and its batches into the store's
/// memory, so that they are not archived a second time: the next run of the archiver takes them out of hot storage again.
///
/// Each batch is verified before anything of it is written. A call that was cut off is taken up by the next one. What
/// the archive does not have does not come back: checkpoints, runs, documents, cursors.
///
/// # Errors
/// See [`RestoreError`].
pub async fn restore_all(
    depot: Arc<dyn Depot>,
    to: Arc<dyn Store>,
    trust: Trust,
    now: Timestamp,
    scratch: PathBuf,
) -> Result<Rebuilt, RestoreError> {
    let plan = plan(&*depot).await?;
    let handle = Handle::current();
    let rebuild = move || {
        let mut rebuild = Rebuild { depot, to, trust: &trust, now, scratch, handle, written: 0, fence: None };
        rebuild.run(&plan)
    };
    tokio::task::spawn_blocking(rebuild).await.map_err(|_| RestoreError::Ending)?
}

/// On a thread of its own.
struct Rebuild<'a> {
    depot: Arc<dyn Depot>,
    to: Arc<dyn Store>,
    trust: &'a Trust,
    now: Timestamp,
    scratch: PathBuf,
    handle: Handle,
    written: u64,
    fence: Option<Fence>,
}

impl Rebuild<'_> {
    fn run(&mut self, plan: &Plan) -> Result<Rebuilt, RestoreError> {
        let begun = self.handle.block_on(self.to.head())?;
        let mut walk = ArchiveWalk::new(self.trust, plan, None, MAX_FINDINGS);
        let mut before = Before { tree: Frontier::new(), hash: self.to.origin().genesis(), link: None };
        let mut tip = begun.tip();
        for batch in &plan.batches {
            (before, tip) = self.batch(&mut walk, batch, before, tip)?;
        }
        if let Some(fence) = self.fence.take() {
            self.handle.block_on(self.to.release(&fence))?;
        }
        let size = before.tree.size();
        let root = before.tree.root();
        let head = self.handle.block_on(self.to.head())?;
        if (head.size, head.hash) != (size, before.hash) || head.peaks != before.tree.peaks() {
            return Err(RestoreError::NotEmpty { size: head.size });
        }
        let report = walk.finish(Conclude { now: self.now, max_age_seconds: None, ends_early: true });
        Ok(Rebuilt { size, root, batches: plan.batches.len() as u64, written: self.written, report })
    }

    fn batch(
        &mut self,
        walk: &mut ArchiveWalk<'_>,
        batch: &PlannedBatch,
        before: Before,
        tip: Tip,
    ) -> Result<(Before, Tip), RestoreError> {
        let start = batch.manifest.start.get();
        let not_intact = |why: String| RestoreError::NotIntact { start, why };
        let (manifest_name, events_name) = manifest_names(batch);
        let file = self.handle.block_on(fetch::manifest_file(&*self.depot, manifest_name))?;
        let file = file.ok_or_else(|| not_intact("its manifest is gone".to_owned()))?;
        let manifest = Manifest::parse(&file).map_err(|error| not_intact(error.to_string()))?;
        if manifest.origin != *self.to.origin() {
            let (archive, store) = (manifest.origin.to_string(), self.to.origin().to_string());
            return Err(RestoreError::OtherLog { archive, store });
        }
        let spooled = self.handle.block_on(fetch::spooled(&*self.depot, events_name, &self.scratch))?;
        let (spool, steps) = spooled.ok_or_else(|| not_intact("its events are not there".to_owned()))?;
        let known = hash_at(&steps.steps, tip.size);
        walk.batch(batch, Ok(manifest.clone()), BatchEvents::Read(steps));
        if let Some(finding) = walk.walk().findings().list().first() {
            return Err(not_intact(finding.message.clone()));
        }
        if known.is_some_and(|known| known != tip.hash) {
            return Err(RestoreError::NotEmpty { size: tip.size });
        }
        let mut facts = Facts::new(before);
        let mut tip = tip;
        let mut written = 0;
        let (handle, to) = (self.handle.clone(), Arc::clone(&self.to));
        feed(spool, start, |mut lines| {
            for stored in &lines {
                facts.add(&stored.line).map_err(|broken| RestoreError::Append(CopyError::Broken { seq: broken.seq }))?;
            }
            lines.retain(|stored| stored.seq > tip.size);
            if let Some(last) = lines.last() {
                written += lines.len() as u64;
                let due = last.seq;
                tip = handle.block_on(append_lines(&*to, tip, &lines)).map_err(RestoreError::Append)?;
                debug_assert_eq!(tip.size, due);
            }
            Ok(())
        })?;
        self.written += written;
        let document = BatchDocument::new(&manifest, Hash::of(&file), &facts);
        if let Some(record) = document.record() {
            let fence = self.fence()?;
            self.handle.block_on(self.to.put_batch(&record, &fence))?;
        }
        Ok((facts.after(manifest.link()), tip))
    }

    fn fence(&mut self) -> Result<Fence, RestoreError> {
        if let Some(fence) = &self.fence {
            return Ok(fence.clone());
        }
        match self.handle.block_on(self.to.lease(LEASE, LEASE, LEASE_TIME, self.now))? {
            Lease::Held { fence, .. } => Ok(self.fence.insert(fence).clone()),
            Lease::Taken { .. } => Err(RestoreError::Append(CopyError::OtherWriter)),
        }
    }
}

/// The hash of the event at `seq`, if it is among these.
fn hash_at(steps: &[Step], seq: u64) -> Option<Hash> {
    steps.iter().find_map(|step| match step {
        Step::Event(event) if event.seq.get() == seq => Some(event.stored_hash),
        _ => None,
    })
}

/// Hands the lines of a spooled object on, some at a time, with their positions from `start` on.
fn feed(file: File, start: u64, mut write: impl FnMut(Vec<Stored>) -> Result<(), RestoreError>) -> Result<(), RestoreError> {
    let (mut lines, mut bytes, mut next) = (Vec::new(), 0, start);
    let mut outcome = Ok(());
    let take = |line: &[u8]| {
        if outcome.is_err() {
            return;
        }
        bytes += line.len();
        lines.push(Stored { seq: next, line: line.to_vec() });
        next += 1;
        if lines.len() >= CHUNK_EVENTS || bytes >= CHUNK_BYTES {
            bytes = 0;
            outcome = write(std::mem::take(&mut lines));
        }
    };
    BatchReader::read(fetch::again(file), take, |_| {}).map_err(RestoreError::Scratch)?;
    outcome?;
    write(lines)
}

/// The log that an archive is of, as its first manifest says, unverified; `None` where there is no batch.
///
/// # Errors
/// When the depot cannot be read, or the manifest is none.
pub async fn origin_of(depot: &dyn Depot) -> Result<Option<Origin>, RestoreError> {
    let plan = plan(depot).await?;
    let Some(first) = plan.batches.first() else { return Ok(None) };
    let start = first.manifest.start.get();
    let not_intact = |why: String| RestoreError::NotIntact { start, why };
    let file = fetch::manifest_file(depot, first.manifest).await?.ok_or_else(|| not_intact("its manifest is gone".to_owned()))?;
    Ok(Some(Manifest::parse(&file).map_err(|error| not_intact(error.to_string()))?.origin))
}
