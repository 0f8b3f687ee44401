//! Verification of the live store.

use dezky_audit_core::time::Timestamp;
use dezky_store::StoreError;

/// What to verify.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyOptions {
    /// Start behind the stored checkpoint of this size instead of at the beginning.
    pub from: Option<u64>,
    /// The most findings named; `None`: as configured.
    pub max_findings: Option<usize>,
}

/// What came out. Findings are in the report; they are no error.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// When it ended.
    pub at: Timestamp,
    /// As `dezky-verify` would exit: 0 is intact and proven.
    pub exit_code: u8,
    /// The report of the log format's section 8, as JSON.
    pub json: String,
}

/// Why the log could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// One at a time. The metrics tell how far the other is.
    #[error("another verification is running; wait for its result")]
    Running,
    /// There is no such checkpoint, or it does not verify.
    #[error("no checkpoint of size {size} to start from")]
    NoSuchCheckpoint { size: u64 },
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("the log is closed")]
    Closed,
}
