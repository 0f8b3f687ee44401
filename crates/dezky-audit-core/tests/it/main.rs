//! The format against its vectors, other projects' data, and other implementations.

#![expect(clippy::unwrap_used, reason = "a test may fail like that")]

// Reads `shared/vectors`; fails loudly when it is not there.
mod vectors;

// Roots, proofs and tiles: the vectors, `ct-merkle`, and each other.
mod tree;

// Events: lines in all three forms, recording, the door, properties.
mod events;

// Keys, notes, checkpoints, proofs and policies: the vectors, and what must be refused.
mod notes;

// Data of other projects: signed notes, tiles, proofs, cosignatures, witnesses.
mod third_party;
