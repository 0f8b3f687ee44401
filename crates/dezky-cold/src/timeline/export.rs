//! An export through both tiers, in `seq` order.

use std::sync::Arc;

use dezky_audit::{CheckpointRecord, Export, Stored};
use dezky_store::ReadLimit;

use super::sieve::Sieve;
use super::volume::Volume;
use super::{Timeline, TimelineError, blocking, shelf};

/// What is read from the store at once.
const CHUNK: ReadLimit = ReadLimit { events: 1_000, bytes: 1 << 20 };

/// A running export: what is archived first, then what is hot. Events that are archived while it runs are read from there.
pub struct TimelineExport {
    timeline: Timeline,
    export: Arc<Export>,
    next: u64,
}

impl TimelineExport {
    pub(super) fn new(timeline: Timeline, export: Export) -> Self {
        Self { timeline, export: Arc::new(export), next: 1 }
    }

    /// The checkpoint at whose size the export ends.
    pub fn checkpoint(&self) -> &CheckpointRecord {
        self.export.checkpoint()
    }

    /// The next lines, each with its LF: at most about a MiB, or one line. `None` at the end. Nothing is read ahead.
    ///
    /// # Errors
    /// When store or depot cannot be read; the same call may succeed later.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, TimelineError> {
        while self.next <= self.checkpoint().size {
            let lines = match self.archived().await? {
                Some(lines) => lines,
                None => self.hot().await?,
            };
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
        }
        Ok(None)
    }

    /// Lines of the batch that holds the next event; `None` when it is in none.
    async fn archived(&mut self) -> Result<Option<Vec<u8>>, TimelineError> {
        let timeline = &self.timeline;
        let batches = timeline.0.shelf.batches(timeline.store()).await?;
        let Some(entry) = shelf::covering(&batches, self.next) else { return Ok(None) };
        if !timeline.may_match(entry, self.export.scope(), self.export.filter()).await? {
            self.next = entry.end + 1;
            return Ok(Some(Vec::new()));
        }
        let volume = timeline.open(entry).await?;
        let (export, from, last) = (Arc::clone(&self.export), self.next, self.checkpoint().size);
        let (lines, next) = blocking(move || gather(&volume, &export, from, last)).await?.map_err(TimelineError::Scratch)?;
        self.next = next;
        Ok(Some(lines))
    }

    /// Lines of hot storage, up to the first that is not there.
    async fn hot(&mut self) -> Result<Vec<u8>, TimelineError> {
        let timeline = &self.timeline;
        let read = timeline.store().read(self.next..=self.checkpoint().size, CHUNK).await?;
        let Some(first) = read.first().map(|stored| stored.seq) else {
            // Either archived since, or gone: then there is nothing more to export.
            let batches = timeline.0.shelf.batches(timeline.store()).await?;
            if shelf::covering(&batches, self.next).is_none() {
                self.next = u64::MAX;
            }
            return Ok(Vec::new());
        };
        if first != self.next {
            // Archived since the shelf was looked at; a gap that no batch fills is exported as the gap that it is.
            let batches = timeline.0.shelf.batches(timeline.store()).await?;
            if shelf::covering(&batches, self.next).is_some() {
                return Ok(Vec::new());
            }
            self.next = first;
        }
        let mut lines = Vec::new();
        for stored in &read {
            if stored.seq != self.next {
                break;
            }
            self.next += 1;
            if self.export.admits(stored) {
                lines.extend_from_slice(&stored.line);
                lines.push(b'\n');
            }
        }
        Ok(lines)
    }
}

/// About a MiB of a batch's lines looked at, those that are wanted, and where to go on.
fn gather(volume: &Volume, export: &Export, from: u64, last: u64) -> std::io::Result<(Vec<u8>, u64)> {
    let sieve = Sieve::new(export.scope(), export.filter());
    let mut lines = Vec::new();
    let next = volume.run(from, last, |seq, line| {
        if sieve.passes(line) && export.admits(&Stored { seq, line: line.to_vec() }) {
            lines.extend_from_slice(line);
            lines.push(b'\n');
        }
    })?;
    Ok((lines, next))
}
