//! Named cursors: where a source, a sink or a job has got to.

use async_trait::async_trait;

use crate::error::StoreError;

/// The most bytes of a cursor's value.
pub const MAX_BOOKMARK_BYTES: usize = 64 << 10;

/// A named cursor's value, and the version that a change of it must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bookmark {
    pub version: u64,
    pub value: String,
}

/// What became of a compare-and-swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// Done; this is the version now.
    Done { version: u64 },
    /// Nothing was changed: the version is another one (0: not there).
    Conflict { version: u64 },
}

/// Named cursors, each changed by compare-and-swap.
#[async_trait]
pub trait Bookmarks: Send + Sync {
    /// The cursor of that name.
    async fn bookmark(&self, name: &str) -> Result<Option<Bookmark>, StoreError>;

    /// Sets the cursor if its version is still `expected` (0: not there yet). Durable on return.
    ///
    /// # Errors
    /// `Refused` when the name is not 1–200 characters or the value is larger than [`MAX_BOOKMARK_BYTES`].
    async fn move_bookmark(&self, name: &str, expected: u64, value: &str) -> Result<Swap, StoreError>;
}
