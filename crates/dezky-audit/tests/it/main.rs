//! The engine as services use it, over the memory store and SQLite.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails, in its helpers too")]

// What tests stand on: a log in a scratch folder, drafts, and the check that every test ends with.
mod scratch;
// A store that fails on demand: the outside world's part.
mod faulty;
// Recording: receipts, duplicates, conflicts, batches, many callers at once.
mod recording;
// What the recorder does when the store fails, or another writer comes in between.
mod faults;
// Best-effort events: the spool, its order, its limits, its crashes.
mod best_effort;
// Checkpoints: when they are made, and when not.
mod checkpoints;
// A log moves to another store: whole, interrupted, archived, refused.
mod copying;
// Opening and closing: keys, origins, stores that are behind, draining.
mod lifetime;
// What is handed out: proofs, tenant checkpoints, exports.
mod handing_out;
// Verification of the live store.
mod verification;
