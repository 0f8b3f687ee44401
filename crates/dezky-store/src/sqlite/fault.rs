//! SQLite's result codes as the few kinds of [`StoreError`].

use rusqlite::ErrorCode;

use crate::error::StoreError;

/// What a job on a database thread fails with.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => error,
            Fault::Sql(error) => classify(error),
        }
    }
}

pub(super) fn unavailable(what: &'static str) -> StoreError {
    StoreError::Unavailable { what, source: None }
}

fn classify(error: rusqlite::Error) -> StoreError {
    let what = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            "another connection has it locked"
        }
        Some(ErrorCode::DiskFull) => "the disk is full",
        Some(ErrorCode::SystemIoFailure) => "reading or writing its file failed",
        Some(ErrorCode::CannotOpen) => "its file cannot be opened",
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => "its file may not be written",
        Some(ErrorCode::OutOfMemory) => "there is no memory left",
        Some(ErrorCode::OperationInterrupted) => "the operation was interrupted",
        Some(ErrorCode::NotADatabase) => {
            return StoreError::Corrupt { what: "the file is no SQLite database".to_owned(), source: Some(Box::new(error)) };
        }
        _ => return StoreError::Corrupt { what: "SQLite refuses to work on it".to_owned(), source: Some(Box::new(error)) },
    };
    StoreError::Unavailable { what, source: Some(Box::new(error)) }
}
