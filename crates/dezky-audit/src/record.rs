//! What a caller of `record` gets: a receipt, or the reason why not.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use dezky_audit_core::event::{PrepareError, RefusedMember};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Seq;
use dezky_store::StoreError;
use tokio::sync::oneshot;

use crate::world::NoRandomness;

/// The event is durable, and in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub seq: Seq,
    pub hash: Hash,
    /// The event was there already: same `(source, externalId)`, same content.
    pub duplicate: bool,
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// These drafts can never be recorded as they are; none of the call was.
    #[error("{} of the events cannot be recorded: {}", .0.len(), first(.0))]
    Refused(Vec<Refusal>),
    /// More than one call may bring.
    #[error("{count} events of {bytes} bytes in one call; send at most {max_events} of {max_bytes} bytes")]
    TooLarge { count: usize, bytes: usize, max_events: usize, max_bytes: usize },
    /// The store is away. The drafts are not in the log; the same call may succeed later.
    #[error("the store cannot be written to now; try again later")]
    Unavailable(#[source] Arc<StoreError>),
    /// Too much waits already. The drafts are not in the log; the same call may succeed later.
    #[error("too many events wait to be recorded; try again later")]
    Overloaded,
    /// The log was shut down. The drafts are not in the log.
    #[error("the log is closed")]
    Closed,
    /// The log was shut down while the store did not tell what had become of the drafts: they may be in the log. Drafts with
    /// an `externalId` can safely be sent again.
    #[error("the log was closed before it was known whether the events are recorded")]
    OutcomeUnknown,
    /// The store is damaged, or broke its contract. The drafts are not in the log.
    #[error("the store cannot take events")]
    Store(#[source] Arc<StoreError>),
    #[error("the event could not be salted")]
    Random(#[from] NoRandomness),
}

impl RecordError {
    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Overloaded)
    }
}

fn first(refusals: &[Refusal]) -> String {
    refusals.first().map(|refusal| format!("event {}: {}", refusal.index, refusal.reason)).unwrap_or_default()
}

/// A draft that cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which of the call's drafts, from 0.
    pub index: usize,
    pub reason: RefusalReason,
}

/// Why a draft cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalReason {
    /// Another event of that `(source, externalId)` says something else.
    #[error("the source recorded another event with this externalId, as seq {seq}")]
    ConflictingContent { seq: Seq },
    /// Two drafts of one call have the same `(source, externalId)` and say different things.
    #[error("event {earlier} of the same call has this source and externalId, and says something else")]
    ConflictingInCall { earlier: usize },
    /// A value that this door does not take. `pointer` is a JSON pointer within the posted event.
    #[error("{pointer}: {reason}")]
    Member { pointer: &'static str, reason: String },
    #[error(transparent)]
    Prepare(#[from] PrepareError),
}

impl From<RefusedMember> for RefusalReason {
    fn from(RefusedMember { pointer, reason }: RefusedMember) -> Self {
        Self::Member { pointer, reason }
    }
}

/// What becomes of a best-effort event. It may be dropped: the event goes its way all the same.
#[derive(Debug)]
pub struct Fate(pub(crate) oneshot::Receiver<Kept>);

/// What became of a best-effort event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In the log.
    Recorded(Receipt),
    /// On the local disk, synced; it will be in the log later.
    Spooled,
    /// Nowhere: this can never be recorded. Counted in [`crate::Metrics::refused`].
    Refused(RefusalReason),
    /// Nowhere: neither the store nor the spool could take it. Counted, and recorded as `audit.events_lost`.
    Lost,
}

impl Fate {
    pub(crate) fn known(kept: Kept) -> Self {
        let (fate, fated) = oneshot::channel();
        // The receiver is held.
        drop(fate.send(kept));
        Self(fated)
    }
}

impl Future for Fate {
    type Output = Kept;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Kept> {
        Pin::new(&mut self.0).poll(cx).map(|kept| kept.unwrap_or(Kept::Lost))
    }
}
