//! Cold storage over SQLite, a local folder and a bucket; only the outside world is faked.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails, in its helpers too")]

// What tests stand on: a log, its archive, and the check that nothing was lost or doubled.
mod scratch;
// A store and a depot that die at the n-th call, or lie.
mod faulty;
// What every depot promises.
mod promises;
// The local folder: whole or not at all.
mod folder;
// A bucket: SeaweedFS, its locks, and a network that fails.
mod bucket;
// Archiving: what is chosen, what lies there, what still works for what is left.
mod archiving;
// Cut off after every single step.
mod crashes;
// A depot that refuses, forgets to answer, or lies.
mod lying;
// The way back.
mod restoring;
// Once a day.
mod working;

// The log read through both tiers: lists, single events, exports, proofs; without the depot, and with a changed object.
mod reading;
// A verification through both tiers that nobody waits for any more.
mod cancelling;
// Checkpoints beside the archives.
mod publishing;
