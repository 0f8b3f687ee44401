//! From the errors of the layers beneath to problems. What a caller cannot act on is told to the log only.

use dezky_audit::{CheckpointError, ExportError, ProveError, RecordError, Refusal, RefusalReason, StoreError, VerifyError};
use dezky_audit_core::event::PostedError;
use dezky_cold::{ArchiveError, ArchiveVerifyError, DepotError, RestoreError, TimelineError};
use dezky_store::query::InvalidParameter;

use super::{Code, Problem, RefusedEvent};
use crate::posted::Places;

impl From<Vec<PostedError>> for Problem {
    fn from(errors: Vec<PostedError>) -> Self {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        let refused =
            errors.into_iter().map(|PostedError { index, line, pointer, reason }| RefusedEvent { index, line, pointer, reason });
        Self::new(Code::InvalidEvents, first).refusing(refused.collect())
    }
}

/// What the log says about drafts, told of the body they came in.
pub(crate) fn refused_events(error: RecordError, places: &Places) -> Problem {
    let RecordError::Refused(refusals) = error else { return error.into() };
    let code =
        if refusals.iter().all(|refusal| is_conflict(&refusal.reason)) { Code::ConflictingContent } else { Code::InvalidEvents };
    let named: Vec<_> = refusals.into_iter().map(member_and_reason).collect();
    let members: Vec<_> = named.iter().map(|(index, pointer, _)| (*index, *pointer)).collect();
    let lines = places.lines(&members);
    let named: Vec<_> = named
        .into_iter()
        .zip(lines)
        .map(|((index, pointer, reason), line)| RefusedEvent { index, line, pointer: pointer.to_owned(), reason })
        .collect();
    let detail = named.first().map(|event| format!("event {}: {}", event.index, event.reason)).unwrap_or_default();
    Problem::new(code, detail).refusing(named)
}

fn is_conflict(reason: &RefusalReason) -> bool {
    matches!(reason, RefusalReason::ConflictingContent { .. } | RefusalReason::ConflictingInCall { .. })
}

fn member_and_reason(Refusal { index, reason }: Refusal) -> (usize, &'static str, String) {
    match reason {
        RefusalReason::Member { pointer, reason } => (index, pointer, reason),
        conflict if is_conflict(&conflict) => (index, "/externalId", conflict.to_string()),
        other => (index, "", other.to_string()),
    }
}

impl From<RecordError> for Problem {
    fn from(error: RecordError) -> Self {
        match &error {
            RecordError::Refused(_) => Self::new(Code::InvalidEvents, error.to_string()),
            RecordError::TooLarge { .. } => Self::new(Code::TooLarge, error.to_string()),
            RecordError::Unavailable(_) => Self::new(Code::StoreUnavailable, "the store cannot be written to now").cause(&error),
            RecordError::Overloaded => Self::new(Code::Overloaded, "too many events wait to be recorded")
                .hint("nothing was recorded; send it again later"),
            RecordError::Closed => Self::new(Code::Closing, "nothing was recorded"),
            RecordError::OutcomeUnknown => Self::new(Code::OutcomeUnknown, "the server is closing").cause(&error),
            RecordError::Store(_) => Self::new(Code::StoreDamaged, "the store cannot take events").cause(&error),
            _ => Self::internal(&error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable { .. } => Self::new(Code::StoreUnavailable, "the store cannot be read now")
                .hint("send the same request again")
                .cause(&error),
            StoreError::Refused { reason } => Self::new(Code::InvalidParameter, reason.clone()),
            StoreError::Corrupt { .. } => Self::new(Code::StoreDamaged, "what is stored cannot be read").cause(&error),
            _ => Self::internal(&error),
        }
    }
}

impl From<CheckpointError> for Problem {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Store(error) => error.into(),
            CheckpointError::Behind { .. }
            | CheckpointError::Fork { .. }
            | CheckpointError::Tree { .. }
            | CheckpointError::OtherSigner { .. }
            | CheckpointError::BadCheckpoint { .. } => Self::new(Code::SigningStopped, error.to_string()),
            CheckpointError::NotCompared => Self::new(Code::ArchivesUnavailable, error.to_string()),
            CheckpointError::Closed => Self::new(Code::Closing, "no checkpoint was made"),
            _ => Self::internal(&error),
        }
    }
}

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Checkpoint(error) => error.into(),
            ExportError::Store(error) => error.into(),
            _ => Self::internal(&error),
        }
    }
}

impl From<ProveError> for Problem {
    fn from(error: ProveError) -> Self {
        match error {
            ProveError::Store(error) => error.into(),
            ProveError::Checkpoint(error) => error.into(),
            ProveError::Mismatch { .. } => Self::new(Code::EventMismatch, error.to_string()),
            ProveError::Archived { .. } => Self::new(Code::Archived, error.to_string()),
            _ => Self::internal(&error),
        }
    }
}

impl From<VerifyError> for Problem {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Running => Self::new(Code::VerificationRunning, "this one was not begun"),
            VerifyError::NoSuchCheckpoint { size } => {
                Self::new(Code::NoSuchCheckpoint, format!("there is no checkpoint of size {size} that verifies")).hint(
                    "'from' is the size of a checkpoint, as in GET /audit/checkpoint/latest; leave it out to verify everything",
                )
            }
            VerifyError::Store(error) => error.into(),
            VerifyError::Closed => Self::new(Code::Closing, "the log was not verified"),
            _ => Self::internal(&error),
        }
    }
}

impl From<DepotError> for Problem {
    /// Which permission or setting is missing is for the operator, who has the archives; it holds no secret.
    fn from(error: DepotError) -> Self {
        Self::new(Code::ArchivesUnavailable, error.to_string()).cause(&error)
    }
}

impl From<TimelineError> for Problem {
    fn from(error: TimelineError) -> Self {
        match error {
            TimelineError::Store(error) => error.into(),
            // Whoever reads events need not know where they lie.
            TimelineError::Depot(_) | TimelineError::Scratch(_) => {
                Self::new(Code::ArchivesUnavailable, "archived events cannot be read now").cause(&error)
            }
            TimelineError::Damaged { .. } => Self::new(Code::ArchivesDamaged, error.to_string()),
            TimelineError::Ending => Self::new(Code::Closing, "the events were not read"),
            _ => Self::internal(&error),
        }
    }
}

impl From<ArchiveError> for Problem {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Running | ArchiveError::Elsewhere { .. } => Self::new(Code::ArchivingRunning, error.to_string()),
            ArchiveError::Store(error) => error.into(),
            ArchiveError::Depot(error) => error.into(),
            ArchiveError::Record(error) => error.into(),
            ArchiveError::NotCompared(_) => Self::new(Code::ArchivesUnavailable, error.to_string()).cause(&error),
            ArchiveError::Ending => Self::new(Code::Closing, "the run has ended"),
            ArchiveError::Scratch(_) => Self::new(Code::ArchivesUnavailable, error.to_string()).cause(&error),
            ArchiveError::Broken { .. } => Self::new(Code::StoreDamaged, error.to_string()),
            ArchiveError::ReadBack { .. } | ArchiveError::Unusable { .. } => Self::new(Code::ArchivesDamaged, error.to_string()),
            _ => Self::new(Code::NotPossible, error.to_string()).cause(&error),
        }
    }
}

impl From<RestoreError> for Problem {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::NoSuchBatch { .. } => Self::new(Code::NoSuchBatch, error.to_string()),
            RestoreError::Store(error) => error.into(),
            RestoreError::Depot(error) => error.into(),
            RestoreError::NotIntact { .. } => Self::new(Code::ArchivesDamaged, error.to_string()),
            RestoreError::Scratch(_) => Self::new(Code::ArchivesUnavailable, error.to_string()).cause(&error),
            RestoreError::Ending => Self::new(Code::Closing, "not all of it was restored"),
            _ => Self::internal(&error),
        }
    }
}

impl From<ArchiveVerifyError> for Problem {
    fn from(error: ArchiveVerifyError) -> Self {
        match error {
            ArchiveVerifyError::Running => Self::new(Code::VerificationRunning, "this one was not begun"),
            ArchiveVerifyError::Store(error) => error.into(),
            ArchiveVerifyError::Depot(error) => error.into(),
            ArchiveVerifyError::Ending | ArchiveVerifyError::Cancelled => Self::new(Code::Closing, "the log was not verified"),
            _ => Self::internal(&error),
        }
    }
}

impl From<InvalidParameter> for Problem {
    fn from(error: InvalidParameter) -> Self {
        Self::new(Code::InvalidParameter, error.to_string())
    }
}

impl Problem {
    /// Something that cannot be the caller's fault, nor mended by anything that a caller could do.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(Code::Internal, "the server could not do this; its log says why, under this request's id").cause(error)
    }
}
