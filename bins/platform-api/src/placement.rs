//! One log, one place: a data folder whose process has used a database does not go back to a file in silence, nor the other
//! way round.
//!
//! Once a database has been opened, a marker in the data folder says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dezky_api::FileError;
use dezky_audit_core::ids::Origin;

use crate::backend::DatabaseUri;

const MARKER: &str = "database";
const EMBEDDED: &str = "audit.db";

/// Why a log is not opened in this folder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlacementError {
    #[error("this folder's log lies in a database ({marker}: {what}), but MONGODB_URI is not set", marker = .marker.display())]
    DatabaseBefore { marker: PathBuf, what: String },
    #[error("MONGODB_URI is set, but {file} holds an embedded log", file = .file.display())]
    EmbeddedBefore { file: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
}

impl PlacementError {
    /// The ways out.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::DatabaseBefore { marker, .. } => Some(format!(
                "set MONGODB_URI; or, to go back to an embedded log, copy it (platform-api copy --from mongodb://… --to {}) and delete {}",
                marker.with_file_name(EMBEDDED).display(),
                marker.display()
            )),
            Self::EmbeddedBefore { file } => Some(format!(
                "unset MONGODB_URI; or copy the log (platform-api copy --from {file} --to mongodb://…) and move {file} away; \
                 or choose another folder with --data-dir",
                file = file.display()
            )),
            Self::File(_) => None,
        }
    }
}

/// Whether an embedded log may be opened in `dir`.
pub(crate) fn may_be_embedded(dir: &Path) -> Result<(), PlacementError> {
    let marker = dir.join(MARKER);
    match fs::read_to_string(&marker) {
        Ok(text) => {
            let what = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(", ");
            Err(PlacementError::DatabaseBefore { marker, what })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::of(&marker, "read")(error).into()),
    }
}

/// Whether a process with this data folder may use a database.
pub(crate) fn may_use_database(dir: &Path) -> Result<(), PlacementError> {
    let file = dir.join(EMBEDDED);
    match file.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(PlacementError::EmbeddedBefore { file }),
        Err(error) => Err(FileError::of(&file, "looked for")(error).into()),
    }
}

/// Notes down that this folder's log lies in a database.
pub(crate) fn mark(dir: &Path, origin: &Origin, uri: &DatabaseUri) -> Result<(), PlacementError> {
    let path = dir.join(MARKER);
    let text = format!(
        "# The log of this folder's process lies in a database; without MONGODB_URI it does not start.\nlog {origin}\nat {uri}\n"
    );
    if fs::read_to_string(&path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let begun = path.with_extension("begun");
    let written =
        fs::write(&begun, text).and_then(|()| fs::File::open(&begun)?.sync_all()).and_then(|()| fs::rename(&begun, &path));
    Ok(written.map_err(FileError::of(&path, "written"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_kind_of_log() {
        let dir = tempfile::tempdir().unwrap();
        assert!(may_be_embedded(dir.path()).is_ok() && may_use_database(dir.path()).is_ok());
        let uri = DatabaseUri::new("mongodb://me:secret@db:27017/audit").unwrap();
        for _ in 0..2 {
            mark(dir.path(), &"audit.example.eu/main".parse().unwrap(), &uri).unwrap();
        }
        let refused = may_be_embedded(dir.path()).unwrap_err();
        assert!(refused.to_string().contains("log audit.example.eu/main, at db:27017/audit"), "{refused}");
        assert!(!refused.to_string().contains("secret") && refused.hint().unwrap().contains("platform-api copy"));
        assert!(may_use_database(dir.path()).is_ok());
        fs::write(dir.path().join(EMBEDDED), "").unwrap();
        let refused = may_use_database(dir.path()).unwrap_err();
        assert!(
            refused.to_string().contains("audit.db holds an embedded log")
                && refused.hint().unwrap().contains("platform-api copy")
        );
    }
}
