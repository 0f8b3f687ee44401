//! The searchable copy as such: is it what the events say, and how it is made anew.
//!
//! For the verifier (`projection-mismatch`) and for repair.

use std::ops::RangeInclusive;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::log::ReadLimit;

/// A stored event, and how its copy differs from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub seq: u64,
    pub line: Vec<u8>,
    /// Empty when the copy is what the line says, or has not been made yet.
    pub differences: Vec<Difference>,
}

/// One field of the copy that is not what the event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The name of the column; `*` when the whole row is missing or there twice.
    pub column: &'static str,
    /// What the event says; empty when absent.
    pub expected: String,
    /// What the copy says; empty when absent.
    pub actual: String,
}

/// Upkeep of the search copy.
#[async_trait]
pub trait SearchCopy: Send + Sync {
    /// Like [`crate::EventLog::read`], each event compared with its copy. Lines are in the same snapshot as their copies.
    async fn check(&self, range: RangeInclusive<u64>, limit: ReadLimit) -> Result<Vec<Checked>, StoreError>;

    /// Returns when every event that is in the log now is in the copy.
    async fn settle(&self) -> Result<(), StoreError>;

    /// Throws the copy away and makes it anew from the lines. Lists are incomplete until it returns.
    async fn rebuild(&self) -> Result<(), StoreError>;
}
