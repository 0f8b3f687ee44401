//! The right edge of a growing tree: enough to append and to know the root, and no more.
//!
//! A [`LeafRange`] is the least set of perfect subtrees that covers leaves `begin..end`; a [`Frontier`] is the range
//! that begins at 0, whose subtrees are the tree's peaks. Ranges that touch are joined, so leaves can be hashed on many
//! cores. Appending a leaf costs one hash on average; both hold at most 128 hashes.

use super::{empty_root, leaf_hash, node_hash};
use crate::hash::Hash;
use crate::ids::MAX_SAFE_INTEGER;

/// The most leaves that a tree can have, since a `seq` is at most 2^53 − 1.
pub const MAX_SIZE: u64 = MAX_SAFE_INTEGER;

/// Why a frontier or a range could not be built or grown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// A tree has one peak per 1 bit of its size.
    #[error("a tree of {size} leaves has {expected} peaks, not {actual}")]
    PeakCount { size: u64, expected: u32, actual: usize },
    #[error("a tree has at most 2^53 − 1 leaves")]
    TooLarge,
    /// A subtree of 2^level leaves begins at a multiple of that.
    #[error("a subtree of 2^{level} leaves cannot begin at leaf {at}")]
    Misaligned { at: u64, level: u32 },
    /// The range does not begin where this one ends.
    #[error("leaves are missing or repeated: this range ends at {end}, the other begins at {begin}")]
    NotAdjacent { end: u64, begin: u64 },
}

/// A tree as its size and peaks: the roots of its perfect subtrees, largest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier(LeafRange);

impl Frontier {
    /// The empty tree.
    pub const fn new() -> Self {
        Self(LeafRange { begin: 0, end: 0, nodes: Vec::new() })
    }

    /// The tree of `size` leaves with these peaks, largest first (a manifest's `prevPeaks`).
    ///
    /// # Errors
    /// When the number of peaks is not the number of 1 bits in `size`, or `size` is beyond 2^53 − 1.
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Result<Self, FrontierError> {
        if size > MAX_SIZE {
            return Err(FrontierError::TooLarge);
        }
        let expected = size.count_ones();
        if usize::try_from(expected) != Ok(peaks.len()) {
            return Err(FrontierError::PeakCount { size, expected, actual: peaks.len() });
        }
        Ok(Self(LeafRange { begin: 0, end: size, nodes: peaks }))
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: &Hash) {
        self.0.push(leaf);
    }

    /// Appends the leaf of an event.
    pub fn push_event(&mut self, event_hash: &Hash) {
        self.0.push_event(event_hash);
    }

    /// Appends leaf hashes in order.
    pub fn extend(&mut self, leaves: &[Hash]) {
        self.0.extend(leaves);
    }

    /// Appends a perfect subtree of 2^`level` leaves by its root.
    ///
    /// # Errors
    /// When the size is not a multiple of 2^`level`, or would pass 2^53 − 1; nothing is changed.
    pub fn append_subtree(&mut self, level: u32, root: &Hash) -> Result<(), FrontierError> {
        self.0.append_subtree(level, root)
    }

    /// Appends leaves that were hashed elsewhere.
    ///
    /// # Errors
    /// When `range` does not begin at this tree's size; nothing is changed.
    pub fn join(&mut self, range: &LeafRange) -> Result<(), FrontierError> {
        self.0.join(range)
    }

    /// The root: the peaks folded from the right (RFC 6962, section 2.1).
    pub fn root(&self) -> Hash {
        let Some((last, larger)) = self.0.nodes.split_last() else { return empty_root() };
        larger.iter().rfold(*last, |right, left| node_hash(left, &right))
    }

    /// One hash per 1 bit of the size, largest subtree first.
    pub fn peaks(&self) -> &[Hash] {
        &self.0.nodes
    }

    /// The number of leaves.
    pub const fn size(&self) -> u64 {
        self.0.end
    }
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

/// Leaves `begin..end` of some tree, as the roots of the largest aligned subtrees that fit, left to right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafRange {
    begin: u64,
    end: u64,
    nodes: Vec<Hash>,
}

impl LeafRange {
    /// No leaves yet; the first to come has index `begin`.
    ///
    /// # Errors
    /// When `begin` is beyond 2^53 − 1.
    pub const fn new(begin: u64) -> Result<Self, FrontierError> {
        if begin > MAX_SIZE {
            return Err(FrontierError::TooLarge);
        }
        Ok(Self { begin, end: begin, nodes: Vec::new() })
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: &Hash) {
        self.append(0, leaf);
    }

    /// Appends the leaf of an event.
    pub fn push_event(&mut self, event_hash: &Hash) {
        self.append(0, &leaf_hash(event_hash));
    }

    /// Appends leaf hashes in order.
    pub fn extend(&mut self, leaves: &[Hash]) {
        for leaf in leaves {
            self.append(0, leaf);
        }
    }

    /// Appends a perfect subtree of 2^`level` leaves by its root.
    ///
    /// # Errors
    /// When the end is not a multiple of 2^`level`, or would pass 2^53 − 1; nothing is changed.
    pub fn append_subtree(&mut self, level: u32, root: &Hash) -> Result<(), FrontierError> {
        if level > self.end.trailing_zeros() {
            return Err(FrontierError::Misaligned { at: self.end, level });
        }
        let width = 1_u64.checked_shl(level).ok_or(FrontierError::TooLarge)?;
        if width > MAX_SIZE || self.end > MAX_SIZE - width {
            return Err(FrontierError::TooLarge);
        }
        self.append(level, root);
        Ok(())
    }

    /// Appends the range that begins where this one ends.
    ///
    /// # Errors
    /// When it does not begin there; nothing is changed.
    pub fn join(&mut self, other: &Self) -> Result<(), FrontierError> {
        if other.begin != self.end {
            return Err(FrontierError::NotAdjacent { end: self.end, begin: other.begin });
        }
        for node in &other.nodes {
            let left = other.end - self.end;
            let level = self.end.trailing_zeros().min(left.ilog2());
            self.append(level, node);
        }
        Ok(())
    }

    /// The index of the first leaf.
    pub const fn begin(&self) -> u64 {
        self.begin
    }

    /// One past the index of the last leaf.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// The caller has checked that a subtree of this level may begin at `end`.
    fn append(&mut self, level: u32, root: &Hash) {
        let mut root = *root;
        let mut level = level;
        // The last node is the left sibling exactly when our index at this level is odd and the sibling lies within
        // the range: then `end` has no lower 1 bit, so no smaller node can end there.
        while (self.end >> level) & 1 == 1 && ((self.end >> level) - 1) << level >= self.begin {
            let Some(left) = self.nodes.pop() else { break };
            root = node_hash(&left, &root);
            self.end -= 1 << level;
            level += 1;
        }
        self.nodes.push(root);
        self.end += 1 << level;
    }
}
