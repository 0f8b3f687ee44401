//! Why a store could not do what it was asked: only the kinds that a caller branches on, the rest is the source chain.

use std::error::Error;

/// What went wrong beneath the store.
pub type Source = Box<dyn Error + Send + Sync>;

/// A store's failure. Unless a method says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Busy, locked, full, unreachable, or closed. The same call may succeed later, on the same store.
    #[error("the store is not available now: {what}")]
    Unavailable {
        what: &'static str,
        #[source]
        source: Option<Source>,
    },
    /// What is stored is not what this store ever writes. It will not go away by itself.
    #[error("the store is damaged: {what}")]
    Corrupt {
        what: String,
        #[source]
        source: Option<Source>,
    },
    /// Written by a later version of this software.
    #[error("the store has schema version {found}, this program knows versions up to {known}; use a newer program")]
    NewerSchema { found: u64, known: u64 },
    /// The store belongs to another log.
    #[error("the store holds the log '{stored}', not '{given}'; open it under its own origin, or use another store")]
    OtherOrigin { stored: String, given: String },
    /// The lease that a write was made under has since been given to somebody else.
    #[error("the lease '{lease}' was lost to another holder")]
    Fenced { lease: String },
    /// The request breaks the contract (a limit, an order, a missing condition): repeating it will not help.
    #[error("refused: {reason}")]
    Refused { reason: String },
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into(), source: None }
    }
}
