//! How the program says that it failed: what and why on one line, what to do about it on another.

use std::io;
use std::sync::Arc;

use dezky_audit::{OpenError, StoreError};

use crate::backend::DatabaseError;
use crate::data_dir::DataDirError;
use crate::placement::PlacementError;
use crate::settings::SettingError;

/// The error with its causes, and a hint where there is one.
pub(crate) fn described(error: &anyhow::Error) -> String {
    let chain = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    match hint(error) {
        Some(hint) => format!("error: {chain}\n\nhint: {hint}\n"),
        None => format!("error: {chain}\n"),
    }
}

const SHARED: &str = "make them once with platform-api make-keys --log-origin NAME DIR, give every process the same files, and name \
                      them in AUDIT_SHARED_LOG_KEY_FILE, AUDIT_SHARED_INGEST_SECRET_FILE and AUDIT_SHARED_OPERATOR_TOKEN_FILE; a \
                      log that was embedded before has them already: keys/log.key, keys/ingest.secret and operator.token";

fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(hint) = error.chain().find_map(|cause| cause.downcast_ref::<PlacementError>()?.hint()) {
        return Some(hint);
    }
    known(error).map(str::to_owned)
}

fn known(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        if let Some(SettingError::NotShared { .. } | SettingError::Shared(_)) = cause.downcast_ref() {
            return Some(SHARED);
        }
        if cause.downcast_ref::<DatabaseError>().is_some() {
            return Some("is the server running, and are MONGODB_URI, its user and that user's rights what they should be? See docs/operating.md");
        }
        if let Some(DataDirError::InUse { .. }) = cause.downcast_ref() {
            return Some("stop that process, or choose another folder with --data-dir");
        }
        let of_opening = cause.downcast_ref().or_else(|| cause.downcast_ref::<Arc<OpenError>>().map(|error| &**error));
        if let Some(OpenError::Behind { .. } | OpenError::Fork { .. }) = of_opening {
            return Some(
                "restore the newest copy of the store. Where those events are gone for good, start a new log that quotes the last known \
                 checkpoint: platform-api recover --from OLD_DATA_DIR --data-dir NEW_DATA_DIR; see docs/archive.md",
            );
        }
        if let Some(OpenError::BadCheckpoint { .. } | OpenError::OtherSigner { .. }) = of_opening {
            return Some("is this the right store, with its own keys folder, and its own folder or prefix of archives? See docs/archive.md");
        }
        if let Some(StoreError::Unavailable { .. }) = cause.downcast_ref() {
            return Some("is another program using audit.db, or is the disk full?");
        }
        match cause.downcast_ref::<io::Error>()?.kind() {
            io::ErrorKind::AddrInUse => Some("another program listens there; choose another address with --listen"),
            io::ErrorKind::AddrNotAvailable => Some("this machine has no such address; see --listen"),
            io::ErrorKind::PermissionDenied => Some("this user may not do that; see --data-dir and --listen"),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull => Some("see --data-dir"),
            _ => None,
        }
    })
}
