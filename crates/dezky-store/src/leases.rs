//! Leases: one of several processes does a job, and one that lost it without noticing is stopped by its fence.

use std::time::Duration;

use async_trait::async_trait;
use dezky_audit_core::time::Timestamp;

use crate::error::StoreError;

/// Proof of having held a lease; a write that carries it fails with `Fenced` once a later one was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The lease's name.
    pub lease: String,
    /// Rises whenever the lease passes to another holder, or to the same one after it had run out. Never falls.
    pub token: u64,
}

/// What came of asking for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lease {
    /// It is the caller's until that time.
    Held { fence: Fence, until: Timestamp },
    /// It is somebody else's until that time.
    Taken { holder: String, until: Timestamp },
}

/// Leases by name. Clocks of different processes may differ: a lease saves work, the fence keeps things right.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes the lease if it is free or has run out at `now`, or renews the caller's own, for `ttl` from `now`.
    async fn lease(&self, name: &str, holder: &str, ttl: Duration, now: Timestamp) -> Result<Lease, StoreError>;

    /// Gives the lease back; does nothing when the fence is no longer the newest.
    async fn release(&self, fence: &Fence) -> Result<(), StoreError>;
}
