//! The store's tests, through its public interface.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

// The contract's suite over memory and SQLite.
mod contract;
// Random logs and questions: SQLite answers as the reference does.
mod model;
// What only a file can go through: reopening, locks, full disks, tampering, other schemas.
mod sqlite;
