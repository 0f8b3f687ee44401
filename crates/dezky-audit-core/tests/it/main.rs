//! The format against its vectors, other projects' data, and other implementations.

#![expect(clippy::unwrap_used, reason = "a test may fail like that")]

// Reads `shared/vectors`; fails loudly when it is not there.
mod vectors;

// Roots, proofs and tiles: the vectors, `ct-merkle`, and each other.
mod tree;

// Events: lines in all three forms, recording, the door, properties.
mod events;

// The keys of the vectors' log.
mod keys;

// Keys, notes, checkpoints: the vectors, and what must be refused.
mod notes;

// Proof files: their form, and the way from the event to the root.
mod proofs;

// Policies: their form, and quorums.
mod policies;

// Arbitrary and nearly right bytes for every reader of notes, keys, proofs, policies and tiles.
mod readers;

// Data of other projects: signed notes, tiles, proofs, cosignatures, witnesses.
mod third_party;

// Verification: every tampered log and archive of the vectors, and what clean ones answer.
mod verdicts;

// The fuzz targets over every input in `fuzz/corpus`.
mod corpora;

// What other systems say: every sample, every quirk of a map, every kind of secret, any JSON at all.
mod source;
