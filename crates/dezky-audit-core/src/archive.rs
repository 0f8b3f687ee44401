//! Archives (section 7): batches of events that left hot storage, each an object of lines and a signed manifest.
//!
//! This is the format; where objects lie, and how they get there, is somebody else's.

mod batch;
mod manifest;
mod name;
mod plan;

pub use batch::{BatchReader, BatchWriter, MAX_UNPACKED, ReadBatch, UnpackedBatch, WrittenBatch};
pub use manifest::{EventsObject, MAX_MANIFEST, Manifest, ManifestError, ManifestSignature, ManifestVerdict};
pub use name::{ObjectKind, ObjectName};
pub use plan::{Plan, PlannedBatch};
