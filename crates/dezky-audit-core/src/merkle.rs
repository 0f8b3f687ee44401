//! The log's Merkle tree: RFC 6962, section 2.1, with SHA-256 (log format, section 4).
//!
//! The entry of a leaf is the 32 raw bytes of an event's hash, so the tree never holds what an event says. Everything
//! here speaks of *leaf hashes*, `SHA-256(0x00 ‖ event hash)`; only [`leaf_hash`] and the methods named `push_event`
//! take the hash of an event.

mod frontier;
mod proof;
pub mod tile;

pub use frontier::{Frontier, FrontierError, LeafRange, MAX_SIZE};
pub use proof::{
    Leaves, Node, NodeMissing, NodeSource, ProofError, ProveError, prove_consistency, prove_inclusion, root_from_path,
    verify_consistency, verify_inclusion,
};
use sha2::{Digest, Sha256};

use crate::hash::Hash;

/// The leaf of an event: `SHA-256(0x00 ‖ event_hash)`.
pub fn leaf_hash(event_hash: &Hash) -> Hash {
    let mut input = [0; 33];
    input[1..].copy_from_slice(event_hash.as_bytes());
    Hash::new(Sha256::digest(input).into())
}

/// An inner node: `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut input = [1; 65];
    input[1..33].copy_from_slice(left.as_bytes());
    input[33..].copy_from_slice(right.as_bytes());
    Hash::new(Sha256::digest(input).into())
}

/// The root of a tree without leaves: `SHA-256("")`.
pub fn empty_root() -> Hash {
    Hash::of(b"")
}

/// The root of a perfect tree over `nodes`, which are as many as a power of two; folds in place.
fn fold_perfect(nodes: &mut [Hash]) -> Option<Hash> {
    let mut width = nodes.len();
    while width > 1 {
        width /= 2;
        for at in 0..width {
            nodes[at] = node_hash(&nodes[2 * at], &nodes[2 * at + 1]);
        }
    }
    nodes.first().copied()
}

/// The largest power of two below `size`: where RFC 6962 splits a tree of `size` ≥ 2 leaves.
const fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_split_at_the_largest_power_of_two_below_their_size() {
        for (size, at) in [(2, 1), (3, 2), (4, 2), (5, 4), (8, 4), (9, 8), (u64::MAX, 1 << 63)] {
            assert_eq!(split(size), at);
        }
    }

    #[test]
    fn the_empty_root_is_the_one_that_everyone_knows() {
        assert_eq!(empty_root().to_base64(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
