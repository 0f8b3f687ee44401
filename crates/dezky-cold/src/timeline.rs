//! Hot storage and the archive behind it, read as one log: lists, single events and exports go on where hot storage ends.
//!
//! What it promises:
//!
//! * A list has one order, by (`at`, `seq`), wherever its events lie; following its cursors returns every event once, also when some
//!   of them are archived meanwhile. A cursor is a place in that order and names neither tier.
//! * What is shown from an archive is what was archived: an object is held against the digest that the store remembers of it
//!   before a line of it is used.
//! * A batch is opened only when it may hold what is asked for: by its spans of time, then by what its record lists.
//! * Lists stop after a while, with a cursor that goes on. Where the depot does not answer, what lies before the
//!   archived events is still listed, and the answer says so.
//! * Memory does not grow with the log: opened batches lie unpacked in temporary files without names, as many as the cache may hold.
//!   Each takes 20 bytes an event, a search of one a block of lines (1 MiB, or one line) and what it found, and unpacking one, of
//!   which three go on at once, its buffers of half a MiB.

mod cache;
mod export;
mod merge;
mod shelf;
mod sieve;
mod volume;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dezky_audit::{AuditLog, Page, Query, Scope, StoreError, Stored};
use dezky_audit_core::ids::Seq;
use dezky_store::projection::{Column, SearchRow};
use dezky_store::{Filter, Store};

use crate::depot::{Depot, DepotError};
use crate::document::BatchDocument;
use cache::Cache;
use merge::Merge;
use shelf::{Entry, Shelf};
use volume::Volume;

pub use export::TimelineExport;
pub(crate) use shelf::Totals;

/// After this long no further batch is opened for a page.
const BUDGET: Duration = Duration::from_millis(400);
/// Batches that are opened at once for a list whose filter their records cannot answer.
const AHEAD: usize = 3;

/// How much of the archive is kept unpacked, and where.
#[derive(Debug, Clone)]
pub struct TimelineConfig {
    /// The folder of temporary files without a name.
    pub scratch: PathBuf,
    /// The most bytes of them, beside those that are in use.
    pub cache_bytes: u64,
}

/// Reads a log through both its tiers.
#[derive(Clone)]
pub struct Timeline(Arc<Parts>);

struct Parts {
    log: AuditLog,
    depot: Arc<dyn Depot>,
    shelf: Shelf,
    cache: Cache,
}

/// A page, and what became of its archived part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub page: Page,
    /// `None`: hot storage alone has answered.
    pub archives: Option<Reach>,
}

/// How far a list got in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Batches were looked into.
    Read,
    /// The depot did not answer: the page ends where the archive would have gone on, and so does its cursor.
    Unavailable,
    /// An object is not what was archived: likewise.
    Damaged,
}

/// Why archived events could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimelineError {
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("the depot could not be read")]
    Depot(#[from] DepotError),
    #[error("the batch that begins at {start} is not what was archived: {why}; run a verification of the archives")]
    Damaged { start: u64, why: String },
    #[error("the temporary file of an opened batch could not be written or read; make room there, or choose another folder")]
    Scratch(#[source] io::Error),
    #[error("the program is ending")]
    Ending,
}

impl Timeline {
    pub fn new(log: AuditLog, depot: Arc<dyn Depot>, config: TimelineConfig) -> Self {
        let cache = Cache::new(config.scratch, config.cache_bytes);
        Self(Arc::new(Parts { log, depot, shelf: Shelf::default(), cache }))
    }

    /// A page of the events that match, hot or archived.
    ///
    /// Hot storage has its own time budget; after it, no batch is opened once 400 ms have passed, unless the page would make no
    /// progress without. What archived events cannot be read is no error (see [`Reach`]).
    ///
    /// # Errors
    /// As [`AuditLog::list`].
    pub async fn page(&self, scope: &Scope, query: &Query) -> Result<Listed, StoreError> {
        // First what is hot: whatever is gone from there by now lies in a batch that is known by then.
        let hot = self.0.log.list(scope, query).await?;
        let batches = self.0.shelf.batches(self.store()).await?;
        let mut waiting = merge::waiting(&batches, query);
        if waiting.is_empty() {
            return Ok(Listed { page: hot, archives: None });
        }
        let began = Instant::now();
        let mut merge = Merge::new(query, hot);
        let mut archives = None;
        waiting.reverse();
        while let Some((bound, entry)) = waiting.pop() {
            if !merge.needs(bound) {
                merge.end_before(bound, false);
                break;
            }
            if began.elapsed() > BUDGET && merge.may_end_before(bound) {
                merge.end_before(bound, true);
                break;
            }
            if !self.may_match(entry, scope, &query.filter).await? {
                continue;
            }
            if *scope != Scope::All || !query.filter.clauses().is_empty() {
                self.open_ahead(&waiting, &merge, scope, query).await?;
            }
            match self.search(entry, scope, query).await {
                Ok(found) => {
                    merge.add(found);
                    archives.get_or_insert(Reach::Read);
                }
                Err(error) => {
                    archives = Some(told(&error)?);
                    merge.end_before(bound, false);
                    break;
                }
            }
        }
        Ok(Listed { page: merge.finish(), archives })
    }

    /// Whether the archive may have events between the query's times; what else they must have is not looked at.
    ///
    /// # Errors
    /// [`StoreError`] when the list of batches cannot be read.
    pub async fn reaches_archives(&self, query: &Query) -> Result<bool, StoreError> {
        let batches = self.0.shelf.batches(self.store()).await?;
        Ok(!merge::waiting(&batches, &Query { after: None, ..query.clone() }).is_empty())
    }

    /// One event, hot or archived.
    ///
    /// # Errors
    /// See [`TimelineError`].
    pub async fn event(&self, scope: &Scope, seq: Seq) -> Result<Option<Stored>, TimelineError> {
        if let Some(hot) = self.0.log.get(scope, seq).await? {
            return Ok(Some(hot));
        }
        let seq = seq.get();
        let batches = self.0.shelf.batches(self.store()).await?;
        let Some(entry) = shelf::covering(&batches, seq) else { return Ok(None) };
        if !self.may_match(entry, scope, &Filter::all()).await? {
            return Ok(None);
        }
        let volume = self.open(entry).await?;
        let line = blocking(move || volume.line(seq)).await?.map_err(TimelineError::Scratch)?;
        let seen = scope.admits(SearchRow::derive(seq, &line).get(Column::TenantSlug));
        Ok(seen.then_some(Stored { seq, line }))
    }

    /// Takes a checkpoint and starts an export up to its size, as [`AuditLog::export`] does, through both tiers.
    ///
    /// # Errors
    /// As [`AuditLog::export`].
    pub async fn export(&self, scope: Scope, filter: Filter) -> Result<TimelineExport, dezky_audit::ExportError> {
        let export = self.0.log.export(scope, filter).await?;
        Ok(TimelineExport::new(self.clone(), export))
    }

    /// Where the batches begin that begin before `before`, the last first, at most `limit`.
    pub(crate) async fn starts(&self, before: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        let batches = self.0.shelf.batches(self.store()).await?;
        Ok(batches.iter().rev().map(|entry| entry.start).filter(|start| *start < before).take(limit).collect())
    }

    /// How much lies in the archive, as far as the store remembers its batches.
    pub(crate) async fn totals(&self) -> Result<Totals, StoreError> {
        Ok(shelf::totals(&self.0.shelf.batches(self.store()).await?))
    }

    fn store(&self) -> &dyn Store {
        &**self.0.log.store()
    }

    async fn document(&self, entry: &Entry) -> Result<BatchDocument, StoreError> {
        let unknown =
            || StoreError::Corrupt { what: format!("the record of the batch that begins at {}", entry.start), source: None };
        let record = self.store().batches(entry.start..=entry.start, 1).await?.into_iter().next().ok_or_else(unknown)?;
        BatchDocument::read(&record).filter(|document| document.start_seq == entry.start).ok_or_else(unknown)
    }

    async fn may_match(&self, entry: &Entry, scope: &Scope, filter: &Filter) -> Result<bool, StoreError> {
        let all = *scope == Scope::All && filter.clauses().is_empty();
        Ok(all || self.document(entry).await?.may_match(scope, filter))
    }

    async fn open(&self, entry: &Entry) -> Result<Arc<Volume>, TimelineError> {
        if let Some(volume) = self.0.cache.get(entry.start) {
            return Ok(volume);
        }
        let document = self.document(entry).await?;
        self.0.cache.open(&*self.0.depot, &document).await
    }

    async fn search(&self, entry: &Entry, scope: &Scope, query: &Query) -> Result<volume::Found, TimelineError> {
        let volume = self.open(entry).await?;
        let (scope, query) = (scope.clone(), query.clone());
        blocking(move || volume.search(&scope, &query)).await?.map_err(TimelineError::Scratch)
    }

    /// Opens the next batches that the page may need, side by side with one another; what fails is met again in its turn.
    async fn open_ahead(
        &self,
        waiting: &[(merge::Key, &Entry)],
        merge: &Merge,
        scope: &Scope,
        query: &Query,
    ) -> Result<(), StoreError> {
        let mut opening = tokio::task::JoinSet::new();
        for (bound, entry) in waiting.iter().rev().take(AHEAD - 1) {
            if merge.needs(*bound) && self.may_match(entry, scope, &query.filter).await? {
                let (timeline, entry) = (self.clone(), (*entry).clone());
                opening.spawn(async move { drop(timeline.open(&entry).await) });
            }
        }
        // They go on beside the batch whose turn it is, and its search waits for none of them.
        opening.detach_all();
        Ok(())
    }
}

/// What a list says about archived events that could not be read; an error of the store is one of the list.
fn told(error: &TimelineError) -> Result<Reach, StoreError> {
    tracing::warn!(error = error as &dyn std::error::Error, "a list ends before the archive");
    match error {
        TimelineError::Store(StoreError::Corrupt { what, .. }) => Err(StoreError::Corrupt { what: what.clone(), source: None }),
        TimelineError::Damaged { .. } => Ok(Reach::Damaged),
        _ => Ok(Reach::Unavailable),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, TimelineError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| TimelineError::Ending)
}
