//! Verification runs: what was checked when, and what came out.

use async_trait::async_trait;
use dezky_audit_core::time::Timestamp;

use crate::error::StoreError;

/// The most bytes of a run's report.
pub const MAX_RUN_BYTES: usize = 4 << 20;

/// One verification of the live store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationRun {
    pub at: Timestamp,
    /// JSON: the report of the log format's section 8 and what covers it.
    pub report: String,
}

/// The history of verification.
#[async_trait]
pub trait Runs: Send + Sync {
    /// Adds a run. Durable on return.
    async fn add_run(&self, run: &VerificationRun) -> Result<(), StoreError>;

    /// The runs added last, newest first.
    async fn runs(&self, limit: usize) -> Result<Vec<VerificationRun>, StoreError>;
}
