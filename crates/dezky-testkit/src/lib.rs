//! For tests and benches only: sample events, logs made in memory, archives on disk, servers of others, real or as they behave, and a
//! network that fails. Of ours it depends on nothing but the format.
//!
//! Everything here panics when it cannot do what it should: a test has nobody to report to.
#![expect(clippy::unwrap_used, reason = "a test helper ends the test where it fails")]

pub mod archive;
pub mod authentik_server;
pub mod container;
pub mod installed;
pub mod issuer;
pub mod log;
pub mod mongo_server;
pub mod s3_faults;
pub mod s3_server;
pub mod sample;
