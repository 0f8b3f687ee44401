//! The engine that services embed: it records events in one log, proves them, checks them, and signs what it holds.
//!
//! ```no_run
//! # use dezky_audit::{AuditLog, Config, Draft, RecordError};
//! # async fn embed(draft: Draft) -> Result<(), Box<dyn std::error::Error>> {
//! let log = AuditLog::open_in("./data", Config::in_dir("./data")).await?;
//! let receipt = log.record(draft).await?;
//! println!("recorded as {} with hash {}", receipt.seq, receipt.hash);
//! # Ok(())
//! # }
//! ```
//!
//! What it promises:
//!
//! * A [`Receipt`] means: durable, and in the chain. Nothing is acknowledged before.
//! * [`AuditLog::record`], [`AuditLog::record_batch`] and [`AuditLog::record_best_effort`] are the only ways in, and all three
//!   go through one recorder per process.
//! * [`AuditLog::record_best_effort`] returns at once and never fails; while the store is away, what it was given lies in a
//!   spool on the local disk, and arrives later, in order, once.
//! * Whatever answers a person takes a [`Scope`] first.
//! * Every queue and batch has a limit, and [`Metrics`] say how full it is.
//!
//! It names no database and no protocol: storage comes in as [`dezky_store::Store`], time and randomness as a [`World`].

mod administration;
mod archive;
mod audit_log;
mod chain;
mod checkpoint;
mod checkpointer;
mod config;
pub mod copy;
mod directory;
mod export;
mod ingest;
mod keys;
mod lane;
mod metrics;
mod open;
mod own;
mod prove;
mod queue;
mod record;
mod recorder;
mod spool;
mod tree;
mod unit;
mod verify;
mod world;

// The public interface is:
pub use administration::{Act, ActBy};
pub use archive::{ArchivedBatch, SignManifestError};
pub use audit_log::{AuditLog, Drained};
pub use chain::chain;
pub use checkpoint::CheckpointError;
pub use config::{CheckpointLimits, Config, KnownCheckpoint, RecordLimits, SpoolConfig};
pub use directory::{Directory, Resolved, TenantHints};
pub use export::{Export, ExportError};
pub use ingest::Taken;
pub use keys::{IngestSecret, PublishedKey, SharedKeys, folder_keys};
pub use metrics::{Histogram, Metrics};
pub use open::OpenError;
pub use prove::{ProveError, TenantCheckpoint};
pub use record::{Fate, Kept, Receipt, RecordError, Refusal, RefusalReason};
pub use verify::{LastVerification, Verification, VerifyError, VerifyOptions, walk_checked};
pub use world::{Clock, ManualClock, NoRandomness, Randomness, SystemClock, SystemRandomness, World};

// What callers need to speak to this crate:
pub use dezky_audit_core::checkpoint::Reason;
pub use dezky_audit_core::event::Draft;
pub use dezky_audit_core::note::{HmacSecret, KeyAlgorithm, KeyRing};
pub use dezky_store::{CheckpointRecord, Count, Filter, Page, Query, Scope, Store, StoreError, Stored};
