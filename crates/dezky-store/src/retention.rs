//! How events leave hot storage and come back, and how a part is erased.
//!
//! For the archiver and for erasure, the only ones that may change what is stored; both record what they do.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use dezky_audit_core::event::{LineCheck, PartName, check_line};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::time::Timestamp;

use crate::archives::BatchId;
use crate::error::StoreError;
use crate::leases::Fence;
use crate::log::Stored;

/// What is hot: everything above `border`, and the restored ranges below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hot {
    /// Events up to here have been archived and deleted; 0 when none has. Only rises.
    pub border: u64,
    /// In order of their start. Their events lie at or below `border` and are never archived again.
    pub restored: Vec<Restored>,
}

/// An archived range that is back for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub range: RangeInclusive<u64>,
    pub until: Timestamp,
}

/// The border of hot storage.
#[async_trait]
pub trait Retention: Send + Sync {
    /// What is hot.
    async fn hot(&self) -> Result<Hot, StoreError>;

    /// The last event above the border that was recorded before `time`; `None` when all are younger. Since `recordedAt` need
    /// not rise, some before it may be younger.
    async fn last_recorded_before(&self, time: Timestamp) -> Result<Option<Seq>, StoreError>;

    /// Deletes the events of a recorded batch from hot storage, search copy included, and moves the border to its end.
    ///
    /// Keys, heads, tiles and hourly counts stay. The work is done in slices: after an error some of it is done, the border
    /// says how far, and the same call finishes it. A batch below the border is no error.
    ///
    /// # Errors
    /// `Refused` when the batch is not recorded, or does not begin right behind the border. `Fenced`.
    async fn delete_prefix(&self, batch: &BatchId, fence: &Fence) -> Result<(), StoreError>;

    /// Puts archived events back until a time: `lines` are some of the events of `range`, verified by the caller. Call it
    /// again with the same range and time for the rest. Events that are there already stay as they are.
    ///
    /// # Errors
    /// `Refused` when the range reaches above the border, or a line lies outside it.
    async fn restore(&self, range: RangeInclusive<u64>, until: Timestamp, lines: Vec<Stored>) -> Result<(), StoreError>;

    /// Deletes restored events whose time is over at `now`; returns how many.
    async fn expire_restored(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Replaces a part of a hot event by its digest, in the line and in the search copy together, and leaves no copy of it
    /// in the store's files that a later read could return. Returns the digest, also when it was withheld before; `None` when
    /// the event is not hot or has no such part.
    ///
    /// # Errors
    /// `Corrupt` when the stored line is no event.
    async fn withhold(&self, seq: Seq, part: PartName) -> Result<Option<Hash>, StoreError>;
}

/// The digest that stands in a line after a part was withheld.
pub(crate) fn withheld_digest(line: &[u8], part: PartName) -> Result<Hash, StoreError> {
    let LineCheck::Event(event) = check_line(line, &mut Vec::new()) else {
        return Err(StoreError::corrupt("a line is no event after a part was withheld"));
    };
    let part = event.parts[part.index()].ok_or_else(|| StoreError::corrupt("a part is gone after it was withheld"))?;
    Ok(part.form.digest())
}
