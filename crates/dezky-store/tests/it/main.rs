//! The store's tests, through its public interface.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

// The contract's suite over memory and SQLite.
mod contract;
// The contract's suite over MongoDB, and what only a server can go through: tampering, other writers, restarts.
#[cfg(feature = "mongo")]
mod mongo;
// Lost answers and servers that step down, by a proxy that understands the protocol.
#[cfg(feature = "mongo")]
mod outages;
// Random logs and questions: SQLite answers as the reference does.
mod model;
// What only a file can go through: reopening, locks, full disks, tampering, other schemas.
mod sqlite;
