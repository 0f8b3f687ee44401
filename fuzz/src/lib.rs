//! What every reader of the format must keep to, whatever bytes it is given: one plain function for each fuzz target.
//!
//! These files are compiled twice: here, where a nightly compiler looks for inputs that break them, and by
//! `dezky-audit-core`'s tests, which replay `corpus/` on stable.

mod archive;
mod json;
mod keys;
mod line;
mod model;
mod note;
mod posted;
mod seal;
mod source;
mod time;
mod verify;

pub use archive::{batch, manifest, object_name};
pub use json::json;
pub use line::line;
pub use note::{checkpoint_record, note, policy, tile, tlog_proof, vkey};
pub use posted::posted;
pub use seal::seal_keys;
pub use source::source;
pub use time::timestamp;
pub use verify::{archive_walk, walk};

/// A target: panics when something that must hold does not.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its binary and of its folder in `corpus/`.
pub const TARGETS: [(&str, Target); 17] = [
    ("archive_walk", archive_walk),
    ("batch", batch),
    ("checkpoint_record", checkpoint_record),
    ("json", json),
    ("line", line),
    ("manifest", manifest),
    ("note", note),
    ("object_name", object_name),
    ("policy", policy),
    ("posted", posted),
    ("seal_keys", seal_keys),
    ("source", source),
    ("tile", tile),
    ("timestamp", timestamp),
    ("tlog_proof", tlog_proof),
    ("vkey", vkey),
    ("walk", walk),
];
