//! Opening a log: what is checked before the first event is taken.

use std::path::PathBuf;

use dezky_audit_core::hash::Hash;
use dezky_store::StoreError;

use crate::world::NoRandomness;

/// Why a log was not opened. Nothing was recorded or signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error("the store could not be opened or read")]
    Store(#[from] StoreError),
    #[error("the store holds the log '{stored}', not '{configured}'; correct AUDIT_LOG_ORIGIN, or use another store")]
    OtherOrigin { stored: String, configured: String },
    #[error("{path}: {what}")]
    Keys {
        path: PathBuf,
        what: String,
        #[source]
        source: Option<std::io::Error>,
    },
    #[error("{path}: {what}")]
    Spool {
        path: PathBuf,
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// The newest checkpoint in the store was not signed by any key that is in the keys folder.
    #[error("the newest checkpoint (size {size}) verifies under none of the log's keys: {why}")]
    UnknownSigner { size: u64, why: String },
    /// The store holds less than was signed.
    #[error(
        "the store ends at {size} events, but a checkpoint of {signed} events (root {root}) was signed{known_from}: events are missing. \
         Restore the store's newest copy; to go on without them, start a log with a new origin",
        root = root.to_base64()
    )]
    Behind { size: u64, signed: u64, root: Hash, known_from: &'static str },
    /// The store holds something else than was signed.
    #[error(
        "the first {size} events have root {actual}, but a checkpoint with root {signed} was signed{known_from}: the store was \
         changed. Run a verification on a copy; to go on, start a log with a new origin",
        actual = actual.to_base64(), signed = signed.to_base64()
    )]
    Fork { size: u64, signed: Hash, actual: Hash, known_from: &'static str },
    /// What the store says about its tree does not agree with itself.
    #[error("the store's tree of {size} events does not agree with its head")]
    Tree { size: u64 },
    #[error("a checkpoint could not be made")]
    Checkpoint(#[source] crate::checkpoint::CheckpointError),
    #[error("no key could be made")]
    Random(#[from] NoRandomness),
}
