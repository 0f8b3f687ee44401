//! Verifying the whole log, archive and hot storage together, across the border.

use std::sync::Arc;

use dezky_audit::{AuditLog, StoreError};
use dezky_audit_core::archive::{Manifest, ObjectName, Plan, PlannedBatch};
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::{ArchiveWalk, BatchEvents, Conclude, HeadSource, Report, Stepper, Trust};
use dezky_store::{ReadLimit, Store};
use tokio::runtime::Handle;

use crate::depot::{Depot, DepotError};
use crate::fetch;

/// Objects and checkpoints that are listed at once.
const PAGE: usize = 1_000;
const CHUNK: ReadLimit = ReadLimit { events: 2_000, bytes: 4 << 20 };

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
    #[error("the program is ending")]
    Ending,
}

/// Walks every batch of the depot and then the hot events behind them, up to the newest checkpoint, against every stored
/// checkpoint on the way. Findings are in the report; they are no error.
///
/// # Errors
/// Only when it could not look.
pub async fn verify_all(
    log: &AuditLog,
    depot: Arc<dyn Depot>,
    now: Timestamp,
    max_findings: usize,
) -> Result<Report, ArchiveVerifyError> {
    let plan = plan(&*depot).await?;
    let trust = Trust::new(Some(log.origin().clone()), log.key_ring().clone(), None);
    let trust = trust.map_err(|error| ArchiveVerifyError::Keys(error.to_string()))?;
    let end = log.latest_checkpoint().await?.map_or(0, |record| record.size);
    let (store, handle) = (Arc::clone(log.store()), Handle::current());
    let look = move || {
        let mut look = Look { depot: &*depot, store: &*store, trust: &trust, handle, after: 0 };
        look.walk(&plan, end, now, max_findings)
    };
    tokio::task::spawn_blocking(look).await.map_err(|_| ArchiveVerifyError::Ending)?
}

/// On a thread of its own.
struct Look<'a> {
    depot: &'a dyn Depot,
    store: &'a dyn Store,
    trust: &'a Trust,
    handle: Handle,
    /// The checkpoints up to this size were added.
    after: u64,
}

impl Look<'_> {
    fn walk(&mut self, plan: &Plan, end: u64, now: Timestamp, max_findings: usize) -> Result<Report, ArchiveVerifyError> {
        let mut walk = ArchiveWalk::new(self.trust, plan, None, max_findings);
        for batch in &plan.batches {
            self.heads(&mut walk, batch.manifest.end.get())?;
            let (manifest, events) = manifest_names(batch);
            let file = self.handle.block_on(fetch::manifest_file(self.depot, manifest))?.unwrap_or_default();
            let steps = self.handle.block_on(fetch::steps(self.depot, events))?;
            walk.batch(batch, Manifest::parse(&file), steps.map_or(BatchEvents::Missing, BatchEvents::Read));
        }
        walk.rest().enter("hot storage");
        let (mut next, mut stepper) = (plan.end() + 1, Stepper::new());
        while next <= end {
            let read = self.handle.block_on(self.store.read(next..=end, CHUNK))?;
            let Some(last) = read.last().map(|stored| stored.seq) else { break };
            self.heads(&mut walk, last)?;
            for stored in &read {
                walk.rest().push(&stepper.step(&stored.line));
            }
            next = last.saturating_add(1);
        }
        self.heads(&mut walk, u64::MAX)?;
        Ok(walk.finish(Conclude { now, max_age_seconds: None, ends_early: false }))
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
