//! How the program says that it failed: what and why on one line, what to do about it on another.

use std::io;

use dezky_audit::StoreError;

use crate::data_dir::DataDirError;

/// The error with its causes, and a hint where there is one.
pub(crate) fn described(error: &anyhow::Error) -> String {
    let chain = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    match hint(error) {
        Some(hint) => format!("error: {chain}\n\nhint: {hint}\n"),
        None => format!("error: {chain}\n"),
    }
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        if let Some(DataDirError::InUse { .. }) = cause.downcast_ref() {
            return Some("stop that process, or choose another folder with --data-dir");
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
