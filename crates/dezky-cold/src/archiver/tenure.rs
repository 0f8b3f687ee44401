//! Being the one archiver: a lease, renewed before every step, and the fence that each write carries.

use std::time::Duration;

use dezky_audit::Clock;
use dezky_store::{Fence, Lease, Store};

use super::ArchiveError;

const LEASE: &str = "archiver";
/// Far longer than a step takes.
const TTL: Duration = Duration::from_secs(300);

pub(crate) struct Tenure<'a> {
    store: &'a dyn Store,
    clock: &'a dyn Clock,
    holder: &'a str,
    fence: Fence,
}

impl<'a> Tenure<'a> {
    pub(crate) async fn take(store: &'a dyn Store, clock: &'a dyn Clock, holder: &'a str) -> Result<Self, ArchiveError> {
        match store.lease(LEASE, holder, TTL, clock.now()).await? {
            Lease::Held { fence, .. } => Ok(Self { store, clock, holder, fence }),
            Lease::Taken { holder, until } => Err(ArchiveError::Elsewhere { holder, until }),
        }
    }

    /// The fence, once the lease was renewed.
    pub(crate) async fn renewed(&self) -> Result<&Fence, ArchiveError> {
        match self.store.lease(LEASE, self.holder, TTL, self.clock.now()).await? {
            Lease::Held { fence, .. } if fence == self.fence => Ok(&self.fence),
            // It had run out; somebody may have held it in between.
            Lease::Held { .. } => Err(ArchiveError::LeaseLost),
            Lease::Taken { holder, until } => Err(ArchiveError::Elsewhere { holder, until }),
        }
    }

    pub(crate) async fn end(self) {
        if let Err(error) = self.store.release(&self.fence).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the archiver's lease was not given back; it runs out");
        }
    }
}
