//! Cold storage: old events leave hot storage for an archive that proves itself, with or without this software, and come back.
//!
//! What it promises:
//!
//! * An event leaves hot storage only after its batch lies in the [`Depot`], was read back from there, and verified by the
//!   verifier that everyone has. Until then it is hot; it is never in neither place.
//! * Objects are written once. Nothing here deletes or overwrites one, so a bucket that forbids both will do.
//! * Every step can be taken again: a run that was cut off anywhere is finished by the next one ([`Archiver::run`]).
//! * One archiver at a time, whatever the number of processes: a lease, and its fence on every write to the store.
//! * Lists, exports and single events go on in the archive where hot storage ends ([`Timeline`]).
//! * Checkpoints and the tree's full tiles are published beside the archives, so that an old copy of the store is noticed.
//! * Memory does not grow with the log, nor with what a batch holds beyond a few hundred bytes for each of its events.
//!
//! It names no database and no server: the hot store comes in with the [`dezky_audit::AuditLog`], the depot as a trait.

mod archiver;
mod checkpoints;
mod cold;
pub mod depot;
mod document;
mod fetch;
mod keeper;
mod restore;
mod runs;
mod tiles;
mod timeline;
mod verify;
mod worker;

// The public interface is:
pub use archiver::{ArchiveConfig, ArchiveError, ArchiveReport, Archived, Archiver, Left, Limits, Times};
pub use checkpoints::{KeptCheckpoint, keep_checkpoint, newest_checkpoint};
pub use cold::{Cold, ColdConfig, Figures, Status};
pub use depot::{Depot, DepotError, FolderDepot, S3Depot, S3Settings};
pub use document::BatchDocument;
pub use keeper::KeepError;
pub use restore::{Rebuilt, RestoreError, origin_of, restore, restore_all};
pub use runs::LastRun;
pub use tiles::{PublishError, entries};
pub use timeline::{Listed, Reach, Timeline, TimelineConfig, TimelineError, TimelineExport};
pub use verify::{ArchiveVerifyError, Progress, verify_all};
pub use worker::{Tick, Worker};
