//! The format against its vectors, other projects' data, and other implementations.

// Reads `shared/vectors`; fails loudly when it is not there.
mod vectors;

// Roots, proofs and tiles: the vectors, `ct-merkle`, and each other.
mod tree;

// Events: lines in all three forms, recording, the door, properties.
mod events;
