//! Checkpoints: why one could not be made.

use dezky_audit_core::hash::Hash;
use dezky_store::StoreError;

/// Why no checkpoint was made. Nothing was signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    #[error("the store could not be read or written")]
    Store(#[from] StoreError),
    /// The store holds less than was signed.
    #[error(
        "the store ends at {size} events, but a checkpoint of {signed} was signed: events are missing, nothing is signed any more"
    )]
    Behind { size: u64, signed: u64 },
    /// The store holds something else than was signed.
    #[error(
        "the first {size} events have root {actual}, but {signed} was signed: the store was changed, nothing is signed any more",
        actual = actual.to_base64(), signed = signed.to_base64()
    )]
    Fork { size: u64, signed: Hash, actual: Hash },
    /// What the store says about its tree does not agree with itself.
    #[error("the store's tree of {size} events does not agree with its head")]
    Tree { size: u64 },
    /// Somebody else signs for this log.
    #[error(
        "the store's newest checkpoint (of {size} events) was signed by {}, this process has {}: nothing is signed any more. \
         All processes of one log sign with the same key", .signers.join(", "), .ours.join(", ")
    )]
    OtherSigner { size: u64, signers: Vec<String>, ours: Vec<String> },
    /// A checkpoint of the store was changed.
    #[error("the store's newest checkpoint (of {size} events) does not verify: {why}; nothing is signed any more")]
    BadCheckpoint { size: u64, why: String },
    /// See [`crate::Config::compare_later`].
    #[error(
        "the checkpoints that are kept elsewhere were not compared with this log yet: events are recorded, nothing is signed"
    )]
    NotCompared,
    #[error("the log is closed")]
    Closed,
}

impl CheckpointError {
    /// Whether the store is not what was signed, or no longer agrees with itself: somebody has been at it.
    pub(crate) const fn is_evidence(&self) -> bool {
        matches!(self, Self::Behind { .. } | Self::Fork { .. } | Self::Tree { .. } | Self::Store(StoreError::Corrupt { .. }))
    }
}
