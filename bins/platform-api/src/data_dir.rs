//! The data folder, held by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dezky_api::FileError;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path} is in use by another platform-api (process {holder})")]
    InUse { path: PathBuf, holder: String },
}

/// A folder that no other process of this program uses; the lock goes when this is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder where it is missing, for its owner only, and locks it.
    ///
    /// # Errors
    /// When it cannot be made, or another process holds it.
    pub(crate) fn claim(path: &Path) -> Result<Self, DataDirError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileError::of(path, "made"))?;
        let path = fs::canonicalize(path).map_err(FileError::of(path, "found"))?;
        let file = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .map_err(FileError::of(&file, "opened"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse { path, holder: holder(lock) }),
            Err(TryLockError::Error(error)) => return Err(FileError::of(&file, "locked")(error).into()),
        }
        // Who holds it is for people; the lock itself does not depend on it.
        let named = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        named.map_err(FileError::of(&file, "written"))?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Who wrote its name into a lock.
fn holder(lock: File) -> String {
    let mut text = String::new();
    match lock.take(32).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let held = DataDir::claim(&path).unwrap();
        let refused = DataDir::claim(&path).unwrap_err().to_string();
        assert!(refused.ends_with(&format!("(process {})", std::process::id())), "{refused}");
        drop(held);
        DataDir::claim(&path).unwrap();
    }
}
