//! Why something was not changed, or could not be read.

use dezky_audit::NoRandomness;
use dezky_audit_core::ids::InvalidId;
use dezky_store::StoreError;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlatformError {
    /// A value that cannot be taken. `pointer` is a JSON pointer within what was sent.
    #[error("{pointer}: {reason}")]
    Invalid { pointer: &'static str, reason: String },
    #[error("there is no {what} '{key}'")]
    NotFound { what: &'static str, key: String },
    /// What was asked for does not go together with what is there.
    #[error("{reason}")]
    Conflict { reason: String },
    /// The document has changed since the caller read it: read it again.
    #[error("it was changed meanwhile: its version is {version}")]
    Stale { version: u64 },
    #[error("the store could not be used")]
    Store(#[from] StoreError),
    /// A document that is not as this program writes it.
    #[error("the stored {what} '{key}' cannot be read")]
    Damaged {
        what: &'static str,
        key: String,
        #[source]
        source: serde_json::Error,
    },
    /// No secret can be made.
    #[error("no token can be made")]
    Random(#[from] NoRandomness),
    /// No event can be made of it.
    #[error("the change cannot be told as an event: {reason}")]
    Event { reason: String },
}

impl PlatformError {
    pub(crate) fn invalid(pointer: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { pointer, reason: reason.into() }
    }

    pub(crate) fn conflict(reason: impl Into<String>) -> Self {
        Self::Conflict { reason: reason.into() }
    }

    /// The same refusal, for another attempt at the same change; anything else as a conflict that says so.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Invalid { pointer, reason } => Self::Invalid { pointer, reason: reason.clone() },
            Self::NotFound { what, key } => Self::NotFound { what, key: key.clone() },
            other => Self::Conflict { reason: other.to_string() },
        }
    }

    /// Whether the change was refused, rather than impossible to carry out.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Invalid { .. } | Self::NotFound { .. } | Self::Conflict { .. } | Self::Stale { .. })
    }
}

impl From<InvalidId> for PlatformError {
    fn from(error: InvalidId) -> Self {
        Self::Event { reason: error.to_string() }
    }
}
