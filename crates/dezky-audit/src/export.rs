//! Exports: events in `seq` order, up to a checkpoint, in chunks that the reader asks for.
//!
//! The order is that of the log whatever is filtered, so a filtered export reads all lines and drops what does not match.

use std::sync::Arc;

use dezky_store::projection::{Column, SearchRow};
use dezky_store::{CheckpointRecord, Filter, ReadLimit, Scope, Store, StoreError, Stored};

use crate::checkpoint::CheckpointError;

/// What is read from the store at once.
const CHUNK: ReadLimit = ReadLimit { events: 1_000, bytes: 1 << 20 };

/// Why an export could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    #[error("the checkpoint that the export ends at could not be made")]
    Checkpoint(#[from] CheckpointError),
    #[error("the store could not be read")]
    Store(#[from] StoreError),
}

/// A running export.
pub struct Export {
    store: Arc<dyn Store>,
    scope: Scope,
    filter: Filter,
    checkpoint: CheckpointRecord,
    next: u64,
}

impl Export {
    pub(crate) fn new(store: Arc<dyn Store>, scope: Scope, filter: Filter, checkpoint: CheckpointRecord) -> Self {
        Self { store, scope, filter, checkpoint, next: 1 }
    }

    /// The checkpoint at whose size the export ends.
    pub const fn checkpoint(&self) -> &CheckpointRecord {
        &self.checkpoint
    }

    /// The next lines, each with its LF: at most about a MiB, or one line. `None` at the end. Nothing is read ahead.
    ///
    /// # Errors
    /// When the store cannot be read; the same call may succeed later.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        while self.next <= self.checkpoint.size {
            let stored = self.store.read(self.next..=self.checkpoint.size, CHUNK).await?;
            let Some(last) = stored.last().map(|stored| stored.seq) else { break };
            self.next = last.saturating_add(1);
            let mut lines = Vec::with_capacity(stored.iter().map(|stored| stored.line.len() + 1).sum());
            for stored in stored.iter().filter(|stored| self.admits(stored)) {
                lines.extend_from_slice(&stored.line);
                lines.push(b'\n');
            }
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
        }
        self.next = u64::MAX;
        Ok(None)
    }

    /// What the reader may see.
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    pub const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether an event, wherever it was read, belongs to this export.
    pub fn admits(&self, stored: &Stored) -> bool {
        // Everything, also what is no event.
        if self.scope == Scope::All && self.filter == Filter::all() {
            return true;
        }
        let row = SearchRow::derive(stored.seq, &stored.line);
        self.scope.admits(row.get(Column::TenantSlug)) && self.filter.matches(&row)
    }
}
