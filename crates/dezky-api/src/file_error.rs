//! How it is told that something could not be done with a file or a folder.

use std::io;
use std::path::{Path, PathBuf};

/// What could not be done, with what, and why.
#[derive(Debug, thiserror::Error)]
#[error("{path} could not be {deed}")]
pub struct FileError {
    pub path: PathBuf,
    /// A participle: `made`, `read`, `written`.
    pub deed: &'static str,
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`, beside the call that may fail.
    pub fn of(path: &Path, deed: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, deed, source }
    }
}
