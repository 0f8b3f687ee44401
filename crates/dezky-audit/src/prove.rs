//! Proofs of single events, and checkpoints of tenants.

use dezky_audit_core::ids::Seq;
use dezky_store::StoreError;

use crate::checkpoint::CheckpointError;

/// A tenant's own checkpoint (log format, section 5), as it is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantCheckpoint {
    /// The signed note under the origin `<origin>/tenant/<slug>`.
    pub note: String,
    /// The `.tlog-proof` of the tenant's last event in the main log.
    pub proof: String,
}

/// Why no proof was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("the checkpoint that would cover the event could not be made")]
    Checkpoint(#[from] CheckpointError),
    /// The stored event is not the one that was signed for: nothing is proven about it. Run a verification.
    #[error("the stored event {seq} is not what the log's tree says; verify the log")]
    Mismatch { seq: Seq },
    /// The tenant's last event has left hot storage.
    #[error("event {seq} is archived; its proof needs its line")]
    Archived { seq: Seq },
}
