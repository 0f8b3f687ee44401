//! Exports: events in `seq` order, up to a checkpoint, in chunks that the reader asks for.

use dezky_store::{CheckpointRecord, StoreError};

use crate::checkpoint::CheckpointError;

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
#[derive(Debug)]
pub struct Export {
    checkpoint: CheckpointRecord,
}

impl Export {
    /// The checkpoint at whose size the export ends.
    pub const fn checkpoint(&self) -> &CheckpointRecord {
        &self.checkpoint
    }

    /// The next lines, each with its LF: a few hundred KiB as a rule. `None` at the end. Nothing is read ahead.
    ///
    /// # Errors
    /// When the store cannot be read; the same call may succeed later.
    #[expect(clippy::unused_async, reason = "the body follows")]
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }
}
