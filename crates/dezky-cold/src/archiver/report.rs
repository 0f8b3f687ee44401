//! What a run did, and why it could not go on.

use std::io;
use std::time::Duration;

use dezky_audit::{RecordError, SignManifestError, StoreError};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::time::Timestamp;

use crate::depot::DepotError;
use crate::keeper::KeepError;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveReport {
    /// In order; those that an earlier run had begun are among them.
    pub batches: Vec<Archived>,
    pub left: Left,
    /// Restored events whose time was over, and that left hot storage again.
    pub expired: u64,
}

/// A batch that is in the archive, and no longer hot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    pub start: u64,
    pub end: u64,
    pub revision: u64,
    pub bytes: u64,
    pub gzip_bytes: u64,
    pub gzip_sha256: Hash,
    pub manifest_sha256: Hash,
    pub jsonl_key: String,
    pub manifest_key: String,
    /// The manifest's `createdAt`.
    pub archived_at: Timestamp,
    /// The events object lay there already, from a run that was cut off.
    pub adopted: bool,
    pub times: Times,
}

impl Archived {
    pub const fn count(&self) -> u64 {
        self.end - self.start + 1
    }
}

/// How long the steps of a batch took; zero for those that an earlier run had taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Reading, checking and packing the lines.
    pub cut: Duration,
    /// Putting both objects, reading them back, verifying them.
    pub confirm: Duration,
    /// Deleting the events from hot storage.
    pub delete: Duration,
}

/// What stays hot of what there was when the run chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// Not old enough, or behind one that is not and in front of none that is.
    pub too_young: u64,
    /// Old enough, but beyond the newest checkpoint.
    pub not_checkpointed: u64,
}

/// Why a run ended early. Every event is still readable, hot or in the archive, and the next run goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    #[error("this archiver is at work already; wait for it")]
    Running,
    #[error("another archiver, {holder}, is at work until {until} at most; wait for it")]
    Elsewhere { holder: String, until: Timestamp },
    #[error("the archiver's lease ran out during a step; run it again")]
    LeaseLost,
    #[error("the store could not be read or written")]
    Store(#[from] StoreError),
    #[error("the depot could not be read or written")]
    Depot(#[from] DepotError),
    #[error("the temporary file of a batch could not be written; make room there, or choose another folder")]
    Scratch(#[source] io::Error),
    #[error("event {seq} of hot storage is not intact; run a verification, nothing from it on was archived")]
    Broken { seq: u64 },
    /// What the depot returned is not what was put.
    #[error("{key} was put, and is not there as it was put: {why}. Everything stays hot; check the bucket")]
    ReadBack { key: String, why: String },
    #[error(
        "the batch {start} to {end} lies in {revisions} revisions in the depot, none of them as it should be. Everything stays hot; \
         check who else writes there"
    )]
    Unusable { start: u64, end: u64, revisions: u64 },
    #[error("the checkpoints beside the archives could not be compared with the log; nothing is signed until they were")]
    NotCompared(#[source] Box<KeepError>),
    #[error("the manifest was not signed")]
    Sign(#[from] SignManifestError),
    #[error("the batch lies in the archive, but the event that says so could not be recorded; everything stays hot")]
    Record(#[source] RecordError),
    /// What the store remembers of the archive contradicts itself.
    #[error("{what}; run a verification of log and archive")]
    Memory { what: String },
    #[error("no random name could be made for the archiver")]
    Random,
    #[error("the program is ending")]
    Ending,
}
