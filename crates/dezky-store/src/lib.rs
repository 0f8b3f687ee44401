//! Where events live while hot. The only crate that may name a database.
//!
//! # The contract
//!
//! A store holds one log, of one origin; opening it under another origin is refused. It keeps
//!
//! * the **lines**: the canonical bytes of each event, the only truth. [`EventLog::append`] is the only way to add one:
//!   compare-and-swap on the head, durable on return, in order, without gaps. Nothing changes a line but
//!   [`Retention::withhold`], nothing removes one but [`Retention::delete_prefix`] and the end of a restoration;
//! * what **outlives** the lines: heads with the peaks of their trees ([`Head`], [`TenantHead`]), the memory of every
//!   `(source, externalId)` ([`EventLog::seen`]), hash [`Tiles`], [`Checkpoints`], [`Archives`];
//! * a **search copy** of the lines, derived in one place ([`projection`]), rebuildable, checkable ([`SearchCopy`]). It follows
//!   within a second, and [`Search`] reads the short rest from the lines, so that one's own write is always seen;
//! * the small state of the processes that share it: [`Bookmarks`], [`Leases`], [`Runs`], [`Directory`], [`Settings`].
//!
//! The traits are split by what they must guarantee and by who uses them; [`Store`] is all of them. Every method may be
//! called from any task at any time, by any number of processes; none blocks the caller's thread. Dropping a future does
//! not undo a write that was begun. Every answer that leaves something out says so in its type.
//!
//! [`memory::MemoryStore`] is the reference, [`sqlite::SqliteStore`] the embedded default, `mongo::MongoStore` (feature `mongo`) the
//! shared one.
//!

pub mod archives;
pub mod bookmarks;
pub mod checkpoints;
pub mod copy;
pub mod directory;
pub mod error;
pub mod identity;

pub mod memory;
#[cfg(feature = "mongo")]
pub mod mongo;
pub mod sqlite;

#[expect(clippy::unwrap_used, reason = "a suite of tests: what is not as promised must panic")]
pub mod conformance;

mod batch;
pub mod leases;
mod limits;
pub mod log;
pub mod projection;
pub mod query;
pub mod retention;
pub mod runs;
pub mod search;
pub mod settings;
pub mod tiles;
pub mod transfer;

use async_trait::async_trait;

// The public interface is:
pub use archives::{Archives, BatchId, BatchRecord, Intent};
pub use bookmarks::{Bookmark, Bookmarks, Swap};
pub use checkpoints::{CheckpointRecord, Checkpoints};
pub use copy::{Checked, Difference, SearchCopy};
pub use directory::{Change, Directory, Document, OutboxEntry};
pub use error::StoreError;
pub use identity::Identity;
pub use leases::{Fence, Lease, Leases};
pub use log::{Append, DedupeKey, EventLog, Head, NewEvent, ReadLimit, Receipt, Stored, TenantHead, TenantPlace, Tip};
pub use query::{Cursor, Filter, Order, Query};
pub use retention::{Hot, Restored, Retention};
pub use runs::{Runs, VerificationRun};
pub use search::{Count, CountBy, HourCount, Page, Scope, Search};
pub use settings::Settings;
pub use tiles::Tiles;
pub use transfer::{Relic, Transfer};

/// How full the store's queues are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauges {
    /// Writes that wait, and how many may.
    pub write_queue: usize,
    pub write_queue_limit: usize,
    /// Events that are not in the search copy yet.
    pub uncopied_events: u64,
}

/// Everything that a log needs of its storage; used as `Arc<dyn Store>`.
#[async_trait]
pub trait Store:
    EventLog
    + Search
    + SearchCopy
    + Retention
    + Archives
    + Tiles
    + Checkpoints
    + Bookmarks
    + Leases
    + Runs
    + Directory
    + Settings
    + Transfer
{
    /// How full the queues are, from memory.
    fn gauges(&self) -> Gauges;

    /// Answers whether the store can be written to now, by trying; changes nothing that anyone can see.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Ends background work and lets go of files and connections. Every later call is `Unavailable`.
    async fn close(&self);
}
