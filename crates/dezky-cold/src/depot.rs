//! Where archives lie: a place for objects that are written once and stay.
//!
//! There is no way to delete or to overwrite.

mod folder;
mod key;
mod s3;

use std::fs::File;
use std::io::Read;

use async_trait::async_trait;
use dezky_audit_core::hash::Hash;

pub use dezky_s3::{Credentials as S3Credentials, Lock, LockMode, Settings as BucketSettings};
pub use folder::FolderDepot;
pub use key::{InvalidKey, ObjectKey};
pub use s3::{LockedParts, S3Depot, S3Settings};

/// An object's bytes, to be read on a thread that may block.
pub type Body = Box<dyn Read + Send>;

/// What is put.
#[derive(Debug)]
pub enum Content {
    Bytes(Vec<u8>),
    /// The whole file, from its beginning.
    File(File),
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It lies there, durable.
    Created,
    /// An object of that name is there already; it was not touched.
    Exists,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: ObjectKey,
    pub size: u64,
}

/// A store of objects by name, create-only. Names are relative to the depot's own prefix.
#[async_trait]
pub trait Depot: Send + Sync + 'static {
    /// Says where it is, for people: a folder, a bucket and prefix.
    fn place(&self) -> String;

    /// Sees that it is as it should be, where that could not be looked at when it was opened; every other call does so by itself.
    async fn ready(&self) -> Result<(), DepotError> {
        Ok(())
    }

    /// Whether nothing can be erased from it, so that it takes the parts of events withheld only. Known once it is ready.
    fn withholds(&self) -> bool {
        false
    }

    /// Puts an object whole, durable on return, unless one of that name is there. `sha256` is that of the content and is
    /// checked on the way. After an error the object may be there all the same, but never in part.
    async fn put(&self, key: &ObjectKey, content: Content, sha256: Hash) -> Result<Put, DepotError>;

    /// Opens an object for reading; `None` when there is none.
    async fn get(&self, key: &ObjectKey) -> Result<Option<Body>, DepotError>;

    /// The number of bytes of an object; `None` when there is none.
    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, DepotError>;

    /// Why an object that lies there is not kept as this depot has what is put now kept (encrypted, locked), for people; `None` when
    /// it is, or when there is none.
    async fn shortfall(&self, _key: &ObjectKey) -> Result<Option<String>, DepotError> {
        Ok(None)
    }

    /// The objects whose names begin with `prefix` and come behind `after`, in the order of their names, at most `limit`.
    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<Entry>, DepotError>;
}

/// Beneath the depot.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a depot could not do what it was asked. `hint` says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DepotError {
    #[error("the depot {place} cannot be opened: {hint}")]
    Open {
        place: String,
        hint: String,
        /// Nobody's mistake: it cannot be reached now.
        away: bool,
        #[source]
        source: Option<Source>,
    },
    #[error("{key} could not be put into {place}: {hint}")]
    Put {
        key: String,
        place: String,
        hint: String,
        #[source]
        source: Option<Source>,
    },
    /// What was handed over is not what its checksum was made of.
    #[error("{key} was not put: its content has SHA-256 {actual} where {expected} was announced; try again, and check the disk")]
    Checksum { key: String, expected: Hash, actual: Hash },
    #[error("{key} could not be read from {place}: {hint}")]
    Get {
        key: String,
        place: String,
        hint: String,
        #[source]
        source: Option<Source>,
    },
    #[error("{place} could not be listed under '{prefix}': {hint}")]
    List {
        prefix: String,
        place: String,
        hint: String,
        #[source]
        source: Option<Source>,
    },
}

impl DepotError {
    /// Whether a setting, a permission or the depot itself has to be changed before it can be used at all.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Open { away: false, .. })
    }
}
