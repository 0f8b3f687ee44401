//! Roots, frontiers and proofs out of tiles: a few tiles are read, whatever the size of the tree.

use std::error::Error;

use super::{FULL_WIDTH, HEIGHT, TileId};
use crate::hash::Hash;
use crate::merkle::proof::{LeafSpan, consistency_ranges, inclusion_ranges};
use crate::merkle::{
    Frontier, FrontierError, Node, NodeSource, ProofError, ProveError, fold_perfect, prove_consistency, prove_inclusion,
};

/// A tree of a known size behind a function that reads tiles.
///
/// `read` is given the coordinates of a tile and answers with its hashes: as many as the width asked for, or more (a
/// tile that has grown since). Each tile is read once and kept, so that one value answers several questions cheaply.
pub struct TiledTree<R> {
    size: u64,
    read: R,
    kept: Vec<(TileId, Vec<Hash>)>,
}

/// Why a tree could not be read from its tiles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError<E: Error + 'static> {
    #[error("{tile} could not be read")]
    Read { tile: TileId, source: E },
    #[error("{tile} holds only {actual} hashes")]
    TooNarrow { tile: TileId, actual: usize },
    #[error("the tree of {size} leaves has no node {node:?}")]
    NoSuchNode { size: u64, node: Node },
    #[error("the tree is too large")]
    TooLarge(#[source] FrontierError),
}

impl<R, E: Error + 'static> TiledTree<R>
where
    R: FnMut(TileId) -> Result<Vec<Hash>, E>,
{
    /// The tree of `size` leaves.
    pub const fn new(size: u64, read: R) -> Self {
        Self { size, read, kept: Vec::new() }
    }

    /// The audit path of leaf `index` in this tree.
    ///
    /// # Errors
    /// When `index` is not below the size, or a tile cannot be read.
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>, ProveError<TileError<E>>> {
        prove_inclusion(index, self.size, self)
    }

    /// The proof that this tree extends that of the first `first` leaves.
    ///
    /// # Errors
    /// Unless 0 < `first` ≤ size, or when a tile cannot be read.
    pub fn consistency(&mut self, first: u64) -> Result<Vec<Hash>, ProveError<TileError<E>>> {
        prove_consistency(first, self.size, self)
    }

    /// The peaks, and with them the root, ready to grow on.
    ///
    /// # Errors
    /// When a tile cannot be read, or the size is beyond 2^53 − 1.
    pub fn frontier(&mut self) -> Result<Frontier, TileError<E>> {
        let peaks = LeafSpan::whole(self.size).nodes().map(|node| self.node(node)).collect::<Result<_, _>>()?;
        Frontier::from_peaks(self.size, peaks).map_err(TileError::TooLarge)
    }

    fn tile(&mut self, tile: TileId) -> Result<&[Hash], TileError<E>> {
        let at = match self.kept.iter().position(|(kept, _)| *kept == tile) {
            Some(at) => at,
            None => {
                let mut hashes = (self.read)(tile).map_err(|source| TileError::Read { tile, source })?;
                if hashes.len() < usize::from(tile.width()) {
                    return Err(TileError::TooNarrow { tile, actual: hashes.len() });
                }
                hashes.truncate(usize::from(tile.width()));
                self.kept.push((tile, hashes));
                self.kept.len() - 1
            }
        };
        Ok(&self.kept[at].1)
    }
}

impl<R, E: Error + 'static> NodeSource for TiledTree<R>
where
    R: FnMut(TileId) -> Result<Vec<Hash>, E>,
{
    type Error = TileError<E>;

    fn node(&mut self, node: Node) -> Result<Hash, TileError<E>> {
        let no_such_node = TileError::NoSuchNode { size: self.size, node };
        let Some((tile, first)) = place(node, self.size) else { return Err(no_such_node) };
        let width = 1 << (node.level % HEIGHT);
        let hashes = self.tile(tile)?.get(first..first + width).ok_or(no_such_node)?;
        let mut nodes = [Hash::new([0; 32]); FULL_WIDTH as usize / 2];
        nodes[..width].copy_from_slice(hashes);
        fold_perfect(&mut nodes[..width]).ok_or(TileError::NoSuchNode { size: self.size, node })
    }
}

/// The tiles that [`TiledTree::inclusion`] reads: for a store that fetches them before.
///
/// # Errors
/// When `index` is not below `size`.
pub fn tiles_for_inclusion(index: u64, size: u64) -> Result<Vec<TileId>, ProofError> {
    Ok(tiles_for(&inclusion_ranges(index, size)?, size))
}

/// The tiles that [`TiledTree::consistency`] reads.
///
/// # Errors
/// Unless 0 < `first` ≤ `second`.
pub fn tiles_for_consistency(first: u64, second: u64) -> Result<Vec<TileId>, ProofError> {
    Ok(tiles_for(&consistency_ranges(first, second)?, second))
}

/// The tiles that [`TiledTree::frontier`] reads.
pub fn tiles_for_frontier(size: u64) -> Vec<TileId> {
    tiles_for(&[LeafSpan::whole(size)], size)
}

fn tiles_for(ranges: &[LeafSpan], size: u64) -> Vec<TileId> {
    let nodes = ranges.iter().flat_map(|range| range.nodes());
    let mut tiles: Vec<TileId> = nodes.filter_map(|node| Some(place(node, size)?.0)).collect();
    tiles.sort_unstable();
    tiles.dedup();
    tiles
}

/// The tile that holds the descendants of `node`, and the place of the first of them in it.
fn place(node: Node, size: u64) -> Option<(TileId, usize)> {
    let level = u8::try_from(node.level / HEIGHT).ok()?;
    let first = node.index.checked_mul(1 << (node.level % HEIGHT))?;
    let tile = TileId::of_tree(level, first / u64::from(FULL_WIDTH), size)?;
    Some((tile, usize::try_from(first % u64::from(FULL_WIDTH)).ok()?))
}
