//! Whose turn it is to sign by the clock, among the processes that share a store.

use std::time::Duration;

use dezky_store::{Fence, Lease, Store};
use tokio::time::Instant;

use super::Signer;
use super::cadence::Cadence;
use crate::world::World;

const LEASE: &str = "checkpointer";

/// This process's part in it.
pub(super) struct Tenure {
    holder: String,
    ttl: Duration,
    next_look: Instant,
    fence: Option<Fence>,
}

impl Tenure {
    pub(super) fn new(world: &World, ttl: Duration) -> Self {
        let mut id = [0; 8];
        // Without randomness nothing can be recorded either; the process's number tells it apart on this machine.
        if world.random.fill(&mut id).is_err() {
            id[..4].copy_from_slice(&std::process::id().to_be_bytes());
        }
        let holder = format!("{}-{:016x}", std::process::id(), u64::from_be_bytes(id));
        Self { holder, ttl, next_look: Instant::now(), fence: None }
    }

    pub(super) const fn is_held(&self) -> bool {
        self.fence.is_some()
    }

    /// When the lease is to be renewed, or asked for again: three times before it runs out.
    pub(super) const fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Renews the lease or asks for it, and learns how far the log and its checkpoints are: other processes write too.
    ///
    /// While the store does not answer all stays as it was: whoever signs finds out by itself, and harms nobody.
    pub(super) async fn look(&mut self, signer: &Signer, cadence: &mut Cadence) {
        self.next_look = Instant::now() + self.ttl / 3;
        match signer.store.lease(LEASE, &self.holder, self.ttl, signer.world.clock.now()).await {
            Ok(Lease::Held { fence, .. }) => {
                if self.fence.as_ref() != Some(&fence) {
                    tracing::info!(token = fence.token, "this process makes the checkpoints now");
                }
                self.fence = Some(fence);
            }
            Ok(Lease::Taken { holder, until }) => {
                if self.fence.take().is_some() {
                    tracing::info!(holder, %until, "another process makes the checkpoints now");
                }
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the checkpointer's lease could not be asked for");
                return;
            }
        }
        if let Ok(head) = signer.store.head().await {
            cadence.grown(Instant::now(), head.size);
        }
        match signer.learn().await {
            Ok(Some(record)) => cadence.known(Instant::now(), record.size),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store's newest checkpoint cannot be taken over");
            }
        }
    }

    /// Gives the lease back, so that another process need not wait for its end.
    pub(super) async fn end(self, store: &dyn Store) {
        let Some(fence) = self.fence else { return };
        if let Err(error) = store.release(&fence).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the checkpointer's lease could not be given back");
        }
    }
}
