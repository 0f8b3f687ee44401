//! Verifying the whole log, archive and hot storage together, across the border.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dezky_audit::{AuditLog, StoreError, VerifyError, walk_checked};
use dezky_audit_core::archive::{Manifest, ObjectName, Plan, PlannedBatch};
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::{ArchiveWalk, BatchEvents, BatchSteps, Conclude, HeadSource, Report, Stepper, Trust};
use dezky_store::{ReadLimit, Store};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::depot::{Body, Depot, DepotError, ObjectKey};
use crate::fetch;

/// Objects and checkpoints that are listed at once.
const PAGE: usize = 1_000;
const CHUNK: ReadLimit = ReadLimit { events: 2_000, bytes: 4 << 20 };
/// A walk that events were archived under is begun anew, so often at most.
const ATTEMPTS: u32 = 3;

/// Why archive and log could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveVerifyError {
    /// One at a time.
    #[error("another verification of the archives is running; wait for its result")]
    Running,
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("the depot could not be read")]
    Depot(#[from] DepotError),
    #[error("the log's keys cannot be used: {0}")]
    Keys(String),
    #[error("what came out could not be kept")]
    Kept(#[source] VerifyError),
    #[error("it was cancelled; nothing was concluded")]
    Cancelled,
    #[error("the program is ending")]
    Ending,
}

/// How far a verification is, for whoever watches it, and the way to end it.
#[derive(Debug, Default)]
pub struct Progress {
    walked: AtomicU64,
    cancelled: watch::Sender<bool>,
}

impl Progress {
    /// So many events were checked.
    pub fn walked(&self) -> u64 {
        self.walked.load(Ordering::Relaxed)
    }

    /// Ends it: with the next piece of the object that is being read, the next few thousand hot events, or at once where it waits for
    /// depot or store.
    pub fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// What comes of `work`, unless this is cancelled before.
    async fn unless_cancelled<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, ArchiveVerifyError>
    where
        ArchiveVerifyError: From<E>,
    {
        let mut cancelled = self.cancelled.subscribe();
        tokio::select! {
            biased;
            _ = cancelled.wait_for(|cancelled| *cancelled) => Err(ArchiveVerifyError::Cancelled),
            done = work => Ok(done?),
        }
    }
}

/// An object that ends with an error once nobody wants to know any more.
struct Watched<'a> {
    body: Body,
    progress: &'a Progress,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.is_cancelled() { Err(io::Error::other("cancelled")) } else { self.body.read(buffer) }
    }
}

/// Walks every batch of the depot and then the hot events behind them, their search copies compared, up to the event `end`,
/// against every stored checkpoint on the way. Findings are in the report; they are no error.
///
/// # Errors
/// Only when it could not look.
pub async fn verify_all(
    log: &AuditLog,
    depot: Arc<dyn Depot>,
    end: u64,
    now: Timestamp,
    max_findings: usize,
    progress: Arc<Progress>,
) -> Result<Report, ArchiveVerifyError> {
    let trust = Trust::new(Some(log.origin().clone()), log.key_ring().clone(), None);
    let trust = trust.map_err(|error| ArchiveVerifyError::Keys(error.to_string()))?;
    let mut attempts = 0;
    loop {
        let border = log.store().hot().await?.border;
        let plan = progress.unless_cancelled(plan(&*depot)).await?;
        let (store, depot, trust) = (Arc::clone(log.store()), Arc::clone(&depot), trust.clone());
        let (handle, progress) = (Handle::current(), Arc::clone(&progress));
        progress.walked.store(0, Ordering::Relaxed);
        let look = move || {
            let mut look = Look { depot: &*depot, store: &*store, trust: &trust, handle, progress: &progress, after: 0 };
            look.walk(&plan, end, now, max_findings)
        };
        let report = tokio::task::spawn_blocking(look).await.map_err(|_| ArchiveVerifyError::Ending)??;
        attempts += 1;
        // What was archived in the middle of the walk is missing where it was looked for.
        if report.exit_code == 0 || attempts == ATTEMPTS || log.store().hot().await?.border == border {
            return Ok(report);
        }
    }
}

/// On a thread of its own.
struct Look<'a> {
    depot: &'a dyn Depot,
    store: &'a dyn Store,
    trust: &'a Trust,
    handle: Handle,
    progress: &'a Progress,
    /// The checkpoints up to this size were added.
    after: u64,
}

impl Look<'_> {
    fn walk(&mut self, plan: &Plan, end: u64, now: Timestamp, max_findings: usize) -> Result<Report, ArchiveVerifyError> {
        let mut walk = ArchiveWalk::new(self.trust, plan, None, max_findings);
        for batch in &plan.batches {
            self.heads(&mut walk, batch.manifest.end.get())?;
            let (manifest, events) = manifest_names(batch);
            let file = self.wait(fetch::manifest_file(self.depot, manifest))?.unwrap_or_default();
            let steps = self.steps(events)?;
            let events = if let BatchEvents::Read(read) = &steps { read.steps.len() } else { 0 };
            walk.batch(batch, Manifest::parse(&file), steps);
            self.go_on(events)?;
        }
        walk.rest().enter("hot storage");
        let mut next = plan.end() + 1;
        while next <= end {
            let read = self.wait(self.store.check(next..=end, CHUNK))?;
            let Some(last) = read.last().map(|checked| checked.seq) else { break };
            self.heads(&mut walk, last)?;
            walk_checked(walk.rest(), &read);
            self.go_on(read.len())?;
            next = last.saturating_add(1);
        }
        self.heads(&mut walk, u64::MAX)?;
        Ok(walk.finish(Conclude { now, max_age_seconds: None, ends_early: false }))
    }

    /// The checked lines of a batch.
    fn steps(&self, name: ObjectName) -> Result<BatchEvents, ArchiveVerifyError> {
        let key = ObjectKey::from(name);
        let Some(body) = self.wait(self.depot.get(&key))? else { return Ok(BatchEvents::Missing) };
        match BatchSteps::read(Watched { body, progress: self.progress }, &mut Stepper::new()) {
            Ok(steps) => Ok(BatchEvents::Read(steps)),
            Err(_) if self.progress.is_cancelled() => Err(ArchiveVerifyError::Cancelled),
            Err(error) => Err(fetch::unread(self.depot, &key, error).into()),
        }
    }

    fn wait<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, ArchiveVerifyError>
    where
        ArchiveVerifyError: From<E>,
    {
        self.handle.block_on(self.progress.unless_cancelled(work))
    }

    /// Counts what was walked, unless nobody wants to know any more.
    fn go_on(&self, events: usize) -> Result<(), ArchiveVerifyError> {
        self.progress.walked.fetch_add(events as u64, Ordering::Relaxed);
        if self.progress.is_cancelled() { Err(ArchiveVerifyError::Cancelled) } else { Ok(()) }
    }

    /// Adds the stored checkpoints up to a size, before the walk has passed it.
    fn heads(&mut self, walk: &mut ArchiveWalk<'_>, size: u64) -> Result<(), StoreError> {
        while self.after < size {
            let records = self.handle.block_on(self.store.checkpoints(self.after, PAGE))?;
            for record in &records {
                let opened = self.trust.open_record(&record.into(), HeadSource::Store, "stored checkpoint");
                opened.findings.into_iter().for_each(|finding| walk.rest().add_finding(finding));
                if let Some(head) = opened.head {
                    walk.rest().add_head(head);
                }
            }
            self.after = records.last().map_or(u64::MAX, |record| record.size);
        }
        Ok(())
    }
}

/// The archive's objects, sorted out.
pub(crate) async fn plan(depot: &dyn Depot) -> Result<Plan, DepotError> {
    let mut names = Vec::new();
    for prefix in ["events/", "manifests/"] {
        let mut after = None;
        loop {
            let page = depot.list(prefix, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            names.extend(page.into_iter().map(|entry| entry.key));
        }
    }
    Ok(Plan::new(names.iter().map(|key| key.as_str())))
}

pub(crate) const fn manifest_names(batch: &PlannedBatch) -> (ObjectName, ObjectName) {
    (batch.manifest, batch.events)
}
