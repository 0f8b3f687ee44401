//! The kinds of problems: one list.

use http::StatusCode;

/// What went wrong, for programs. The texts are stable; new ones may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    InvalidEvents,
    InvalidParameter,
    InvalidBody,
    InvalidIdempotencyKey,
    BrokenBody,
    Unauthorized,
    WrongSignature,
    Forbidden,
    NoSuchRoute,
    NoSuchEvent,
    NoSuchCheckpoint,
    NoSuchTenant,
    NoSuchRecord,
    NoArchives,
    NoSuchBatch,
    NoSuchTile,
    Archived,
    MethodNotAllowed,
    SlowBody,
    ConflictingContent,
    NotPossible,
    Stale,
    VerificationRunning,
    ArchivingRunning,
    EventMismatch,
    TooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    Overloaded,
    StoreUnavailable,
    IssuerUnavailable,
    ArchivesUnavailable,
    OutcomeUnknown,
    TimedOut,
    Closing,
    SigningStopped,
    StoreDamaged,
    ArchivesDamaged,
    Internal,
}

impl Code {
    /// Each of them.
    pub const ALL: &[Self] = &[
        Self::InvalidEvents,
        Self::InvalidParameter,
        Self::InvalidBody,
        Self::InvalidIdempotencyKey,
        Self::BrokenBody,
        Self::Unauthorized,
        Self::WrongSignature,
        Self::Forbidden,
        Self::NoSuchRoute,
        Self::NoSuchEvent,
        Self::NoSuchCheckpoint,
        Self::NoSuchTenant,
        Self::NoSuchRecord,
        Self::NoArchives,
        Self::NoSuchBatch,
        Self::NoSuchTile,
        Self::Archived,
        Self::MethodNotAllowed,
        Self::SlowBody,
        Self::ConflictingContent,
        Self::NotPossible,
        Self::Stale,
        Self::VerificationRunning,
        Self::ArchivingRunning,
        Self::EventMismatch,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::TooManyRequests,
        Self::Overloaded,
        Self::StoreUnavailable,
        Self::IssuerUnavailable,
        Self::ArchivesUnavailable,
        Self::OutcomeUnknown,
        Self::TimedOut,
        Self::Closing,
        Self::SigningStopped,
        Self::StoreDamaged,
        Self::ArchivesDamaged,
        Self::Internal,
    ];

    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    pub const fn status(self) -> StatusCode {
        self.row().1
    }

    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// After how long the same request may succeed, where it may.
    pub(crate) const fn retry_after_seconds(self) -> Option<u16> {
        match self {
            Self::TooManyRequests | Self::Overloaded => Some(1),
            Self::StoreUnavailable
            | Self::IssuerUnavailable
            | Self::ArchivesUnavailable
            | Self::TimedOut
            | Self::OutcomeUnknown
            | Self::Closing => Some(5),
            _ => None,
        }
    }

    /// What to do about it, where that is always the same.
    pub(crate) const fn hint(self) -> Option<&'static str> {
        match self {
            Self::InvalidEvents => Some("nothing was recorded; correct the events named in 'errors' and send all of them again"),
            Self::Unauthorized => Some(
                "send the header 'Authorization: Bearer TOKEN'; the operator's token lies in operator.token in the data folder",
            ),
            Self::ConflictingContent => {
                Some("nothing was recorded; an externalId names one event for ever: give the new one another, or leave it out")
            }
            Self::Stale => Some("read it again, and send the change with its new ETag in 'If-Match'"),
            Self::EventMismatch | Self::SigningStopped => Some("see what was changed: GET /audit/verify"),
            Self::ArchivesDamaged => Some("see what was changed: GET /audit/verify?archives=true"),
            Self::VerificationRunning => Some("one runs at a time; its progress is in GET /metrics"),
            Self::StoreUnavailable => Some("nothing was recorded; send the same request again after Retry-After"),
            Self::TimedOut | Self::OutcomeUnknown => Some(
                "it may have been done; events with an externalId, or sent with an Idempotency-Key, can safely be sent again",
            ),
            _ => None,
        }
    }

    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::InvalidEvents => ("invalid-events", StatusCode::BAD_REQUEST, "Invalid events"),
            Self::InvalidParameter => ("invalid-parameter", StatusCode::BAD_REQUEST, "Invalid parameter"),
            Self::InvalidBody => ("invalid-body", StatusCode::BAD_REQUEST, "Invalid body"),
            Self::InvalidIdempotencyKey => ("invalid-idempotency-key", StatusCode::BAD_REQUEST, "Invalid Idempotency-Key"),
            Self::BrokenBody => ("broken-body", StatusCode::BAD_REQUEST, "The body broke off"),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "Not authorised"),
            Self::WrongSignature => ("wrong-signature", StatusCode::UNAUTHORIZED, "Wrong signature"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "Not allowed"),
            Self::NoSuchRoute => ("no-such-route", StatusCode::NOT_FOUND, "No such route"),
            Self::NoSuchEvent => ("no-such-event", StatusCode::NOT_FOUND, "No such event"),
            Self::NoSuchCheckpoint => ("no-such-checkpoint", StatusCode::NOT_FOUND, "No such checkpoint"),
            Self::NoSuchTenant => ("no-such-tenant", StatusCode::NOT_FOUND, "No such tenant"),
            Self::NoSuchRecord => ("no-such-record", StatusCode::NOT_FOUND, "No such record"),
            Self::NoArchives => ("no-archives", StatusCode::NOT_FOUND, "No archives are kept"),
            Self::NoSuchBatch => ("no-such-batch", StatusCode::NOT_FOUND, "No such batch"),
            Self::NoSuchTile => ("no-such-tile", StatusCode::NOT_FOUND, "No such tile"),
            Self::Archived => ("archived", StatusCode::NOT_FOUND, "The event is in the archive"),
            Self::MethodNotAllowed => ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
            Self::SlowBody => ("slow-body", StatusCode::REQUEST_TIMEOUT, "The body came too slowly"),
            Self::ConflictingContent => ("conflicting-content", StatusCode::CONFLICT, "The externalId has other content"),
            Self::NotPossible => ("not-possible", StatusCode::CONFLICT, "Not possible as things are"),
            Self::Stale => ("stale", StatusCode::PRECONDITION_FAILED, "Changed meanwhile"),
            Self::VerificationRunning => ("verification-running", StatusCode::CONFLICT, "Another verification is running"),
            Self::ArchivingRunning => ("archiving-running", StatusCode::CONFLICT, "The archiver is at work already"),
            Self::EventMismatch => ("event-mismatch", StatusCode::CONFLICT, "The stored event is not the signed one"),
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "Too large"),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type")
            }
            Self::TooManyRequests => ("too-many-requests", StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            Self::Overloaded => ("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Too much at once"),
            Self::StoreUnavailable => ("store-unavailable", StatusCode::SERVICE_UNAVAILABLE, "The store is not available now"),
            Self::IssuerUnavailable => {
                ("issuer-unavailable", StatusCode::SERVICE_UNAVAILABLE, "The identity provider is not available now")
            }
            Self::ArchivesUnavailable => {
                ("archives-unavailable", StatusCode::SERVICE_UNAVAILABLE, "The archives are not available now")
            }
            Self::OutcomeUnknown => ("outcome-unknown", StatusCode::SERVICE_UNAVAILABLE, "The outcome is not known"),
            Self::TimedOut => ("timed-out", StatusCode::SERVICE_UNAVAILABLE, "It took too long"),
            Self::Closing => ("closing", StatusCode::SERVICE_UNAVAILABLE, "The server is closing"),
            Self::SigningStopped => ("signing-stopped", StatusCode::INTERNAL_SERVER_ERROR, "Nothing is signed any more"),
            Self::StoreDamaged => ("store-damaged", StatusCode::INTERNAL_SERVER_ERROR, "The store is damaged"),
            Self::ArchivesDamaged => {
                ("archives-damaged", StatusCode::INTERNAL_SERVER_ERROR, "The archives are not what was archived")
            }
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Internal error"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_every_429_and_503_says_when_to_come_back() {
        let texts: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            let later = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&code.status());
            assert_eq!(code.retry_after_seconds().is_some(), later, "{code:?}");
        }
    }
}
