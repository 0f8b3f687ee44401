//! Inclusion and consistency proofs: RFC 9162, sections 2.1.3 and 2.1.4.
//!
//! Checking takes any numbers and any hashes and never panics, overflows or loops for long. Making a proof asks a
//! [`NodeSource`] for the few subtree roots that it needs.

use std::error::Error;

use super::{fold_perfect, node_hash, split};
use crate::hash::Hash;

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("leaf {index} is not in a tree of {size} leaves")]
    IndexBeyondSize { index: u64, size: u64 },
    /// Every tree extends the empty one; a proof of that would show nothing.
    #[error("consistency with an empty tree cannot be proven")]
    FirstSizeZero,
    #[error("a tree of {second} leaves cannot extend one of {first}")]
    FirstBeyondSecond { first: u64, second: u64 },
    #[error("the proof has too few or too many hashes: {actual}")]
    WrongLength { actual: usize },
    /// The proof leads to another root than the one given (for consistency: the root of the larger tree).
    #[error("the proof leads to root {computed}, not to {expected}", computed = computed.to_base64(), expected = expected.to_base64())]
    RootMismatch { expected: Hash, computed: Hash },
    /// The consistency proof was made for another smaller tree.
    #[error("the proof starts from root {computed}, not from {expected}", computed = computed.to_base64(), expected = expected.to_base64())]
    FirstRootMismatch { expected: Hash, computed: Hash },
}

/// Checks that `leaf` stands at `index` in the tree of `size` leaves with this root (RFC 9162, section 2.1.3.2).
///
/// # Errors
/// The reason why the proof does not show that.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    let computed = root_from_path(leaf, index, size, path)?;
    if computed == *root { Ok(()) } else { Err(ProofError::RootMismatch { expected: *root, computed }) }
}

/// The root of the tree of `size` leaves in which `path` (the leaf's sibling first) leads from `leaf` at `index`.
///
/// # Errors
/// When `index` is not below `size`, or the path has the wrong length for them.
pub fn root_from_path(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Result<Hash, ProofError> {
    if index >= size {
        return Err(ProofError::IndexBeyondSize { index, size });
    }
    let mut climb = Climb { node: index, last: size - 1 };
    let mut root = *leaf;
    for sibling in path {
        root = match climb.step() {
            Some(Side::Left) => node_hash(sibling, &root),
            Some(Side::Right) => node_hash(&root, sibling),
            None => return Err(ProofError::WrongLength { actual: path.len() }),
        };
    }
    if climb.last != 0 {
        return Err(ProofError::WrongLength { actual: path.len() });
    }
    Ok(root)
}

/// Checks that the tree of `second` leaves extends the one of `first` leaves (RFC 9162, section 2.1.4.2).
///
/// Equal sizes need an empty proof and equal roots.
///
/// # Errors
/// The reason why the proof does not show that.
pub fn verify_consistency(
    first: u64,
    second: u64,
    proof: &[Hash],
    first_root: &Hash,
    second_root: &Hash,
) -> Result<(), ProofError> {
    if first == 0 {
        return Err(ProofError::FirstSizeZero);
    }
    if first > second {
        return Err(ProofError::FirstBeyondSecond { first, second });
    }
    let wrong_length = ProofError::WrongLength { actual: proof.len() };
    let (old, new) = if first == second {
        if !proof.is_empty() {
            return Err(wrong_length);
        }
        (*first_root, *first_root)
    } else {
        // A first tree that is perfect is itself the node that the proof starts from.
        let (start, rest) = match proof.split_first() {
            None => return Err(wrong_length),
            Some(_) if first.is_power_of_two() => (first_root, proof),
            Some((start, rest)) => (start, rest),
        };
        let shift = first.trailing_zeros();
        let mut climb = Climb { node: (first - 1) >> shift, last: (second - 1) >> shift };
        let (mut old, mut new) = (*start, *start);
        for sibling in rest {
            match climb.step() {
                Some(Side::Left) => {
                    old = node_hash(sibling, &old);
                    new = node_hash(sibling, &new);
                }
                Some(Side::Right) => new = node_hash(&new, sibling),
                None => return Err(wrong_length),
            }
        }
        if climb.last != 0 {
            return Err(wrong_length);
        }
        (old, new)
    };
    if old != *first_root {
        return Err(ProofError::FirstRootMismatch { expected: *first_root, computed: old });
    }
    if new != *second_root {
        return Err(ProofError::RootMismatch { expected: *second_root, computed: new });
    }
    Ok(())
}

/// The way from a node to the root: `fn` and `sn` of RFC 9162.
struct Climb {
    node: u64,
    last: u64,
}

enum Side {
    Left,
    Right,
}

impl Climb {
    /// The side of the next sibling; `None` at the root.
    fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // A last node without a sibling rises until it has one, on its left.
            let levels = self.node.trailing_zeros();
            self.node >>= levels;
            self.last >>= levels;
            Side::Left
        } else {
            Side::Right
        };
        self.node >>= 1;
        self.last >>= 1;
        Some(side)
    }
}

/// The root of a perfect subtree: leaves `index · 2^level` up to `(index + 1) · 2^level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    pub level: u32,
    pub index: u64,
}

/// Whatever can give the root of a perfect subtree of the tree that is being proven.
pub trait NodeSource {
    type Error: Error + 'static;

    /// # Errors
    /// When the node cannot be had.
    fn node(&mut self, node: Node) -> Result<Hash, Self::Error>;
}

/// Why a proof could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E: Error + 'static> {
    /// What was asked for is not in the tree.
    #[error("no such proof exists")]
    Range(#[source] ProofError),
    #[error("a node of the tree could not be read")]
    Source(#[source] E),
}

/// The audit path of leaf `index` in the tree of `size` leaves, the leaf's sibling first (RFC 9162, section 2.1.3.1).
///
/// # Errors
/// When `index` is not below `size`, or the source fails.
pub fn prove_inclusion<S: NodeSource>(index: u64, size: u64, source: &mut S) -> Result<Vec<Hash>, ProveError<S::Error>> {
    let ranges = inclusion_ranges(index, size).map_err(ProveError::Range)?;
    ranges.into_iter().map(|range| range_root(range, source)).collect()
}

/// The proof that the tree of `second` leaves extends the one of `first` (RFC 9162, section 2.1.4.1).
///
/// # Errors
/// Unless 0 < `first` ≤ `second`, or when the source fails.
pub fn prove_consistency<S: NodeSource>(first: u64, second: u64, source: &mut S) -> Result<Vec<Hash>, ProveError<S::Error>> {
    let ranges = consistency_ranges(first, second).map_err(ProveError::Range)?;
    ranges.into_iter().map(|range| range_root(range, source)).collect()
}

/// Leaves `begin..end`, where `begin` is a multiple of a power of two that is at least `end − begin`.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeafSpan {
    begin: u64,
    end: u64,
}

impl LeafSpan {
    pub(super) const fn whole(size: u64) -> Self {
        Self { begin: 0, end: size }
    }

    /// The perfect subtrees that make it up, largest first.
    pub(super) fn nodes(self) -> impl DoubleEndedIterator<Item = Node> {
        let size = self.end - self.begin;
        (0..u64::BITS).rev().filter(move |level| size >> level & 1 == 1).map(move |level| {
            let before = (size >> level >> 1).checked_shl(level + 1).unwrap_or(0);
            Node { level, index: (self.begin + before) >> level }
        })
    }
}

pub(super) fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<LeafSpan>, ProofError> {
    if index >= size {
        return Err(ProofError::IndexBeyondSize { index, size });
    }
    let mut ranges = Vec::new();
    let (mut begin, mut end) = (0, size);
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            ranges.push(LeafSpan { begin: middle, end });
            end = middle;
        } else {
            ranges.push(LeafSpan { begin, end: middle });
            begin = middle;
        }
    }
    ranges.reverse();
    Ok(ranges)
}

pub(super) fn consistency_ranges(first: u64, second: u64) -> Result<Vec<LeafSpan>, ProofError> {
    if first == 0 {
        return Err(ProofError::FirstSizeZero);
    }
    if first > second {
        return Err(ProofError::FirstBeyondSecond { first, second });
    }
    let mut ranges = Vec::new();
    let (mut begin, mut end) = (0, second);
    while first != end {
        let middle = begin + split(end - begin);
        if first <= middle {
            ranges.push(LeafSpan { begin: middle, end });
            end = middle;
        } else {
            ranges.push(LeafSpan { begin, end: middle });
            begin = middle;
        }
    }
    // Whoever checks the proof knows the first tree's root, so it is left out when it is this node.
    if begin != 0 {
        ranges.push(LeafSpan { begin, end });
    }
    ranges.reverse();
    Ok(ranges)
}

fn range_root<S: NodeSource>(range: LeafSpan, source: &mut S) -> Result<Hash, ProveError<S::Error>> {
    let mut root = None;
    for node in range.nodes().rev() {
        let left = source.node(node).map_err(ProveError::Source)?;
        root = Some(root.map_or(left, |right| node_hash(&left, &right)));
    }
    Ok(root.unwrap_or_else(super::empty_root))
}

/// A node that lies beyond the leaves at hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are only {leaves} leaves")]
pub struct NodeMissing {
    pub leaves: usize,
}

/// Leaf hashes in memory as a source: for trees so small that hashing them anew costs nothing.
#[derive(Debug, Clone, Copy)]
pub struct Leaves<'a>(pub &'a [Hash]);

impl NodeSource for Leaves<'_> {
    type Error = NodeMissing;

    fn node(&mut self, node: Node) -> Result<Hash, NodeMissing> {
        let missing = NodeMissing { leaves: self.0.len() };
        let bounds = || {
            let begin = usize::try_from(node.index.checked_mul(1_u64.checked_shl(node.level)?)?).ok()?;
            let width = usize::try_from(1_u64.checked_shl(node.level)?).ok()?;
            Some((begin, begin.checked_add(width)?))
        };
        let (begin, end) = bounds().ok_or_else(|| missing.clone())?;
        let mut nodes = self.0.get(begin..end).ok_or_else(|| missing.clone())?.to_vec();
        fold_perfect(&mut nodes).ok_or(missing)
    }
}
